"""Accuracy and cost on sets of the M4 competition, through the command line and with its defaults.

    python benchmarks/m4.py --data DIR [--sets Hourly,Weekly] [--seeds 1,2,3]

DIR holds ``<set>-train.csv`` and ``<set>-test.csv`` (or ``.csv.gz``). The data are public:
https://github.com/Mcompetitions/M4-methods, folder ``Dataset``; its wide files (``V1,V2,...``, one series per row) are
taken as they are, and so are long ones (``unique_id,ds,y``, where ``ds`` counts on from training to test).

For every set and seed, ``lstmcast train``, ``predict`` and ``evaluate`` run as processes of their own in a temporary
folder, with nothing but the horizon and the seed given. One JSON line each on stdout: the scores (as M4 defines them,
MASE with M4's season of each frequency), coverage, wall and CPU seconds, machine and versions, and the figures of
others to compare with. On a sample of a set, compare owa, which is relative to the sample's own Naive2.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]  # the command measured is the one beside this file
M4_RESULTS = "M4 competition results, github.com/Mcompetitions/M4-methods"


@dataclass(frozen=True)
class Set:
    """Horizon and MASE season as M4 has them; ``published`` are sMAPE and MASE on the complete set."""

    horizon: int
    season: int
    published: dict[str, tuple[float, float]] = field(default_factory=dict)


SETS = {
    "Hourly": Set(48, 24, {"naive2": (18.383, 2.395), "theta": (18.138, 2.455), "es-rnn": (9.328, 0.893)}),
    "Weekly": Set(13, 1, {"naive2": (9.161, 2.777), "theta": (9.093, 2.637), "es-rnn": (7.817, 2.356)}),
    "Daily": Set(14, 1, {"naive2": (3.045, 3.278), "theta": (3.053, 3.262), "es-rnn": (3.170, 3.446)}),
    "Monthly": Set(18, 12, {"naive2": (14.427, 1.063), "theta": (13.002, 0.970), "es-rnn": (12.126, 0.884)}),
    "Quarterly": Set(8, 4, {"naive2": (11.012, 1.371), "theta": (10.311, 1.232), "es-rnn": (9.679, 1.118)}),
    "Yearly": Set(6, 1, {"naive2": (16.342, 3.974), "theta": (14.593, 3.382), "es-rnn": (13.176, 2.980)}),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True, help="folder of the M4 files")
    options.add_argument(
        "--sets", default="Hourly,Weekly", help=f"some of {','.join(SETS)}; suffixes such as -inner pass"
    )
    options.add_argument("--seeds", default="1,2,3", help="one run for each")
    given = options.parse_args()
    sets = given.sets.split(",")
    unknown = [name for name in sets if name.partition("-")[0] not in SETS]
    if unknown:
        options.error(f"unknown set {unknown[0]}; choose from {', '.join(SETS)}")
    for name in sets:
        for seed in given.seeds.split(","):
            print(json.dumps(run(given.data, name, seed=int(seed))), flush=True)


def run(data: Path, name: str, *, seed: int) -> dict[str, Any]:
    """Train, predict and evaluate one set in a folder that is removed afterwards."""
    of = SETS[name.partition("-")[0]]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_long(data, name, place)
        horizon, season = str(of.horizon), str(of.season)
        train = lstmcast("train", "train.csv", "--horizon", horizon, "--seed", str(seed), "-m", "model", cwd=place)
        predict = lstmcast("predict", "train.csv", "-m", "model", "-o", "forecasts.csv", cwd=place)
        score = lstmcast(
            *("evaluate", "forecasts.csv", "test.csv", "--history", "train.csv", "--season", season), cwd=place
        )
    target = next(iter(score.facts["targets"].values()))
    metrics = {metric: values["y_hat"] for metric, values in target["metrics"].items()}
    return {
        "set": name,
        "seed": seed,
        "series": target["series"],
        **{metric: metrics[metric] for metric in ("owa", "smape", "mase")},
        "coverage": {
            metric.partition("-")[2]: held for metric, held in metrics.items() if metric.startswith("coverage")
        },
        "seasonal_naive_owa": target["metrics"]["owa"]["seasonal-naive"],
        "wall_s": {"train": train.wall_s, "predict": predict.wall_s, "evaluate": score.wall_s},
        "cpu_s": {"train": train.cpu_s, "predict": predict.cpu_s, "evaluate": score.cpu_s},
        "processor": processor(),
        "versions": versions(),
        "published": {"source": M4_RESULTS, **dict(references(of))},
    }


def references(of: Set) -> Iterator[tuple[str, dict[str, float]]]:
    """The published figures, with the OWA they amount to."""
    naive2_smape, naive2_mase = of.published["naive2"]
    for method, (smape, mase) in of.published.items():
        owa = (smape / naive2_smape + mase / naive2_mase) / 2
        yield method, {"owa": round(owa, 3), "smape": smape, "mase": mase}


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


def write_long(data: Path, name: str, place: Path) -> None:
    """``train.csv`` and ``test.csv`` in long form."""
    train, test = (read(data, f"{name}-{part}") for part in ("train", "test"))
    if "unique_id" not in train:
        train, test = melt(train, start=None), melt(test, start=train.set_index(train.columns[0]).notna().sum(axis=1))
    train.to_csv(place / "train.csv", index=False)
    test.to_csv(place / "test.csv", index=False)


def read(data: Path, stem: str) -> pd.DataFrame:
    for path in (data / f"{stem}.csv", data / f"{stem}.csv.gz"):
        if path.exists():
            return pd.read_csv(path)
    raise SystemExit(f"there is no {stem}.csv or {stem}.csv.gz in {data}; see --help for where the data come from")


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
