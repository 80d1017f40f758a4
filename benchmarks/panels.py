"""Many series at once: what ``train`` and ``predict`` take in time and memory, as JSON lines.

    python benchmarks/panels.py [--series N] [--rows N] [--trained-on N] [-- TRAIN OPTIONS]

The panel is made here: daily series, each a level drawn from a log-normal, a weekly cycle of its own, a random walk and
noise, all from NumPy's PCG64 with ``--seed``. ``--trained-on`` trains on the first so many series and predicts all of
them, which tells the speed of predicting alone. Each command is a process of its own; told are wall and CPU seconds,
series per second, and the peak of its memory: of the largest process and, on Linux, of all its processes together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]  # the command measured is the one beside this file
BLOCK = 1000  # series made at once


def write_panel(path: Path, *, series: int, rows: int, seed: int) -> None:
    """A long CSV file: unique_id, ds, y; the first series are the same whatever their number."""
    days = pd.date_range("2020-01-01", periods=rows, freq="D").strftime("%Y-%m-%d").to_numpy()
    week = np.arange(rows) % 7
    path.unlink(missing_ok=True)
    for start in range(0, series, BLOCK):
        count = min(BLOCK, series - start)
        random = np.random.default_rng([seed, start])
        level = random.lognormal(4, 1, (BLOCK, 1))
        cycle = random.normal(0, 0.15, (BLOCK, 7))[:, week]
        walk = random.normal(0, 0.02, (BLOCK, rows)).cumsum(axis=1)
        y = level * np.exp(cycle + walk + random.normal(0, 0.05, (BLOCK, rows)))
        names = np.array([f"s{number:06d}" for number in range(start, start + count)], dtype=object)
        frame = pd.DataFrame(
            {"unique_id": np.repeat(names, rows), "ds": np.tile(days, count), "y": y[:count].reshape(-1).round(3)}
        )
        frame.to_csv(path, mode="a", header=start == 0, index=False, lineterminator="\n")


def measured(arguments: list[str]) -> dict[str, Any]:
    """Run ``lstmcast`` with ``arguments``: wall and CPU seconds, exit code and peak memory in MiB."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "lstmcast", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = [0.0, 0.0]
    watcher = threading.Thread(target=_watch, args=(process, peak), daemon=True)
    watcher.start()
    code = process.wait()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told: dict[str, Any] = {
        "wall_s": round(time.monotonic() - began, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "exit": code,
    }
    if peak[0]:
        told |= {"peak_largest_mib": round(peak[0]), "peak_together_mib": round(peak[1])}
    return told


def _watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Note the peak of the largest process, and of all of them together, while ``process`` lives."""
    while process.poll() is None:
        sizes = [_mib(pid) for pid in _family(process.pid)]
        if sizes:
            peak[0] = max(peak[0], max(high for high, _ in sizes))
            peak[1] = max(peak[1], sum(now for _, now in sizes))
        time.sleep(0.1)


def _family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += [int(child) for child in text.split()]
    return found


def _mib(pid: int) -> tuple[float, float]:
    """Peak and present resident memory; zeros for a process that is gone, or where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmHWM", "VmRSS"))}
    return sizes.get("VmHWM", 0.0), sizes.get("VmRSS", 0.0)


def tell(facts: dict[str, Any]) -> None:
    """One JSON line on stdout."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make the panel, train, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trained-on", type=int, help="series trained on; all of them by default")
    parser.add_argument("--folder", type=Path, help="keep data, model and forecasts here")
    parser.add_argument("options", nargs="*", help="more options of train, after --")
    given = parser.parse_args()
    count = given.trained_on or given.series
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        everything, some, model = folder / "panel.csv", folder / "some.csv", folder / "model"
        write_panel(everything, series=given.series, rows=given.rows, seed=given.seed)
        if count < given.series:
            write_panel(some, series=count, rows=given.rows, seed=given.seed)
        learned_from = some if count < given.series else everything
        size = {"rows": given.rows, "seed": given.seed, "cores": len(os.sched_getaffinity(0))}
        size["processor"] = platform.processor() or platform.machine()
        train = measured(["train", str(learned_from), "-m", str(model), "-q", *given.options])
        tell({"stage": "train", "series": count} | size | train)
        predict = measured(["predict", str(everything), "-m", str(model), "-o", str(folder / "forecasts.csv"), "-q"])
        speed = {"series_per_s": round(given.series / predict["wall_s"]) if predict["wall_s"] else None}
        speed["series_per_cpu_s"] = round(given.series / predict["cpu_s"]) if predict["cpu_s"] else None
        tell({"stage": "predict", "series": given.series} | size | predict | speed)


if __name__ == "__main__":
    main()
