"""What it costs to start: CPU seconds of whole commands in fresh processes, as JSON lines.

    python benchmarks/startup.py [--data DIR]

Each command runs five times; the best is told, beside its ratio to ``import torch, pandas`` in the same run. The data
are sample_data/ of this repository; ``--data`` names another folder that holds sea_temperature.csv.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 5


def cpu_seconds(command: list[str]) -> float:
    """The least CPU time, user and system, of a few runs of ``command``."""
    best = float("inf")
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "sample_data")
    data = str(parser.parse_args().data / "sea_temperature.csv")
    lstmcast = [sys.executable, "-m", "lstmcast"]
    imports = cpu_seconds([sys.executable, "-c", "import torch, pandas"])
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model"
        subprocess.run([*lstmcast, "train", data, "-m", model, "--max-steps", "5", "-q"], check=True, cwd=ROOT)
        commands = {
            "--version": ["--version"],
            "--help": ["--help"],
            "train --help": ["train", "--help"],
            "unknown option": ["train", "--hiden", "3"],
            "settings fault": ["train", data, "--layers", "0"],
            "list cells": ["list", "cells"],
            "check": ["check", data],
            "predict": ["predict", data, "-m", model, "-o", f"{folder}/forecasts.csv", "-q"],
        }
        for name, arguments in commands.items():
            seconds = cpu_seconds([*lstmcast, *arguments])
            told = {"command": name, "cpu_s": round(seconds, 3), "of_import_torch_pandas": round(seconds / imports, 3)}
            sys.stdout.write(json.dumps(told | {"processor": platform.processor() or platform.machine()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
