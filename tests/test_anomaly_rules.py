from __future__ import annotations

import numpy as np
import pytest

from lstmcast.anomaly.rules import flat, level_shift, missing, variance

DAY, WARM_UP, ROWS = 24, 200, 1200


def noisy(seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return 50 + 5 * np.sin(2 * np.pi * np.arange(ROWS) / DAY) + generator.normal(size=ROWS)


@pytest.mark.parametrize("seed", range(8))
def test_a_clean_series_breaks_no_rule(seed: int) -> None:
    y = noisy(seed)
    noise = np.random.default_rng(seed + 100).normal(size=ROWS)
    assert flat(y, warm_up=WARM_UP) == []
    assert level_shift(y, day=DAY, warm_up=WARM_UP) == []
    assert variance(noise, day=DAY, warm_up=WARM_UP) == []
    assert missing(np.ones(ROWS - 1, dtype=np.int64), warm_up=WARM_UP) == []


def test_a_stuck_sensor_is_told_after_a_few_equal_values() -> None:
    y = noisy()
    y[500:540] = y[500]
    (hit,) = flat(y, warm_up=WARM_UP)
    assert (hit.kind, hit.onset, hit.last) == ("flat", 500, 539)
    assert hit.row == 503


def test_a_switch_that_nobody_has_touched_yet_is_not_stuck() -> None:
    y = np.zeros(1000)
    assert flat(y, warm_up=WARM_UP) == []
    y[700:] = 1.0
    assert flat(y, warm_up=WARM_UP) == []


def test_a_sensor_that_sticks_again_is_told_again_until_it_is_its_habit() -> None:
    y = noisy()
    for place in range(400, 1000, 100):
        y[place : place + 20] = y[place]
    assert [hit.onset for hit in flat(y, warm_up=WARM_UP)] == [400, 500, 600, 700]


def test_where_values_often_repeat_a_longer_run_is_needed() -> None:
    y = np.repeat(np.random.default_rng(1).integers(0, 5, 300), 4).astype(float)
    assert flat(y, warm_up=WARM_UP) == []
    y[600:800] = 3.0
    (hit,) = flat(y, warm_up=WARM_UP)
    assert 620 < hit.row < 700


def test_only_a_gap_clearly_longer_than_all_before_is_an_event() -> None:
    steps = np.ones(600, dtype=np.int64)
    steps[[100, 300, 400, 500]] = [5, 6, 12, 40]
    assert [(hit.onset, hit.row) for hit in missing(steps, warm_up=WARM_UP)] == [(400, 401), (500, 501)]


def test_gaps_of_one_length_are_told_until_they_are_usual() -> None:
    steps = np.ones(600, dtype=np.int64)
    steps[300:600:40] = 10
    assert [hit.onset for hit in missing(steps, warm_up=WARM_UP)] == [300, 340, 380, 420]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_is_one_hit_at_its_onset_and_then_the_usual(sign: int) -> None:
    y = noisy()
    y[700:] += sign * 8
    (hit,) = level_shift(y, day=DAY, warm_up=WARM_UP)
    assert abs(hit.onset - 700) <= 2
    assert 700 < hit.row <= 724


def test_errors_that_grow_or_vanish_for_a_quarter_day_change_the_variance_and_one_spike_does_not() -> None:
    error = np.random.default_rng(2).normal(size=ROWS)
    spiked = error.copy()
    spiked[600] = 100.0
    assert variance(spiked, day=DAY, warm_up=WARM_UP) == []
    wider, narrower = error.copy(), error.copy()
    wider[600:640] *= 8
    narrower[600:640] *= 0.02
    for changed in (wider, narrower):
        hit = variance(changed, day=DAY, warm_up=WARM_UP)[0]
        assert 600 < hit.row < 630


def test_the_rules_look_at_no_later_row() -> None:
    y = noisy()
    y[500:530], y[700:] = 50.0, y[700:] + 8
    later = y.copy()
    later[800:] = np.random.default_rng(9).normal(size=400) * 40
    for rule in (
        lambda v: flat(v, warm_up=WARM_UP),
        lambda v: level_shift(v, day=DAY, warm_up=WARM_UP),
        lambda v: variance(v - 50, day=DAY, warm_up=WARM_UP),
    ):
        assert [hit for hit in rule(y) if hit.row < 790] == [hit for hit in rule(later) if hit.row < 790]
