"""How well anomalies are found, and at what cost, on labelled, injected and multivariate data.

    python benchmarks/anomaly.py --data DIR [--sets nab,injected,smap] [--without KIND,...] [--seed 1] [--files N]

DIR holds ``pjm_hourly/``, ``ett/`` and ``classics/taylor.csv``; ``nab/data/*/*.csv`` with
``nab/labels/combined_windows.json`` (https://github.com/numenta/NAB); and ``smap/`` with ``train``, ``test`` and
``labeled_anomalies.csv`` (https://github.com/khundman/telemanom, as CSV).

``nab`` runs the command with one default configuration and writes, with ``--scores FOLDER``, one file of scores and
flags per data file, for NAB's own scorer. ``injected`` plants nine kinds of anomalies in three sizes and three lengths
into clean series and counts those found with a budget of one alarm a week. ``smap`` scores the telemetry with
its commands as further channels. ``--without`` leaves kinds of evidence out of the sum (error, z, extreme, discord,
rules; record: no decaying record; sum: the largest instead; trim: all rows teach): each figure then tells what the part
is worth. With
``--forecasts FOLDER`` what the networks said is kept there and read again, so that another scoring takes seconds; empty
the folder when anything about the networks changes.

One JSON line per set on stdout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from lstmcast.anomaly import judge, listen, tail, watch
from lstmcast.anomaly.watch import UNTAUGHT
from lstmcast.config import DetectionSettings, NetworkSettings, ReaderSettings, Settings, TrainingSettings
from lstmcast.recipes.detect import detect_anomalies

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("spike", "burst", "level_shift", "trend", "variance", "flat", "missing", "season", "new_extreme")
SIZES, LENGTHS = (3.0, 6.0, 12.0), (4, 24, 96)
PARTS = ("error", "z", "extreme", "discord", "rules", "record", "sum", "trim")
_ROWS = 2400
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
    options.add_argument("--budget", help="of nab, such as 1/week; without it the command's default")
    options.add_argument("--scores", type=Path, help="folder for the scores of nab")
    options.add_argument("--forecasts", type=Path, help="folder that keeps what the networks said")
    asked = options.parse_args()
    left_out = tuple(part for part in asked.without.split(",") if part)
    if unknown := set(left_out) - set(PARTS):
        options.error(f"--without {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    runs = {"nab": nab, "injected": injected, "smap": smap}
    for name in asked.sets.split(","):
        with ablated(left_out), untrimmed("trim" in left_out), remembered(asked.forecasts):
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


def untrimmed(asked: bool) -> Any:
    """Rows that were forecast very badly teach like any other, if ``asked``, for as long as the context lasts."""
    return patch.object(watch, "ordinary", (lambda error: np.ones(len(error), bool)) if asked else watch.ordinary)


def remembered(folder: Path | None) -> Any:
    """Networks taught and asked once for the same rows and plan, for as long as the context lasts."""
    forecast = listen.watch

    def kept(channels: Any, fresh: Any, rhythm: Any, plan: Any, memory: Any = UNTAUGHT, **named: Any) -> Any:
        if folder is None or memory.lessons:
            return forecast(channels, fresh, rhythm, plan, memory, **named)
        digest = hashlib.sha256(repr((rhythm, plan, [channel.name for channel in channels])).encode())
        for time_of, y in fresh:
            digest.update(time_of.tobytes() + y.tobytes())
        place = folder / f"{digest.hexdigest()[:24]}.pickle"
        if place.exists():
            return pickle.loads(place.read_bytes())
        told = forecast(channels, fresh, rhythm, plan, memory, **named)
        folder.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pickle.dumps(told))
        return told

    return patch.object(listen, "watch", kept)


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
        found = detect(folder / "data" / name, asked, budget=asked.budget)
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
    """Share of planted anomalies in which an alarm begins, what the events are called, and the alarms elsewhere."""
    tried: list[dict[str, Any]] = []
    false = weeks = cpu = 0.0
    bases = list(_clean(asked.data))
    for number, (name, freq, day, clean) in enumerate(bases[: asked.files]):
        cases = [case for k, case in enumerate(_plantings()) if k // len(KINDS) == number]
        times = pd.date_range("2026-01-05", periods=_ROWS, freq=freq)
        frames = []
        for k, case in enumerate(cases):
            y = _planted(clean, *case, day=day, rng=np.random.default_rng(1000 * asked.seed + 100 * number + k))
            frame = pd.DataFrame({"unique_id": f"s{k}", "ds": times, "y": y})
            frames.append(frame[frame["y"].notna()])
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / f"{name}.csv"
            pd.concat(frames).to_csv(data, index=False)
            told = detect(data, asked, budget="1/week")
        cpu += told.cpu_s
        for k, (kind, size, length) in enumerate(cases):
            events = told.events[told.events["unique_id"] == f"s{k}"]
            begins = np.searchsorted(times, pd.to_datetime(events["detected_at"]))
            weeks += (_ROWS - min(int(0.15 * _ROWS), 750)) / (7 * day)
            for place in _PLACES:
                inside = (begins >= place) & (begins < place + max(length, 4) + day // 4)
                said = events["kind"][inside].iloc[0] if inside.any() else ""
                tried.append({"base": name, "kind": kind, "size": size, "length": length, "said": said})
            near = [(begins >= place) & (begins < place + max(length, 4) + day) for place in _PLACES]
            false += int((~np.any(near, axis=0)).sum())
    return _injected_figures(pd.DataFrame(tried)) | {
        "false_alarms_per_week": round(false / weeks, 3),
        "cpu_s": round(cpu, 1),
    }


def _injected_figures(tried: pd.DataFrame) -> dict[str, Any]:
    tried = tried.assign(found=tried["said"] != "", named=tried["said"] == tried["kind"])
    crossed = pd.crosstab(tried["kind"], tried["said"].replace("", "missed"))
    by = {name: tried.groupby(name)["found"].mean().round(3).to_dict() for name in ("kind", "size", "length", "base")}
    return {
        "planted": len(tried),
        "recall_mean": round(float(tried["found"].mean()), 3),
        "recall": by,
        "named_of_found": round(_share(int(tried["named"].sum()), int(tried["found"].sum())), 3),
        "confusion": {kind: {k: int(v) for k, v in row.items() if v} for kind, row in crossed.iterrows()},
    }


def _clean(folder: Path) -> Iterator[tuple[str, str, int, np.ndarray]]:
    """Name, frequency, rows per day and values of series in which nothing is known to have happened."""
    loads = pd.read_csv(folder / "pjm_hourly" / "pjm_hourly.csv.gz")
    for name in ("AEP", "COMED", "DAYTON", "DEOK"):
        yield name, "h", 24, loads.loc[loads["unique_id"] == name, "y"].to_numpy(dtype=float)[-_ROWS:]
    transformer = pd.read_csv(folder / "ett" / "ETTh1.csv")
    for name in ("HUFL", "HULL", "OT"):
        yield name, "h", 24, transformer[name].to_numpy(dtype=float)[:_ROWS]
    demand = pd.read_csv(folder / "classics" / "taylor.csv").iloc[:, 0].to_numpy(dtype=float)
    yield "taylor", "30min", 48, demand[:_ROWS]
    yield "made", "15min", 96, _made(np.random.default_rng(0))


def _made(rng: np.random.Generator) -> np.ndarray:
    """A day-and-week series of quarter hours with noise that remembers itself."""
    row = np.arange(_ROWS)
    phase = 2 * np.pi * row / 96
    noise = np.zeros(_ROWS)
    for k in range(1, _ROWS):
        noise[k] = 0.5 * noise[k - 1] + rng.normal()
    made: np.ndarray = 100 + 12 * np.sin(phase) + 5 * np.sin(2 * phase + 1) + 4 * (row // 96 % 7 >= 5) + noise
    return made


def _plantings() -> Iterator[tuple[str, float, int]]:
    """Every kind, size and length once, so ordered that each of nine series gets every kind once."""
    pairs = [(size, length) for size in SIZES for length in LENGTHS]
    for turn in range(len(pairs)):
        for k, kind in enumerate(KINDS):
            yield (kind, *pairs[(turn + k) % len(pairs)])


def _planted(
    clean: np.ndarray, kind: str, size: float, length: int, *, day: int, rng: np.random.Generator
) -> np.ndarray:
    """``clean`` with the anomaly planted twice; ``size`` in robust deviations from the same time a week before."""
    y = clean.copy()
    week = clean[7 * day :] - clean[: -7 * day]
    unit = 1.4826 * float(np.median(np.abs(week - np.median(week)))) / np.sqrt(2)
    for place in _PLACES:
        at = slice(place, place + length)
        far = size * unit * float(rng.choice([-1.0, 1.0]))
        if kind == "spike":
            y[place : place + min(length, 3)] += far
        elif kind == "burst":
            y[at] += rng.normal(0, size * unit, length)
        elif kind == "level_shift":
            y[place:] += far
        elif kind == "trend":
            y[at] += far * np.arange(1, length + 1) / length
        elif kind == "variance":
            y[at] += unit * (size / 3) * rng.choice([-1.0, 1.0], length) * (1 + 0.3 * rng.normal(size=length))
        elif kind == "flat":
            y[at] = y[place]
        elif kind == "missing":
            y[at] = np.nan
        elif kind == "season":
            moved = day // 2 if size > SIZES[0] else day // 4
            y[at] = clean[place - moved : place - moved + length]
        else:
            end = clean[:place].max() - clean[at].max() if far > 0 else clean[:place].min() - clean[at].min()
            y[at] = clean[at] + end + far
    return y


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
