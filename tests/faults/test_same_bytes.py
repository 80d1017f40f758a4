"""Same input, seed and threads: the same bytes. Another number of threads: the same forecasts to five digits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.test_run import FIRST, deliver

pytestmark = [pytest.mark.fault, pytest.mark.slow]

TRAIN = ["--horizon", "12", "--context", "48", "--hidden", "8", "--max-steps", "20", "--members", "2"]


def command(folder: Path, *arguments: str, threads: int) -> None:
    """One command in a process of its own, told from outside how many threads its libraries may start."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    words = [sys.executable, "-m", "lstmcast", *arguments, "--threads", str(threads), "-q"]
    subprocess.run(words, check=True, cwd=folder, env=environment, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models trained twice with one thread and once with two, and the forecasts of each."""
    folder = tmp_path_factory.mktemp("bytes")
    deliver(folder, FIRST)
    for name, threads in (("one", 1), ("again", 1), ("two", 2)):
        command(folder, "train", "sales.csv", "-m", name, *TRAIN, threads=threads)
        command(folder, "predict", "sales.csv", "-m", name, "-o", f"{name}.csv", threads=threads)
    command(folder, "predict", "sales.csv", "-m", "one", "-o", "one-by-two.csv", threads=2)
    return folder


def test_the_same_input_seed_and_threads_give_the_same_bytes(folder: Path) -> None:
    for name in ("weights.safetensors", "calibration.json", "metrics.csv"):
        assert (folder / "one" / name).read_bytes() == (folder / "again" / name).read_bytes(), name
    assert (folder / "one.csv").read_bytes() == (folder / "again.csv").read_bytes()


@pytest.mark.parametrize("other", ["one-by-two.csv", "two.csv"])
def test_another_number_of_threads_gives_the_same_forecasts_to_five_digits(folder: Path, other: str) -> None:
    ours, theirs = (pd.read_csv(folder / name) for name in ("one.csv", other))
    columns = [name for name in ours if name.startswith("y_hat")]
    assert len(columns) == 5
    np.testing.assert_allclose(ours[columns], theirs[columns], rtol=1e-5)
