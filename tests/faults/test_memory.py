"""Memory: no more with every night, and of many series no more than what is held of each."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcast.artifact import load
from lstmcast.config import ReaderSettings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.forecast.network import Network
from lstmcast.forecast.predict import forecasts
from lstmcast.forecast.standing import stand
from lstmcast.outcome import silent
from lstmcast.recipes.predict import predict
from lstmcast.recipes.run import run
from tests.faults.dying import child, ended
from tests.test_run import FIRST, deliver, write_job

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory as Linux tells it"),
]


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

    for _ in range(max(5, nights // 4)):  # the allocator's own pools fill in the first dozens of nights
        night()
    gc.collect()
    before = resident()
    for _ in range(nights):
        night()
    gc.collect()
    assert resident() - before < 12 * 2**20


FEW, MANY = 20_000, 100_000
ROWS = 50
HELD = 16  # bytes of a row, at most, while forecasts are made: value, mask and what says where its series begins
SLACK = 24 * 2**20  # names and places of the series, and the allocator's rounding


def peak(place: Path, action: Callable[[], object]) -> int:
    """Bytes by which the resident set of a child grows, at most, while it does ``action``."""

    def measured() -> None:
        before = resident()
        action()
        place.write_text(str(told("VmHWM") - before))

    assert ended(child(measured)) == 0
    return int(place.read_text())


def told(name: str) -> int:
    """Bytes that Linux tells of this process under ``name``."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def write_series(path: Path, count: int) -> None:
    times = pd.date_range("2024-03-01", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    names = np.char.add("s", np.arange(count).astype(str))
    values = np.random.default_rng(1).normal(size=count * ROWS).round(2)
    frame = pd.DataFrame({"unique_id": np.repeat(names, ROWS), "ds": np.tile(times, count), "y": values})
    frame.to_csv(path, index=False)


def forecast_in_parts(network: Network, panel: Panel) -> None:
    for part, _ in forecasts(network, panel, stand(network, panel)):
        assert len(part.ids) < FEW


@pytest.mark.exhaustive
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")
def test_the_memory_of_a_forecast_does_not_grow_with_the_series_beyond_what_reading_them_takes(tmp_path: Path) -> None:
    deliver(tmp_path, FIRST)
    run(write_job(tmp_path))
    folder = tmp_path / "models" / "sales"
    model = load(folder)
    network, reads, alone, commands = model.forecaster, {}, {}, {}
    for count in (FEW, MANY):
        data, output = tmp_path / f"{count}.csv", tmp_path / f"{count}-forecasts.csv"
        write_series(data, count)
        reading = partial(read, [str(data)], ReaderSettings(), schema=model.schema, on_progress=silent)
        reads[count] = peak(tmp_path / "peak", reading)
        commands[count] = peak(tmp_path / "peak", partial(predict, [str(data)], model=folder, output=str(output)))
        with output.open("rb") as file:
            assert sum(1 for _ in file) == 1 + count * model.architecture.horizon
        alone[count] = peak(tmp_path / "peak", partial(forecast_in_parts, network, reading().panel))
    told = f"reading {reads}, forecasting {alone}, the command {commands}"
    assert alone[MANY] - alone[FEW] < SLACK, told
    assert commands[MANY] - commands[FEW] < max(reads[MANY] - reads[FEW], (MANY - FEW) * ROWS * HELD) + SLACK, told
