from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcast.anomaly.tail import MIN_PAST, Scores, evidence, new_extreme, score, tail, warm_up_rows


def test_the_chance_is_the_share_of_past_values_at_least_as_large_counting_the_new_one() -> None:
    past = np.arange(1.0, 100.0)  # 99 values
    for value, larger in ((50.0, 50), (50.5, 49), (0.0, 99), (-90.0, 10)):
        evidence = tail(np.append(past, value), start=60, refresh=1)[-1]
        assert evidence == pytest.approx(-math.log10((larger + 1) / 100))


def test_equal_values_carry_no_evidence() -> None:
    assert tail(np.full(500, 7.0), start=60, refresh=24).max() == 0.0


def test_above_the_97_percent_quantile_a_generalised_pareto_takes_over() -> None:
    past = np.arange(400.0)
    excesses = np.arange(1.0, 12.0)  # 389 .. 399 over the 97 % quantile 388
    shape = max(-0.3, 0.5 * (1 - excesses.mean() ** 2 / excesses.var()))
    scale = excesses.mean() * (1 - shape)
    assert shape == -0.3
    for value in (390.0, 398.0, 402.0):
        chance = 11 / 400 * (1 + shape * (value - 388) / scale) ** (-1 / shape)
        evidence = tail(np.append(past, value), start=60, refresh=340)[-1]  # rows 60 to 399, then row 400
        assert evidence == pytest.approx(-math.log10(chance))


def test_no_evidence_exceeds_three_histories() -> None:
    values = np.append(np.random.default_rng(0).normal(size=999), 1e9)
    assert tail(values, start=60, refresh=24)[-1] == pytest.approx(math.log10(3 * 1000))


def test_the_first_values_are_too_few_to_judge_by() -> None:
    values = np.concatenate([np.full(20, np.nan), np.ones(MIN_PAST - 1), [1e6, 1e6]])
    found = tail(values, start=MIN_PAST, refresh=1)
    assert found[: MIN_PAST + 20].max() == 0.0
    assert found[MIN_PAST + 20] > 1.0
    assert tail(values, start=MIN_PAST + 21, refresh=1).max() == 0.0


def test_values_not_observed_get_nothing_and_do_not_count() -> None:
    values = np.random.default_rng(3).normal(size=400)
    values[::7] = np.nan
    found = tail(values, start=60, refresh=1)
    assert found[::7].max() == 0.0
    past = np.abs(values[:200])
    larger = np.count_nonzero(past >= abs(values[200]))
    assert found[200] == pytest.approx(-math.log10((larger + 1) / (np.isfinite(past).sum() + 1)))


@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy"])
def test_the_p_values_of_clean_noise_are_uniform_or_conservative(law: str) -> None:
    noise = getattr(np.random.default_rng(4), law)(size=(40, 2000))
    p_values = 10 ** -np.array([tail(row, start=60, refresh=24) for row in noise])[:, 60:]
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
    before, after = (tail(rows, start=60, refresh=refresh)[:cut] for rows in (values, changed))
    np.testing.assert_array_equal(before, after)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e6), st.integers(0, 1000))
def test_a_tail_knows_no_units(scale: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=200)
    scaled, plain = (tail(values * unit, start=60, refresh=7) for unit in (scale, 1.0))
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


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


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (100, 40), (4032, 604), (5000, 750), (10**6, 750)])
def test_warm_up_is_15_percent_of_the_rows_40_at_least_and_750_at_most(rows: int, expected: int) -> None:
    assert warm_up_rows(rows) == expected


def noise(seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    y = np.random.default_rng(seed).normal(size=rows)
    return y, np.tile(y[:, None], (1, 3))


def scored(y: np.ndarray, error: np.ndarray) -> Scores:
    return score(evidence(y, error, error / 2, day=24, warm_up=90), day=24, warm_up=90)


def test_the_sum_adds_every_kind_and_counts_a_new_extreme_three_times() -> None:
    y, error = noise(0)
    found = evidence(y, error, error / 2, day=24, warm_up=90)
    assert set(found) == {*(f"{unit}-{k}" for unit in ("error", "z") for k in range(3)), "extreme", "discord"}
    np.testing.assert_allclose(found["extreme"], 3 * new_extreme(y, warm_up=90))
    np.testing.assert_allclose(found["z-2"], tail(y, start=90, refresh=24))
    expected = 6 * tail(y, start=90, refresh=24) + found["extreme"] + found["discord"]
    np.testing.assert_allclose(scored(y, error).sum, expected)


def test_the_score_is_the_sum_above_the_fading_record_and_a_part_of_it_below() -> None:
    scores = scored(*noise(2))
    record = 0.0
    for total, damped in zip(scores.sum, scores.score, strict=True):
        record *= 0.5 ** (1 / 12)  # halves in half a day of 24 rows
        assert damped == pytest.approx(total if total > record else 0.3 * total)
        record = max(record, total)


def test_the_p_value_is_a_chance_and_never_below_one_in_three_histories() -> None:
    y, error = noise(4)
    y[500], error[500] = 1e9, 1e9
    p_value = scored(y, error).p_value
    assert p_value.max() <= 1.0
    assert p_value[500] == pytest.approx(1 / (3 * 501))


@pytest.mark.parametrize("cut", [1, 59, 91, 200, 431])
def test_scores_depend_on_no_later_row(cut: int) -> None:
    y, error = noise(5)
    later_y, later = y.copy(), error.copy()
    later_y[cut:] *= 50
    later[cut:] *= 50
    before, after, shorter = scored(y, error), scored(later_y, later), scored(y[:cut], error[:cut])
    for name in ("score", "p_value", "sum"):
        np.testing.assert_array_equal(getattr(before, name)[:cut], getattr(after, name)[:cut])
        np.testing.assert_array_equal(getattr(before, name)[:cut], getattr(shorter, name))
