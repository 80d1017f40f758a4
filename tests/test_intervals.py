"""Intervals at any level, and the bounds a user sets."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from lstmcast.config import NetworkSettings
from lstmcast.errors import UsageError
from lstmcast.forecast.intervals import at_levels, bounded, level_pairs
from lstmcast.layers import resolve


def test_whole_numbers_stay_within_bounds_that_are_none() -> None:
    wish = NetworkSettings(minimum=0.5, maximum=3.7, integer=True)
    made = bounded(np.array([-1.0, 0.2, 0.6, 2.5, 3.6, 9.0]), wish)
    assert made.tolist() == [1, 1, 1, 2, 3, 3]
    assert bounded(np.array([-1.4, 9.0]), NetworkSettings(minimum=0.5)).tolist() == [0.5, 9.0]
    assert bounded(np.array([-1.4, 9.6]), NetworkSettings(integer=True)).tolist() == [-1, 10]


def test_bounds_without_a_whole_number_between_them_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no whole number between minimum 0\.2 and maximum 0\.8"):
        resolve([("test", {"network": {"minimum": 0.2, "maximum": 0.8, "integer": True}})], choices={})


def test_a_level_that_is_none_is_told_of_once() -> None:
    with pytest.raises(UsageError, match="less than 100") as caught:
        resolve([("test", {"network": {"levels": [120]}})], choices={})
    assert "too short" not in str(caught.value)
    assert "at least 1" not in str(caught.value)
    with pytest.raises(UsageError, match="at least 1 item"):
        resolve([("test", {"network": {"levels": []}})], choices={})


@pytest.mark.parametrize(("percent", "half"), [(80, 1.2816), (33.3, 0.4303), (99.9, 3.2905)])
def test_intervals_of_a_normal_distribution_are_exact_at_any_level(percent: float, half: float) -> None:
    trained = (0.1, 0.25, 0.5, 0.75, 0.9)
    quantiles = np.array([NormalDist(5, 2).inv_cdf(level) for level in trained])
    low, high = at_levels(quantiles, trained, level_pairs((percent,))[0])
    assert low == pytest.approx(5 - 2 * half, abs=1e-3)
    assert high == pytest.approx(5 + 2 * half, abs=1e-3)
