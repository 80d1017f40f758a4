"""Accuracy and cost on public data, through the command line and with its defaults.

    python benchmarks/accuracy.py --data DIR [--sets m4-hourly,m3-monthly] [--seeds 1,2,3] [--off KEY=VALUE]
    python benchmarks/accuracy.py --table RUNS.jsonl

DIR holds the folders below; a set whose files are missing is left out with a word on stderr.

    m4/    <Set>-train.csv and -test.csv (or .csv.gz), wide as published or long (unique_id,ds,y):
           https://github.com/Mcompetitions/M4-methods, folder Dataset
    m3/    the same for the M3 competition: https://forecasters.org/resources/time-series-data
    ett/   ETTh1.csv, ETTm1.csv: https://github.com/zhouhaoyi/ETDataset
    exchange_rate/exchange_rate.csv   https://github.com/laiguokun/multivariate-time-series-data
    pjm_hourly/pjm_hourly.csv         unique_id,ds,y; hourly load of PJM regions, https://github.com/salesforce/Merlion
    classics/   AirPassengers.csv and others: https://github.com/unit8co/darts, folder datasets

Competition sets run ``train``, ``predict`` and ``evaluate``; the others one ``backtest`` that trains before the first
origin. Every run is a process of its own in a temporary folder and is given nothing but the horizon, the seed and what
``--off`` switches (a settings key; for ablations). One JSON line each on stdout, of which
``--table`` makes a table of the means over the seeds: scores, coverage, the same scores of
the baselines, wall and CPU seconds, machine and versions, and figures of others to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]  # the command measured is the one beside this file


@dataclass(frozen=True)
class Competition:
    """``horizon`` and MASE ``season`` as the competition has them; ``references`` are OWA on the same series."""

    stem: str
    horizon: int
    season: int
    references: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rolling:
    """One file, forecast from many origins. Rows up to ``train`` give the unit, those from ``test`` on are forecast.

    ``rows``, ``train`` and ``test`` count rows of each series from the start, or as shares of all. ``references`` are
    mean squared errors in units of the training deviation.
    """

    path: str
    horizon: int
    train: float
    test: float
    rows: int | None = None
    stride: int = 1
    flags: tuple[str, ...] = ()
    references: dict[str, float] = field(default_factory=dict)


def _ett(name: str, scale: int, horizon: int, references: dict[str, float]) -> Rolling:
    rows = 14_400 * scale
    return Rolling(
        f"ett/{name}.csv",
        horizon,
        8_640 * scale,
        11_520 * scale,
        rows,
        flags=("--wide",),
        references=references,
    )


_SEGRNN_H = {96: 0.351, 192: 0.392, 336: 0.423, 720: 0.466}  # long look-back, github.com/lss-1138/SegRNN
_SEGRNN_M = {96: 0.293, 192: 0.328, 336: 0.357, 720: 0.410}

SETS: dict[str, Competition | Rolling] = {
    "m4-hourly": Competition("m4/Hourly", 48, 24, {"es-rnn": 0.440, "best entry": 0.410}),
    "m4-weekly": Competition("m4/Weekly", 13, 1, {"es-rnn": 0.851, "best entry": 0.739}),
    "m4-daily": Competition("m4/Daily", 14, 1),
    "m4-monthly": Competition("m4/Monthly", 18, 12),
    "m4-monthly-inner": Competition("m4/Monthly-inner", 18, 12, {"theta": 0.863}),
    "m4-quarterly": Competition("m4/Quarterly", 8, 4, {"theta": 0.902}),
    "m4-yearly": Competition("m4/Yearly", 6, 1, {"theta": 0.865}),
    "m3-yearly": Competition("m3/Yearly", 6, 1, {"theta": 0.900}),
    "m3-quarterly": Competition("m3/Quarterly", 8, 4, {"theta": 0.939}),
    "m3-monthly": Competition("m3/Monthly", 18, 12, {"theta": 0.822}),
    **{f"etth1-{h}": _ett("ETTh1", 1, h, {"SegRNN": mse}) for h, mse in _SEGRNN_H.items()},
    **{f"ettm1-{h}": _ett("ETTm1", 4, h, {"SegRNN": mse}) for h, mse in _SEGRNN_M.items()},
    "exchange-96": Rolling("exchange_rate/exchange_rate.csv", 96, 0.7, 0.8, flags=("--wide",)),
    "pjm-48": Rolling("pjm_hourly/pjm_hourly.csv", 48, -8_760, -8_760, stride=24),
    "air-passengers-12": Rolling("classics/AirPassengers.csv", 12, -36, -36, stride=1),
    "wine-12": Rolling("classics/wineind.csv", 12, -36, -36, stride=1),
    "beer-8": Rolling("classics/ausbeer.csv", 8, -24, -24, stride=1),
    "heart-rate-60": Rolling("classics/heart_rate.csv", 60, -600, -600, stride=20),
    "sunspots-24": Rolling("classics/monthly-sunspots.csv", 24, -240, -240, stride=6),
    "taylor-48": Rolling("classics/taylor.csv", 48, -672, -672, stride=12),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, help="folder with the folders named above")
    options.add_argument("--table", type=Path, help="print the runs of this file as a table")
    options.add_argument("--sets", default=",".join(SETS), help="some of the sets, separated by commas")
    options.add_argument("--seeds", default="1", help="one run for each")
    options.add_argument("--off", action="append", default=[], help="a settings key to set, such as network.highway=no")
    given = options.parse_args()
    if given.table is not None:
        print(table([json.loads(line) for line in given.table.read_text().splitlines()]))
        return
    if given.data is None:
        options.error("--data names the folder of the data")
    sets = given.sets.split(",")
    if unknown := [name for name in sets if name not in SETS]:
        options.error(f"unknown set {unknown[0]}; choose from {', '.join(SETS)}")
    for name in sets:
        for seed in given.seeds.split(","):
            of = SETS[name]
            extra = [part for key in given.off for part in ("--set", key)]
            score = competition if isinstance(of, Competition) else rolling
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = score(given.data, of, ["--seed", seed, *extra], Path(folder))  # type: ignore[arg-type]
                except FileNotFoundError as missing:
                    print(f"{name} is left out: {missing}", file=sys.stderr)
                    break
            facts = {"set": name, "seed": int(seed), "off": given.off, **found, "references": of.references}
            print(json.dumps(facts | {"processor": processor(), "versions": versions()}), flush=True)


def table(runs: list[dict[str, Any]]) -> str:
    """Mean over the seeds of each set: score, seasonal naive, references, coverage and seconds."""
    head = "| set | score | lstmcast | seasonal naive | others | 80 % / 95 % held | train s | seeds |"
    lines = [head, "|" + "---|" * 8]
    for name in dict.fromkeys(run["set"] + "".join(f" {off}" for off in run["off"]) for run in runs):
        of = [run for run in runs if run["set"] + "".join(f" {off}" for off in run["off"]) == name]
        if "owa" in of[0]:
            score, ours, naive = "OWA", [run["owa"] for run in of], of[0]["seasonal_naive_owa"]
            seconds = [run["wall_s"]["train"] for run in of]
        else:
            score, ours = "MSE", [run["mse"]["y_hat"] for run in of]
            naive = min(value for key, value in of[0]["mse"].items() if key != "y_hat")
            seconds = [run["wall_s"] for run in of]
        held = " / ".join(f"{np.mean([run['coverage'][level] for run in of]):.3f}" for level in ("80", "95"))
        others = ", ".join(f"{who} {value:.3f}" for who, value in of[0]["references"].items())
        lines.append(
            f"| {name} | {score} | {np.mean(ours):.3f} | {naive:.3f} | {others} | {held} | {np.mean(seconds):.0f} | "
            f"{len(of)} |"
        )
    return "\n".join(lines)


def competition(data: Path, of: Competition, flags: list[str], place: Path) -> dict[str, Any]:
    """Train on everything but the test, forecast it once."""
    write_long(data, of.stem, place)
    horizon, season = str(of.horizon), str(of.season)
    train = lstmcast("train", "train.csv", "--horizon", horizon, *flags, "-m", "model", cwd=place)
    predict = lstmcast("predict", "train.csv", "-m", "model", "-o", "forecasts.csv", cwd=place)
    score = lstmcast(
        *("evaluate", "forecasts.csv", "test.csv", "--history", "train.csv", "--season", season), cwd=place
    )
    target = next(iter(score.facts["targets"].values()))
    metrics = {metric: values["y_hat"] for metric, values in target["metrics"].items()}
    naive = target["metrics"]["owa"]["seasonal-naive"]
    coverage = {name.partition("-")[2]: held for name, held in metrics.items() if name.startswith("coverage")}
    return {
        "series": target["series"],
        **{metric: metrics[metric] for metric in ("owa", "smape", "mase")},
        "msis-95": metrics.get("msis-95"),
        "coverage": coverage,
        "seasonal_naive_owa": naive,
        "wall_s": {"train": train.wall_s, "predict": predict.wall_s, "evaluate": score.wall_s},
        "cpu_s": {"train": train.cpu_s, "predict": predict.cpu_s, "evaluate": score.cpu_s},
    }


def rolling(data: Path, of: Rolling, flags: list[str], place: Path) -> dict[str, Any]:
    """Train before the first origin, forecast from every origin up to the end."""
    frame = read(data, of.path.removesuffix(".csv"))
    by = "unique_id" if "unique_id" in frame else None
    if of.rows is not None:
        frame = frame.iloc[: of.rows]
    frame.to_csv(place / "data.csv", index=False)
    lengths = frame.groupby(by).size() if by else pd.Series([len(frame)])
    first = [_count(of.test, int(length)) for length in lengths]
    windows = min(
        (int(length) - start - of.horizon) // of.stride + 1 for start, length in zip(first, lengths, strict=True)
    )
    ran = lstmcast(
        *("backtest", "data.csv", "--horizon", str(of.horizon), "--windows", str(windows)),
        *("--stride", str(of.stride), "--baselines", "naive", "-o", "backtest.csv", *of.flags, *flags),
        cwd=place,
    )
    made = pd.read_csv(place / "backtest.csv")
    unit = deviations(frame, of, by, made)
    models = [name for name in ("y_hat", "naive", "seasonal-naive") if name in made]
    errors = {name: (made[name] - made["y"]) / unit for name in models}
    coverage = {
        name.rpartition("-")[2]: float(
            ((made["y"] >= made[name]) & (made["y"] <= made[name.replace("lo", "hi")])).mean()
        )
        for name in made
        if name.startswith("y_hat-lo-")
    }
    return {
        "series": int(made["unique_id"].nunique()),
        "windows": windows,
        "mse": {name: round(float((error**2).mean()), 4) for name, error in errors.items()},
        "mae": {name: round(float(error.abs().mean()), 4) for name, error in errors.items()},
        "coverage": {name: round(held, 4) for name, held in coverage.items()},
        "wall_s": ran.wall_s,
        "cpu_s": ran.cpu_s,
    }


def _count(where: float, length: int) -> int:
    """A row counted from the start, from the end (negative), or as a share of all."""
    return int(length + where) if where < 0 else int(where * length) if where < 1 else int(where)


def deviations(frame: pd.DataFrame, of: Rolling, by: str | None, made: pd.DataFrame) -> pd.Series:
    """The population deviation over the training rows of the series of each row of ``made``."""
    if by:
        units = {str(name): _deviation(part["y"], of) for name, part in frame.groupby(by)}
    else:
        units = {str(name): _deviation(frame[name], of) for name in frame.select_dtypes("number")}
    names = made["unique_id"].astype(str)
    if len(units) == 1:
        return pd.Series(next(iter(units.values())), index=made.index)
    return names.map(units)


def _deviation(values: pd.Series, of: Rolling) -> float:
    return float(np.std(values.to_numpy()[: _count(of.train, len(values))]))


@dataclass(frozen=True)
class Ran:
    facts: dict[str, Any]
    wall_s: float
    cpu_s: float


def lstmcast(*arguments: str, cwd: Path) -> Ran:
    """Run the command; its JSON facts and what it cost. Exit 6 (some series fell back) counts as done."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "lstmcast", *arguments, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 6):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(json.loads(done.stdout), round(wall, 2), round(cpu, 2))


def write_long(data: Path, stem: str, place: Path) -> None:
    """``train.csv`` and ``test.csv`` in long form."""
    train, test = (read(data, f"{stem}-{part}") for part in ("train", "test"))
    if "unique_id" not in train:
        train, test = melt(train, start=None), melt(test, start=train.set_index(train.columns[0]).notna().sum(axis=1))
    train.to_csv(place / "train.csv", index=False)
    test.to_csv(place / "test.csv", index=False)


def read(data: Path, stem: str) -> pd.DataFrame:
    for path in (data / f"{stem}.csv", data / f"{stem}.csv.gz"):
        if path.exists():
            return pd.read_csv(path)
    raise FileNotFoundError(f"there is no {stem}.csv or {stem}.csv.gz in {data}")


def melt(wide: pd.DataFrame, *, start: pd.Series | None) -> pd.DataFrame:
    """One row per observation; ``ds`` counts from 1, or on from the number of training rows of each series."""
    values = wide.set_index(wide.columns[0])
    values.columns = pd.RangeIndex(1, values.shape[1] + 1)
    long = values.rename_axis("unique_id").stack().dropna().rename("y").rename_axis(["unique_id", "ds"]).reset_index()
    return long if start is None else long.assign(ds=long["ds"] + long["unique_id"].map(start))


def versions() -> dict[str, str]:
    own = re.search(r'__version__ = "(.+)"', (ROOT / "lstmcast" / "__init__.py").read_text())
    others = {name: version(name) for name in ("torch", "numpy", "pandas")}
    return {"lstmcast": own[1] if own else "unknown", "python": platform.python_version(), **others}


def processor() -> str:
    """The processor's name, where the system tells it."""
    listed = Path("/proc/cpuinfo")
    names = [line for line in listed.read_text().splitlines() if "model name" in line] if listed.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
