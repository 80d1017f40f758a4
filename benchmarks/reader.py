"""How fast files are read: rows per second and peak memory beside a bare ``pandas.read_csv``, as JSON lines.

    python benchmarks/reader.py [--rows 2000000] [--files 2000]

Each measurement runs in a process of its own; ``ratio`` is CPU time by that of pandas on the same file in the same run.
Ten million rows: ``--rows 10000000``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

PER_SERIES = 100


def write_long(path: Path, rows: int) -> None:
    """A long file of series of ``PER_SERIES`` days."""
    series = max(1, rows // PER_SERIES)
    days = pd.date_range("2024-01-01", periods=PER_SERIES).strftime("%Y-%m-%d").to_numpy()
    names = np.char.add("s", np.arange(series).astype(str))
    values = np.random.default_rng(0).normal(100, 10, series * PER_SERIES).round(2)
    frame = pd.DataFrame({"unique_id": np.repeat(names, PER_SERIES), "ds": np.tile(days, series), "y": values})
    frame.to_csv(path, index=False)


def write_many(folder: Path, files: int) -> None:
    """Small files of ``PER_SERIES`` days each."""
    days = pd.date_range("2024-01-01", periods=PER_SERIES).strftime("%Y-%m-%d")
    values = np.random.default_rng(0).normal(100, 10, (files, PER_SERIES)).round(2)
    for number, row in enumerate(values):
        lines = "".join(f"{day},{value}\n" for day, value in zip(days, row, strict=True))
        (folder / f"s{number:05d}.csv").write_text(f"ds,y\n{lines}", encoding="utf-8")


def measured(what: str, path: str) -> dict[str, float]:
    """CPU seconds and megabytes of reading ``path`` in a fresh process, imports and what they hold left out."""
    command = [sys.executable, __file__, "--measure", what, path]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def peak_kb() -> int:
    """The most memory this process has held; what its parent held is left out where the system tells (Linux)."""
    status = Path("/proc/self/status")
    told = status.read_text(encoding="utf-8").split() if status.exists() else []
    return int(told[told.index("VmHWM:") + 1]) if told else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(what: str, path: str) -> None:
    """One measurement, told as JSON."""
    from lstmcast.config import ReaderSettings
    from lstmcast.data.reader import read

    held, began = peak_kb(), time.process_time()
    if what == "lstmcast":
        read([path], ReaderSettings())
    elif "*" in path:
        pd.concat([pd.read_csv(file) for file in sorted(Path(path).parent.glob("*.csv"))])
    else:
        pd.read_csv(path)
    seconds = time.process_time() - began
    peak = (peak_kb() - held) / 1024
    sys.stdout.write(json.dumps({"cpu_s": round(seconds, 3), "peak_mb": round(peak, 1)}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--data", help="not needed: the data are made up")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "PATH"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(*asked.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_long(Path(folder) / "long.csv", asked.rows)
        (Path(folder) / "many").mkdir()
        write_many(Path(folder) / "many", asked.files)
        for name, path, rows in (
            ("one long file", f"{folder}/long.csv", asked.rows),
            ("many small files", f"{folder}/many/*.csv", asked.files * PER_SERIES),
        ):
            bare, ours = measured("pandas", path), measured("lstmcast", path)
            told = {"data": name, "rows": rows, "rows_per_cpu_s": round(rows / ours["cpu_s"]), **ours}
            ratios = {"ratio": round(ours["cpu_s"] / bare["cpu_s"], 2)}
            sys.stdout.write(json.dumps(told | ratios | {"pandas": bare}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
