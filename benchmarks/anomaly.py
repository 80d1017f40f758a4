"""How well anomalies are found, and at what cost, on labelled, injected and multivariate data.

    python benchmarks/anomaly.py --data DIR [--sets nab,injected,smap] [--without KIND,...] [--seed 1] [--files N]

DIR holds ``nab/data/*/*.csv`` with ``nab/labels/combined_windows.json`` (https://github.com/numenta/NAB), and ``smap/``
with ``train``, ``test`` and ``labeled_anomalies.csv`` (https://github.com/khundman/telemanom, as CSV).

``nab`` runs the command with one default configuration and writes, with ``--scores FOLDER``, one file of scores and
flags per data file, for NAB's own scorer. ``injected`` plants nine kinds of anomalies in three sizes and three lengths
into clean seasonal series and counts those found with a budget of one alarm a week. ``smap`` scores the telemetry with
its commands as further channels. ``--without`` leaves kinds of evidence out of the sum (error, z, extreme, discord,
rules; record: no decaying record; sum: the largest instead): each figure then tells what the part is worth.

One JSON line per set on stdout.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from lstmcast.anomaly import judge, tail
from lstmcast.config import DetectionSettings, NetworkSettings, ReaderSettings, Settings, TrainingSettings
from lstmcast.recipes.detect import detect_anomalies

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("spike", "burst", "level_shift", "trend", "variance", "flat", "missing", "season", "new_extreme")
SIZES, LENGTHS = (3.0, 6.0, 12.0), (4, 24, 96)
PARTS = ("error", "z", "extreme", "discord", "rules", "record", "sum")
_ROWS, _DAY = 2400, 96
_PLACES = (1500, 2000)


@dataclass(frozen=True)
class Found:
    """Rows and events of one run, as the command wrote them, and its CPU seconds."""

    rows: pd.DataFrame
    events: pd.DataFrame
    cpu_s: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="folder with nab and smap")
    options.add_argument("--sets", default="nab,injected,smap")
    options.add_argument("--without", default="", help=f"parts to leave out: {', '.join(PARTS)}")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--files", type=int, help="only the first so many files")
    options.add_argument("--scores", type=Path, help="folder for the scores of nab")
    asked = options.parse_args()
    left_out = tuple(part for part in asked.without.split(",") if part)
    if unknown := set(left_out) - set(PARTS):
        options.error(f"--without {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    runs = {"nab": nab, "injected": injected, "smap": smap}
    for name in asked.sets.split(","):
        with ablated(left_out):
            line = runs[name](asked)
        print(json.dumps({"set": name, "seed": asked.seed, "without": left_out} | line), flush=True)


def ablated(left_out: Sequence[str]) -> Any:
    """The detector without some of its parts, for as long as the context lasts."""
    evidence, score, rules = judge.evidence, judge.score, judge._rules

    def fewer(*args: Any, **named: Any) -> Mapping[str, Any]:
        found = {name: kind for name, kind in evidence(*args, **named).items() if name.split("-")[0] not in left_out}
        return {"largest": np.max(list(found.values()), axis=0)} if "sum" in left_out else found

    def undamped(*args: Any, **named: Any) -> Any:
        scores = score(*args, **named)
        return tail.Scores(scores.sum, scores.p_value, scores.sum) if "record" in left_out else scores

    def no_rules(*args: Any) -> Any:
        return [[] for _ in args[0].channels] if "rules" in left_out else rules(*args)

    return patch.multiple(judge, evidence=fewer, score=undamped, _rules=no_rules)


def detect(data: Path, asked: argparse.Namespace, *, budget: str | None = None, targets: Sequence[str] = ()) -> Found:
    """Rows and events of ``data`` by the recipe behind the command, with its defaults."""
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder)
        began = time.process_time()
        detect_anomalies(
            [str(data)],
            settings=Settings(
                reader=ReaderSettings(duplicates="mean", target=tuple(targets)),
                network=NetworkSettings(),
                training=TrainingSettings(seed=asked.seed),
                detection=DetectionSettings(budget=budget),
            ),
            output=str(places / "rows.csv"),
            events=str(places / "events.csv"),
        )
        cpu = time.process_time() - began
        return Found(pd.read_csv(places / "rows.csv"), pd.read_csv(places / "events.csv"), cpu)


def nab(asked: argparse.Namespace) -> dict[str, Any]:
    """Event figures with own flags, and scores for NAB's scorer."""
    folder = asked.data / "nab"
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    names = sorted(windows)[: asked.files]
    totals = {"windows": 0, "hit": 0, "alarms": 0, "false": 0, "weeks": 0.0, "cpu_s": 0.0, "rows": 0}
    for name in names:
        found = detect(folder / "data" / name, asked, budget="1/week")
        if asked.scores is not None:
            out = asked.scores / name
            out.parent.mkdir(parents=True, exist_ok=True)
            kept = found.rows[["ds", "score", "region_score", "is_anomaly"]].fillna({"score": 0.0, "region_score": -9})
            kept.rename(columns={"ds": "timestamp", "score": "anomaly_score"}).to_csv(out, index=False)
        spans = [(pd.Timestamp(start), pd.Timestamp(end)) for start, end in windows[name]]
        when = pd.to_datetime(found.rows["ds"])
        first = when.iloc[min(int(0.15 * len(when)), 750)]
        starts = list(pd.to_datetime(found.events["detected_at"]))
        spans = [span for span in spans if span[1] >= first]
        totals["windows"] += len(spans)
        totals["hit"] += sum(any(a <= t <= b for t in starts) for a, b in spans)
        totals["alarms"] += len(starts)
        totals["false"] += sum(not any(a <= t <= b for a, b in spans) for t in starts)
        totals["weeks"] += (when.iloc[-1] - first) / pd.Timedelta(weeks=1)
        totals["cpu_s"] += found.cpu_s
        totals["rows"] += len(found.rows)
    precision, recall = (
        _share(totals["alarms"] - totals["false"], totals["alarms"]),
        _share(totals["hit"], totals["windows"]),
    )
    return {
        "files": len(names),
        "event_precision": round(precision, 3),
        "event_recall": round(recall, 3),
        "event_f1": round(_share(2 * precision * recall, precision + recall), 3),
        "false_alarms_per_week": round(totals["false"] / totals["weeks"], 3),
        "cpu_s_per_1000_rows": round(1000 * totals["cpu_s"] / totals["rows"], 3),
    }


def injected(asked: argparse.Namespace) -> dict[str, Any]:
    """Share of planted anomalies in which an alarm begins, by kind, and the alarms elsewhere."""
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    named: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    false = weeks = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "planted.csv"
        cases = list(_plantings(asked.seed))[: asked.files]
        planted = pd.concat([_series(kind, size, length, number) for number, (kind, size, length) in enumerate(cases)])
        planted.to_csv(data, index=False)
        told = detect(data, asked, budget="1/week")
    for number, (kind, _, length) in enumerate(cases):
        name = f"s{number:03d}"
        times = told.rows.loc[told.rows["unique_id"] == name, "ds"].tolist()
        grid = {
            text: row for row, text in enumerate(pd.date_range("2026-01-05", periods=_ROWS, freq="15min").astype(str))
        }
        events = told.events[told.events["unique_id"] == name]
        begins = [(grid[text], said) for text, said in zip(events["detected_at"], events["kind"], strict=True)]
        weeks += len(times) / (7 * _DAY)
        for place in _PLACES:
            inside = [said for row, said in begins if place <= row < place + max(length, 4) + _DAY // 4]
            found[kind].append(bool(inside))
            named[kind].append(kind in inside)
        false += sum(not any(p <= row < p + max(length, 4) + _DAY for p in _PLACES) for row, _ in begins)
    return {
        "recall": {kind: round(float(np.mean(hits)), 3) for kind, hits in found.items() if hits},
        "named": {kind: round(float(np.mean(hits)), 3) for kind, hits in named.items() if hits},
        "recall_mean": round(float(np.mean([hit for hits in found.values() for hit in hits])), 3),
        "false_alarms_per_week": round(false / weeks, 3),
        "cpu_s": round(told.cpu_s, 1),
    }


def _plantings(seed: int) -> Iterator[tuple[str, float, int]]:
    order = [(kind, size, length) for kind in KINDS for size in SIZES for length in LENGTHS]
    shuffled = np.random.default_rng(seed).permutation(len(order))
    yield from (order[k] for k in shuffled)


def _series(kind: str, size: float, length: int, number: int) -> pd.DataFrame:
    """A clean day-and-week series of quarter hours with the anomaly planted twice, ``size`` in units of its noise."""
    rng = np.random.default_rng(1000 + number)
    row = np.arange(_ROWS)
    phase = 2 * np.pi * row / _DAY
    noise = np.zeros(_ROWS)
    for k in range(1, _ROWS):
        noise[k] = 0.5 * noise[k - 1] + rng.normal()
    y = 100 + 12 * np.sin(phase) + 5 * np.sin(2 * phase + 1) + 4 * (row // _DAY % 7 >= 5) + noise
    clean = y.copy()
    for place in _PLACES:
        at = slice(place, place + length)
        sign = rng.choice([-1.0, 1.0])
        if kind == "spike":
            y[place : place + min(length, 3)] += sign * size
        elif kind == "burst":
            y[at] += rng.normal(0, size, length)
        elif kind == "level_shift":
            y[place:] += sign * size
        elif kind == "trend":
            y[at] += sign * size * np.arange(1, length + 1) / length
        elif kind == "variance":
            y[at] = clean[at] + (size - 1) * noise[at]
        elif kind == "flat":
            y[at] = y[place]
        elif kind == "missing":
            y[at] = np.nan
        elif kind == "season":
            y[at] = 200 - clean[at] if size > SIZES[0] else clean[place - _DAY // 4 : place - _DAY // 4 + length]
        else:
            y[at] = (clean[:place].max() + size) if sign > 0 else (clean[:place].min() - size)
    times = pd.date_range("2026-01-05", periods=_ROWS, freq="15min")
    frame = pd.DataFrame({"unique_id": f"s{number:03d}", "ds": times, "y": y})
    return frame[frame["y"].notna()]


def smap(asked: argparse.Namespace) -> dict[str, Any]:
    """Labelled sequences of the test stretches in which an alarm begins; its training stretch precedes each."""
    folder = asked.data / "smap"
    labels = pd.read_csv(folder / "labeled_anomalies.csv")
    labels = labels[labels["spacecraft"] == "SMAP"].drop_duplicates("chan_id").set_index("chan_id")
    names = sorted(path.name.split(".")[0] for path in (folder / "test").glob("*.csv.gz"))[: asked.files]
    sequences = hit = alarms = true = 0
    cpu = 0.0
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            train, test = (pd.read_csv(folder / part / f"{name}.csv.gz") for part in ("train", "test"))
            whole = pd.concat([train, test], ignore_index=True)
            moving = [column for column in whole.columns[1:] if whole[column].nunique() > 1]
            data = Path(place) / f"{name}.csv"
            whole[moving].assign(t=np.arange(len(whole))).to_csv(data, index=False)
            told = detect(data, asked, budget="1/1000rows", targets=moving)
            cpu += told.cpu_s
            begins = told.events["detected_at"].astype(int).to_numpy() - len(train)
            begins = begins[begins >= 0]
            spans = json.loads(labels.loc[name, "anomaly_sequences"])
            sequences += len(spans)
            hit += sum(bool(((begins >= a) & (begins <= b)).any()) for a, b in spans)
            alarms += len(begins)
            true += sum(any(a <= row <= b for a, b in spans) for row in begins)
    precision, recall = _share(true, alarms), _share(hit, sequences)
    return {
        "channels": len(names),
        "event_precision": round(precision, 3),
        "event_recall": round(recall, 3),
        "event_f1": round(_share(2 * precision * recall, precision + recall), 3),
        "alarms": alarms,
        "cpu_s": round(cpu, 1),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


if __name__ == "__main__":
    main()
