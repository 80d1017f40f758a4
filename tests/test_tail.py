from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcast.anomaly.surprise import Surprise
from lstmcast.anomaly.tail import MIN_PAST, new_extreme, score, tail, warm_up_rows


def test_the_chance_is_the_share_of_past_values_at_least_as_large_counting_the_new_one() -> None:
    past = np.arange(1.0, 100.0)  # 99 values
    for value, larger in ((50.0, 50), (50.5, 49), (0.0, 99), (-90.0, 10)):
        evidence = tail(np.append(past, value), refresh=1)[-1]
        assert evidence == pytest.approx(-math.log10((larger + 1) / 100))


def test_equal_values_carry_no_evidence() -> None:
    assert tail(np.full(500, 7.0), refresh=24).max() == 0.0


def test_above_the_97_percent_quantile_a_generalised_pareto_takes_over() -> None:
    past = np.arange(400.0)
    excesses = np.arange(1.0, 12.0)  # 389 .. 399 over the 97 % quantile 388
    shape = max(-0.3, 0.5 * (1 - excesses.mean() ** 2 / excesses.var()))
    scale = excesses.mean() * (1 - shape)
    assert shape == -0.3
    for value in (390.0, 398.0, 402.0):
        chance = 11 / 400 * (1 + shape * (value - 388) / scale) ** (-1 / shape)
        evidence = tail(np.append(past, value), refresh=340)[-1]  # rows 60 to 399, then row 400
        assert evidence == pytest.approx(-math.log10(chance))


def test_no_evidence_exceeds_three_histories() -> None:
    values = np.append(np.random.default_rng(0).normal(size=999), 1e9)
    assert tail(values, refresh=24)[-1] == pytest.approx(math.log10(3 * 1000))


def test_the_first_values_are_too_few_to_judge_by() -> None:
    values = np.concatenate([np.ones(MIN_PAST - 1), [1e6, 1e6]])
    assert tail(values, refresh=1)[:MIN_PAST].max() == 0.0
    assert tail(values, refresh=1)[MIN_PAST] > 1.0


def test_values_not_observed_pass_through_and_do_not_count() -> None:
    values = np.random.default_rng(3).normal(size=400)
    holes = np.insert(values, np.arange(0, 400, 7), np.nan)
    evidence = tail(holes, refresh=10)
    assert np.isnan(evidence).tolist() == np.isnan(holes).tolist()
    np.testing.assert_array_equal(evidence[np.isfinite(holes)], tail(values, refresh=10))


@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy"])
def test_the_p_values_of_clean_noise_are_uniform_or_conservative(law: str) -> None:
    noise = getattr(np.random.default_rng(4), law)(size=(40, 2000))
    p_values = 10 ** -np.array([tail(row, refresh=24) for row in noise])[:, MIN_PAST:]
    # within the sample 10 %; where the Pareto extrapolates, at most twice too often
    for level, tolerance in ((0.5, 1.1), (0.1, 1.1), (0.03, 1.1), (0.01, 1.1), (0.003, 1.3), (0.001, 2.0)):
        assert np.mean(p_values <= level) <= tolerance * level, level
    assert np.mean(p_values <= 0.1) > 0.08


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 399))
def test_a_tail_depends_on_no_later_value(seed: int, refresh: int, cut: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.standard_t(3, size=400)
    changed = np.concatenate([values[:cut], 100 * generator.normal(size=77)])
    np.testing.assert_array_equal(tail(changed, refresh=refresh)[:cut], tail(values, refresh=refresh)[:cut])


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_a_tail_knows_no_units(scale: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=200)
    np.testing.assert_allclose(tail(values * scale, refresh=7), tail(values, refresh=7), atol=1e-6)


def test_a_new_extreme_is_measured_in_past_ranges() -> None:
    y = np.array([0.0, 10.0, 10.2, 8.0, -204.0, np.nan, 10.2, 10.25])
    evidence = new_extreme(y, warm_up=2)
    assert evidence[2] == pytest.approx(3.0)  # 2 % of the range beyond it
    assert evidence[4] == pytest.approx(6.0)  # 20 ranges beyond it, and the ceiling
    assert evidence[[0, 1, 3, 5, 6, 7]].tolist() == [0.0] * 6  # inside, missing, equal, or below a thousandth


def test_a_new_extreme_says_nothing_during_warm_up() -> None:
    assert new_extreme(np.arange(10.0), warm_up=6)[:6].max() == 0.0
    assert new_extreme(np.arange(10.0), warm_up=6)[6:].min() > 0.0


def test_leaving_a_constant_is_the_strongest_new_extreme() -> None:
    assert new_extreme(np.array([5.0, 5.0, 5.0, 5.1]), warm_up=2).tolist() == [0.0, 0.0, 0.0, 6.0]


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (100, 15), (4032, 605), (5000, 750), (10**6, 750)])
def test_warm_up_is_15_percent_of_the_rows_and_at_most_750(rows: int, expected: int) -> None:
    assert warm_up_rows(rows) == expected


def noise(seed: int, rows: int = 600, distances: int = 3) -> tuple[np.ndarray, Surprise]:
    y = np.random.default_rng(seed).normal(size=rows)
    error = np.tile(y[:, None], (1, distances))
    return y, Surprise(error=error, z=error / 2)


def test_the_sum_adds_the_channels_and_three_times_the_new_extreme() -> None:
    y, surprise = noise(0)
    total = 6 * tail(y, refresh=24) + 3 * new_extreme(y, warm_up=90)
    np.testing.assert_allclose(score(y, surprise, day=24, warm_up=90).sum, total)


def test_fewer_distances_or_a_point_forecast_keep_the_scale_of_the_sum() -> None:
    y, three = noise(1)
    _, one = noise(1, distances=1)
    point = Surprise(error=one.error, z=np.full_like(one.z, np.nan))
    expected = score(y, three, day=24, warm_up=90).sum
    for fewer in (one, point):
        np.testing.assert_allclose(score(y, fewer, day=24, warm_up=90).sum, expected)


def test_the_score_is_the_sum_above_the_fading_record_and_a_part_of_it_below() -> None:
    y, surprise = noise(2)
    scores = score(y, surprise, day=24, warm_up=90)
    record = 0.0
    for total, scored in zip(scores.sum, scores.score, strict=True):
        record *= 0.5 ** (1 / 12)  # halves in half a day of 24 rows
        assert scored == pytest.approx(total if total > record else 0.3 * total)
        record = max(record, total)


def test_rows_not_observed_have_no_score_and_rows_without_forecast_only_the_new_extreme() -> None:
    y, surprise = noise(3)
    y[200] = np.nan
    surprise.error[[200, 300]] = np.nan
    surprise.z[[200, 300]] = np.nan
    y[300] = 1e3
    scores = score(y, surprise, day=24, warm_up=90)
    assert np.isnan([scores.score[200], scores.sum[200], scores.p_value[200]]).all()
    assert scores.sum[300] == pytest.approx(3 * 6)
    assert np.isfinite(np.delete(scores.score, 200)).all()


def test_the_p_value_is_a_chance_and_never_below_one_in_three_histories() -> None:
    y, surprise = noise(4)
    y[500], surprise.error[500], surprise.z[500] = 1e9, 1e9, 1e9
    p_value = score(y, surprise, day=24, warm_up=90).p_value
    assert p_value.max() <= 1.0
    assert p_value[500] == pytest.approx(1 / (3 * 501))


@pytest.mark.parametrize("cut", [1, 59, 61, 200, 431])
def test_scores_depend_on_no_later_row(cut: int) -> None:
    y, surprise = noise(5)
    later_y, later = y.copy(), Surprise(error=surprise.error.copy(), z=surprise.z.copy())
    later_y[cut:] *= 50
    later.error[cut:] *= 50
    later.z[cut:] = 3.0
    before, after = (score(v, s, day=24, warm_up=90) for v, s in ((y, surprise), (later_y, later)))
    shorter = score(y[:cut], Surprise(error=surprise.error[:cut], z=surprise.z[:cut]), day=24, warm_up=90)
    for name in ("score", "p_value", "sum"):
        np.testing.assert_array_equal(getattr(before, name)[:cut], getattr(after, name)[:cut])
        np.testing.assert_array_equal(getattr(before, name)[:cut], getattr(shorter, name))
