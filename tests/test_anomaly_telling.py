"""The forecaster written out in numpy is the network that was taught."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from lstmcast.anomaly.lessons import ordinary
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.sequences import BACKS, Sequences, measure_unit
from lstmcast.anomaly.teaching import asked_of, network_of, teach, weights_of
from lstmcast.anomaly.telling import lstm_quantiles, tell

HOURS = Rhythm(day=24, week=168, rows=24, step=1)


def sequences(y: np.ndarray) -> Sequences:
    time = np.arange(len(y), dtype=np.int64)
    return Sequences([time], [y], [measure_unit(time, y, HOURS)], HOURS)


def series(rows: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 50 + 9 * np.sin(2 * np.pi * np.arange(rows) / 24) + rng.normal(size=rows)


def test_numpy_says_what_torch_says() -> None:
    there = sequences(series())
    network = network_of(cell="lstm", hidden=8, seed=3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    rows = np.array([1, 5, 64, 200, 399])
    asked = there.ask(np.zeros_like(rows), rows)
    np.testing.assert_allclose(lstm_quantiles(weights_of(network))(asked), asked_of(network)(asked), atol=3e-6)


def test_forecasts_do_not_depend_on_how_rows_are_cut() -> None:
    there = sequences(series())
    ask = lstm_quantiles(weights_of(network_of(cell="lstm", hidden=8, seed=3)))
    whole = tell(ask, there, 0, (100, 400))
    parts = np.concatenate([tell(ask, there, 0, cut) for cut in ((100, 101), (101, 250), (250, 400))])
    np.testing.assert_array_equal(whole, parts)
    assert np.isfinite(whole).all()
    assert np.isnan(tell(ask, there, 0, (0, 30))[: max(BACKS), -1]).all()


def test_what_is_far_beyond_the_usual_does_not_teach() -> None:
    error = np.random.default_rng(0).normal(size=1000)
    assert ordinary(error).all()
    error[:20] = 50.0
    assert np.flatnonzero(~ordinary(error)).tolist() == list(range(20))
    error[:400] = 50.0
    assert (~ordinary(error)).sum() == 0  # four rows in ten are no exception
    error[:30] = np.nan
    assert ordinary(error)[:30].all()


def test_a_stuck_stretch_in_the_training_rows_spoils_less_when_it_does_not_teach() -> None:
    y = series(600)
    dirty = y.copy()
    dirty[[*range(200, 212), *range(330, 342)]] = 300.0
    there = sequences(dirty)
    clean = np.ones(600, dtype=bool)
    clean[200:212] = clean[330:342] = False
    counted = there.teaches(np.zeros(3, dtype=np.int64), np.array([205, 250, 329]))
    assert counted.all()
    there.trim(0, clean)
    counted = there.teaches(np.zeros(3, dtype=np.int64), np.array([205, 250, 329]))
    assert counted.tolist() == [[False, False, True], [True, True, True], [True, False, True]]
    network = network_of(cell="lstm", hidden=8, seed=1)
    before = weights_of(network)
    teach(network, there, np.array([200]), np.array([212]), steps=1, seed=1)  # nothing here teaches
    moved = [float(np.abs(after - before[name]).max()) for name, after in weights_of(network).items()]
    assert max(moved) < 1e-5  # but for the decay of weights


@pytest.mark.parametrize("module", ["lstmcast.recipes.detect", "lstmcast.anomaly.watch", "lstmcast.anomaly.listen"])
def test_a_night_without_a_lesson_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
