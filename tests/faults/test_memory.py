"""Memory: as much as the data take, and no more with every night or every hundred thousand series."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcast.cli.app import run as command
from lstmcast.recipes.run import run
from tests.faults.dying import child, ended
from tests.test_run import FIRST, deliver, write_job

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory as Linux tells it"),
]

ROWS = 24
PER_SERIES = 16 * 1024  # bytes: what the rows, the forecast of 12 steps and their texts take on the way
"""The file itself has some 800 bytes a series."""


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("nights", [30, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_the_memory_of_a_process_does_not_grow_with_the_nights(tmp_path: Path, nights: int) -> None:
    deliver(tmp_path, FIRST)
    job = write_job(tmp_path)
    run(job)

    def night() -> None:
        (tmp_path / "out" / "status.csv").unlink()
        assert run(job).facts["noop"] is False

    for _ in range(5):
        night()
    before = resident()
    for _ in range(nights):
        night()
    assert resident() - before < 12 * 2**20


def many(folder: Path, series: int) -> Path:
    """``series`` series of ``ROWS`` hourly rows in one file."""
    path = folder / f"{series}.csv"
    noise = np.random.default_rng(1).normal(50, 5, size=(series, ROWS)).round(2)
    ids = np.repeat([f"s{n:06d}" for n in range(series)], ROWS)
    times = np.tile(pd.date_range("2024-03-01", periods=ROWS, freq="h").astype(str), series)
    pd.DataFrame({"unique_id": ids, "ds": times, "y": noise.ravel()}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("few", "lots"),
    [pytest.param(1_000, 6_000, marks=pytest.mark.slow), pytest.param(5_000, 100_000, marks=pytest.mark.exhaustive)],
)
@pytest.mark.parametrize("verb", ["predict", "run"])
def test_every_further_series_takes_a_small_and_constant_amount_of_memory(
    tmp_path: Path, few: int, lots: int, verb: str, record_property: Callable[[str, object], None]
) -> None:
    model = ["-m", str(tmp_path / "models" / "sales"), "--horizon", "12", "--context", "12"]
    small = ["--hidden", "4", "--members", "1", "--max-steps", "4", "--set", "network.base=none"]
    assert command(["train", str(many(tmp_path, 50)), *model, *small, "-q"]) == 0

    def peak(series: int) -> int:
        """Bytes a process that forecasts ``series`` needs at most beyond what it began with."""
        data, note = many(tmp_path, series), tmp_path / "peak"
        job = write_job(tmp_path, name=f"n{series}", input=data.name, status=f"n{series}.json")

        def act() -> None:
            before = resident()
            words = ["run", str(job)] if verb == "run" else ["predict", str(data), *model[:2], "-o", f"{data}.out"]
            assert command([*words, "-q"]) == 0
            scale = 1 if sys.platform == "darwin" else 1024
            note.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale - before))

        assert ended(child(act)) == 0
        return int(note.read_text())

    each = (peak(lots) - peak(few)) / (lots - few)
    record_property("bytes_per_series", round(each))
    assert each < PER_SERIES
