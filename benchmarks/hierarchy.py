"""Forecasts that add up beside forecasts that do not, on series that are part of each other.

    python benchmarks/hierarchy.py --data DIR [--seeds 1 2] [--horizon 4] [--windows 3] [--encoder stack]

Needs `classics/australian_tourism.csv`: visitor nights of 36 quarters, by purpose, purpose and state, and these by city
or not, a tree of 89 series in four levels. The columns of whole states cross that tree and are left out. One JSON line
for each seed and way of adding up: MASE of every level and the share of actuals in the intervals, over all origins, and
by how much of its size a parent differs from the sum of its children at most.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from lstmcast.config import NetworkSettings, ReaderSettings, Settings, TrainingSettings
from lstmcast.recipes.backtest import backtest

WAYS = ("none", "bottom-up", "mint")


def long(path: Path) -> pd.DataFrame:
    """One row per series and quarter, with the parent its name tells: Total, Hol, NSW - hol, NSW - hol - city."""
    wide = pd.read_csv(path)
    purposes = {name.lower(): name for name in ("Hol", "VFR", "Bus", "Oth")}

    def parent(name: str) -> str | None:
        parts = name.split(" - ")
        if name == "Total":
            return ""
        if name.lower() in purposes:
            return "Total"
        if len(parts) == 2:
            return purposes[parts[1]]
        return " - ".join(parts[:-1]) if len(parts) == 3 else None

    kept = [name for name in wide if parent(name) is not None]
    frames = [
        pd.DataFrame({"series": name, "part_of": parent(name), "quarter": range(1, len(wide) + 1), "y": wide[name]})
        for name in kept
    ]
    return pd.concat(frames, ignore_index=True)


def level(name: str) -> str:
    return "total" if name == "Total" else ("purpose", "state", "city")[name.count(" - ")]


def scored(data: Path, how: str, seed: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The backtest of one way of adding up."""
    settings = Settings(
        reader=ReaderSettings(id_col="series", parent=("part_of",), time_col="quarter", target=("y",)),
        network=NetworkSettings(horizon=options.horizon, coherent=how, encoder=options.encoder),
        training=TrainingSettings(seed=seed, threads=1),
    )
    output, metrics = folder / "backtest.csv", folder / "metrics.csv"
    began = time.process_time()
    outcome = backtest(
        [str(data)], settings=settings, windows=options.windows, output=str(output), metrics=str(metrics)
    )
    tidy, frame = pd.read_csv(metrics), pd.read_csv(output)
    mase = tidy[tidy["metric"] == "mase"]
    by_level = mase.groupby(mase["unique_id"].map(level))["value"].mean()
    overall = outcome.facts["metrics"]
    return {
        "seed": seed,
        "coherent": how,
        "mase": round(overall["mase"]["y_hat"], 4),
        "mase_seasonal_naive": round(overall["mase"]["seasonal-naive"], 4),
        **{f"mase_{name}": round(float(by_level[name]), 4) for name in ("total", "purpose", "state", "city")},
        "coverage_80": round(overall["coverage-80"]["y_hat"], 3),
        "coverage_95": round(overall["coverage-95"]["y_hat"], 3),
        "largest_difference": float(f"{_difference(frame, data):.2g}"),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def _difference(frame: pd.DataFrame, data: Path) -> float:
    parents = pd.read_csv(data, keep_default_na=False).drop_duplicates("series").set_index("series")["part_of"]
    table = frame.pivot_table(index=["cutoff", "ds"], columns="unique_id", values="y_hat")
    children = parents[parents != ""]
    sums = table[children.index].T.groupby(children).sum().T
    return float(np.max(np.abs(table[sums.columns] / sums - 1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--horizon", type=int, default=4)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--encoder", default="stack")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "tourism.csv"
        long(options.data / "classics" / "australian_tourism.csv").to_csv(data, index=False)
        for seed in options.seeds:
            for how in WAYS:
                print(json.dumps(scored(data, how, seed, options, folder)), flush=True)


if __name__ == "__main__":
    main()
