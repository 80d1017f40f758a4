"""What a scheduled night costs when 24 rows are new, after a short history and after a long one.

    python benchmarks/nightly.py [--detect | --stateful | --watch]

Prints JSON lines: the wall time and CPU time of `lstmcast run` (with ``--watch``: of `lstmcast detect-anomalies --state
--new-only`) on each length, and the ratio of the two. The bar: a
night after 1,000,000 rows takes at most 1.5 times as long as one after 10,000. Every night is a process of its own, as
from cron; the smallest of some repetitions counts. On a busy machine the ratio of the CPU times is the one to trust.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

NEW_ROWS = 24
BAR = 1.5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs=2, default=(10_000, 1_000_000), help="the two lengths of history")
    options.add_argument("--nights", type=int, default=5, help="nights measured on each")
    options.add_argument("--detect", action="store_true", help="look for anomalies too")
    options.add_argument("--stateful", action="store_true", help="with a network that carries its state")
    options.add_argument("--watch", action="store_true", help="nights of detect-anomalies with a state instead")
    chosen = options.parse_args()
    times = {}
    for rows in chosen.rows:
        with tempfile.TemporaryDirectory() as folder:
            place, nights = Path(folder), chosen.nights
            times[rows] = (
                watched(place, rows, nights=nights)
                if chosen.watch
                else measure(place, rows, nights=nights, detect=chosen.detect, stateful=chosen.stateful)
            )
    short, long = chosen.rows
    wall, cpu = (min(at[k] for at in times[long]) / min(at[k] for at in times[short]) for k in (0, 1))
    told = {"ratio": round(wall, 3), "cpu_ratio": round(cpu, 3), "bar": BAR, "held": wall <= BAR}
    print(json.dumps(told | {"detect": chosen.detect, "stateful": chosen.stateful, "watch": chosen.watch}))


def measure(folder: Path, rows: int, *, nights: int, detect: bool, stateful: bool) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each night after the first, which trains and reads everything."""
    history = made_up(rows + NEW_ROWS * nights)
    job = {
        "input": "meter.csv",
        "retrain": "never",
        "predict": {"horizon": 24, "output": "out/forecasts.csv"},
        "settle": "0s",
        "network": {"hidden": 16, "context": 168},
        "training": {"max_steps": 20, "stateful": stateful},
    } | ({"detect": {"output": "out/anomalies.csv", "events": "out/events.csv"}} if detect else {})
    (folder / "meter.yaml").write_text(yaml.safe_dump(job))
    history.head(rows).to_csv(folder / "meter.csv", index=False)
    command = ["run", str(folder / "meter.yaml"), "-q"]
    one_night(command)
    seconds = []
    for night in range(nights):
        grow(folder / "meter.csv", history, rows + NEW_ROWS * night)
        wall, cpu = one_night(command)
        status = json.loads((folder / "out" / "status.json").read_text())
        told = {
            "rows": rows,
            "night": night + 1,
            "seconds": round(wall, 2),
            "cpu": round(cpu, 2),
            "read": status["read"],
        }
        print(json.dumps(told | {"scored": status["scored"]}), flush=True)
        seconds.append((wall, cpu))
    return seconds


def watched(folder: Path, rows: int, *, nights: int) -> list[tuple[float, float]]:
    """The same of `detect-anomalies` with a state, whose first night judges everything."""
    history = made_up(rows + NEW_ROWS * nights)
    history.head(rows).to_csv(folder / "meter.csv", index=False)
    places = ["--state", str(folder / "state"), "-o", str(folder / "rows.csv"), "--events", str(folder / "events.csv")]
    quick = ["--set", "training.max_steps=20", "--set", "network.hidden=16"]
    command = ["detect-anomalies", str(folder / "meter.csv"), "--new-only", *places, *quick, "-q"]
    first = one_night(command)
    print(json.dumps({"rows": rows, "night": 0, "seconds": round(first[0], 2), "cpu": round(first[1], 2)}), flush=True)
    seconds = []
    for night in range(nights):
        grow(folder / "meter.csv", history, rows + NEW_ROWS * night)
        wall, cpu = one_night(command)
        state = sum(file.stat().st_size for file in (folder / "state").iterdir())
        told = {"rows": rows, "night": night + 1, "seconds": round(wall, 2), "cpu": round(cpu, 2)}
        print(json.dumps(told | {"state_mb": round(state / 1e6, 2)}), flush=True)
        seconds.append((wall, cpu))
    return seconds


def grow(file: Path, history: pd.DataFrame, start: int) -> None:
    """Append the rows of a night that begins at the row ``start``."""
    with file.open("a") as there:
        history.iloc[start : start + NEW_ROWS].to_csv(there, index=False, header=False)


def one_night(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    program = shutil.which("lstmcast") or ""
    command = [program] if program and not os.environ.get("PYTHONPATH") else [sys.executable, "-m", "lstmcast"]
    subprocess.run([*command, *arguments], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def made_up(rows: int) -> pd.DataFrame:
    """One hourly series with a day, a week and noise."""
    hours, noise = np.arange(rows), np.random.default_rng(5)
    value = 100 + 20 * np.sin(2 * np.pi * hours / 24) + 8 * np.sin(2 * np.pi * hours / 168) + noise.normal(size=rows)
    return pd.DataFrame({"ds": pd.date_range("1910-01-01", periods=rows, freq="h"), "y": value.round(2)})


if __name__ == "__main__":
    main()
