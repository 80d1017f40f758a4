"""How far forecasts are drawn towards the last value and the last season, and what evidence is worth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lstmcast.forecast.evidence import origins_of, variance_of_sum
from lstmcast.forecast.shrink import Expected, shares

Floats = NDArray[np.float64]
H = 8
UNSURE = [Expected((0.0, 0.0), 1.0), Expected((1.0, 0.0), 0.5), Expected((0.0, 1.0), 0.5)]


def drawn(own: Floats, actual: Floats, *towards: Floats, series: int = 1, expected: list[Expected] = UNSURE) -> Floats:
    """The shares of ``towards`` (V, H) for forecasts ``own`` (V, H) of windows of ``series`` series in turn."""
    of = np.repeat(np.arange(series), len(own) // series)
    others = [other[..., None] for other in towards]
    return shares(
        own[..., None, None],
        actual[..., None],
        others,
        unit=np.ones((series, 1)),
        series=of,
        median=0,
        expected=expected,
    )


def walks(windows: int, *, seed: int) -> tuple[Floats, Floats, Floats]:
    """Random walks from 0, the last season of a forecaster who waits for a wave, and what a network made of noise."""
    random = np.random.default_rng(seed)
    walk = random.normal(size=(windows, H)).cumsum(axis=1)
    return walk, 4 * np.sin(np.arange(H))[None] + random.normal(size=(windows, H)), random.normal(size=(windows, H))


@pytest.mark.parametrize("seed", range(5))
def test_noise_about_the_last_value_of_random_walks_is_taken_out(seed: int) -> None:
    walk, season, noise = walks(30, seed=seed)
    last, seasonal = drawn(noise, walk, np.zeros_like(walk), season)
    assert last > 0.8
    assert seasonal < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_a_season_that_repeats_better_than_the_network_knows_it_is_repeated(seed: int) -> None:
    walk, _, noise = walks(30, seed=seed)
    wave = 4 * np.sin(np.arange(H))[None] + 0 * walk
    last, seasonal = drawn(wave + 2 * noise, wave + noise[::-1], np.zeros_like(walk), wave)
    assert seasonal > 0.8
    assert last < 0.1


@pytest.mark.parametrize("windows", [1, 2, 10, 100])
def test_a_forecast_that_is_right_is_left_alone(windows: int) -> None:
    walk, season, noise = walks(windows, seed=2)
    assert drawn(walk + 0.1 * noise, walk, np.zeros_like(walk), season).tolist() == [0, 0]


def test_many_series_at_one_time_say_less_than_many_times() -> None:
    random = np.random.default_rng(4)
    right = random.normal(size=(60, H)) + 1
    actual = right + random.normal(size=(60, H))
    sure = [Expected((0.0,), 1.0)]
    at_once = drawn(2 * right, actual, np.zeros_like(right), series=60, expected=sure)  # half of it is too much
    in_turn = drawn(2 * right, actual, np.zeros_like(right), series=1, expected=sure)
    assert 0.1 < at_once < in_turn - 0.05


def test_nothing_held_out_and_nothing_known_draw_nowhere() -> None:
    empty = np.empty((0, H))
    assert drawn(empty, empty, empty, empty).tolist() == [0, 0]
    walk, season, noise = walks(5, seed=0)
    assert drawn(noise, np.full_like(walk, np.nan), np.zeros_like(walk), season).tolist() == [0, 0]
    assert drawn(np.zeros_like(walk), walk, np.zeros_like(walk), season).tolist() == [0, 0]


def test_shares_do_not_depend_on_the_unit_of_a_series() -> None:
    walk, season, noise = walks(30, seed=3)
    parts = [part[..., None] for part in (walk, np.zeros_like(walk), season)]
    each = [
        shares(
            k * noise[..., None, None], k * parts[0], [k * part for part in parts[1:]], unit=np.full((1, 1), k),
            series=np.zeros(30, dtype=np.int64), median=0, expected=UNSURE,
        )
        for k in (1.0, 1000.0)
    ]  # fmt: skip
    assert each[0] == pytest.approx(each[1], rel=1e-9)


def test_windows_that_begin_at_the_same_distance_from_the_end_are_of_one_origin() -> None:
    assert origins_of(np.array([0, 0, 0, 1, 2, 2])).tolist() == [2, 1, 0, 0, 1, 0]


def test_errors_in_common_count_as_one() -> None:
    random = np.random.default_rng(1)
    common = np.repeat(random.normal(size=20), 50)
    origin = np.repeat(np.arange(20), 50)
    assert variance_of_sum(common, origin) == pytest.approx(2 * 50 * 50 * 20, rel=0.7)  # neighbouring origins are one
    alone = variance_of_sum(random.normal(size=1000), np.arange(1000))
    assert alone == pytest.approx(2 * 1000, rel=0.2)
    at_once = variance_of_sum(random.normal(size=1000), np.zeros(1000, dtype=np.int64))
    assert at_once > 25 * alone
    assert variance_of_sum(np.ones(1), np.zeros(1, dtype=np.int64)) == float("inf")
