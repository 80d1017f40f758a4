"""Interval widths that held-out windows vouch for."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from lstmcast.forecast import paths
from lstmcast.forecast.conformal import corrected, cross_corrected, width_factors

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
Floats = NDArray[np.float64]


def windows(count: int, *, spread: float, seed: int = 0, horizon: int = 8) -> tuple[Floats, Floats]:
    """Forecasts of standard normal values by somebody who believes in ``spread`` instead of 1."""
    scores = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    y = 100 + np.random.default_rng(seed).normal(size=(count, horizon, 1))
    return np.broadcast_to(100 + spread * scores, (*y.shape, len(LEVELS))).copy(), y


def coverage(quantiles: Floats, y: Floats, pair: int) -> float:
    inside = (y >= quantiles[..., 3 - pair]) & (y <= quantiles[..., 3 + pair])
    return float(inside[np.isfinite(y)].mean())


def test_intervals_half_as_wide_as_they_should_be_cover_what_they_promise_afterwards() -> None:
    factors = width_factors(*windows(400, spread=0.5), LEVELS)
    quantiles, y = windows(400, spread=0.5, seed=1)
    assert coverage(quantiles, y, 2) < 0.6
    fixed = corrected(quantiles, LEVELS, factors)
    for pair, promised in ((1, 0.5), (2, 0.8), (3, 0.95)):
        assert coverage(fixed, y, pair) == pytest.approx(promised, abs=0.03)


def test_intervals_too_wide_become_narrower_where_many_origins_say_so_and_medians_never_move() -> None:
    quantiles, y = windows(400, spread=1.5)
    factors = width_factors(quantiles, y, LEVELS)
    assert coverage(quantiles, y, 2) > 0.93
    fixed = corrected(quantiles, LEVELS, factors)
    assert coverage(fixed, y, 2) == pytest.approx(0.8, abs=0.04)
    np.testing.assert_array_equal(fixed[..., 3], quantiles[..., 3])
    few = width_factors(*windows(3, spread=1.5), LEVELS)
    assert (few > 0.9).all()


def test_many_windows_of_one_origin_say_little() -> None:
    quantiles, y = windows(400, spread=0.6)
    apart = width_factors(quantiles, y, LEVELS)
    at_once = width_factors(quantiles, y, LEVELS, origin=np.zeros(400, dtype=np.int64))
    assert (at_once > 1).all()
    assert (np.log(at_once) < 0.8 * np.log(apart)).all()


def test_corrected_quantiles_do_not_cross() -> None:
    quantiles, _ = windows(5, spread=1.0)
    factors = np.repeat(np.array([[5.0], [1.0], [1.0]]), 8, axis=1)  # the inner interval wider than the outer ones
    assert (np.diff(corrected(quantiles, LEVELS, factors), axis=-1) >= 0).all()


def test_each_part_of_the_horizon_has_its_own_factor() -> None:
    quantiles, y = windows(400, spread=1.0)
    y[:, 4:] = 100 + 4 * (y[:, 4:] - 100)
    factors = width_factors(quantiles, y, LEVELS)
    assert (factors[:, :4] < 1.2).all()
    assert (factors[:, 4:] > 3).all()


def test_few_windows_are_trusted_little_and_none_not_at_all() -> None:
    many, few = (width_factors(*windows(count, spread=0.4), LEVELS)[1, 0] for count in (300, 1))
    assert 1 <= few < 1.3 < many
    assert (width_factors(*windows(0, spread=0.4), LEVELS) == 1).all()


def test_values_not_observed_teach_nothing() -> None:
    quantiles, y = windows(100, spread=0.5)
    gone = y.copy()
    gone[::2] = np.nan
    other = quantiles.copy()
    other[::2] += 1000
    np.testing.assert_array_equal(width_factors(quantiles, gone, LEVELS), width_factors(other, gone, LEVELS))
    assert (width_factors(quantiles, np.full_like(y, np.nan), LEVELS) == 1).all()


def test_no_window_vouches_for_itself() -> None:
    quantiles, y = windows(40, spread=0.5)
    before = cross_corrected(quantiles, y, LEVELS)
    y[6] += 1000
    after = cross_corrected(quantiles, y, LEVELS)
    np.testing.assert_array_equal(before[::2], after[::2])
    assert (after[1::2] != before[1::2]).any()


def test_a_point_forecast_has_nothing_to_correct() -> None:
    point = np.ones((3, 8, 1, 1))
    factors = width_factors(point, np.ones((3, 8, 1)), (0.5,))
    assert factors.shape == (0, 8)
    np.testing.assert_array_equal(corrected(point, (0.5,), factors), point)


def test_each_step_of_many_paths_is_distributed_as_its_quantiles_say() -> None:
    quantiles, _ = windows(2, spread=2.0, horizon=3)
    drawn = paths.sample_paths(quantiles, LEVELS, 0.8 ** np.arange(3), number=4000, seed=1)
    assert drawn.shape == (2, 4000, 3, 1)
    assert np.quantile(drawn, LEVELS, axis=1) == pytest.approx(np.moveaxis(quantiles, -1, 0), abs=0.25)
    assert np.corrcoef(drawn[0, :, 0, 0], drawn[0, :, 1, 0])[0, 1] == pytest.approx(0.8, abs=0.05)


def test_paths_and_dependence_are_the_same_bits_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiles, y = windows(7, spread=0.5)
    y[2, 3] = np.nan
    quantiles[4] = np.nan
    whole = paths.dependence(quantiles, y, LEVELS)
    drawn = paths.sample_paths(quantiles, LEVELS, whole, number=5, seed=1)
    monkeypatch.setattr(paths, "_BLOCK", 1)
    assert np.array_equal(paths.dependence(quantiles, y, LEVELS), whole)
    assert np.array_equal(paths.sample_paths(quantiles, LEVELS, whole, number=5, seed=1), drawn, equal_nan=True)
