from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcast.anomaly.surprise import Z_LIMIT, surprise

LEVELS = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
PROBIT = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def one(value: float, quantiles: list[float] | np.ndarray) -> float:
    return float(surprise(np.array([value]), np.array(quantiles, dtype=float)[None, None], LEVELS).z[0, 0])


def test_the_error_is_the_value_minus_the_median_with_its_sign() -> None:
    quantiles = np.array([[[8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0], [0.0, 1, 2, 3, 4, 5, 6]]])
    result = surprise(np.array([7.5]), quantiles, LEVELS)
    assert result.error.tolist() == [[-3.5, 4.5]]


@pytest.mark.parametrize("value", [-9.0, -1.5, 0.0, 0.3, 2.0, 40.0])
def test_z_is_the_standard_score_when_the_forecast_is_normal(value: float) -> None:
    assert one(100 + 5 * value, 100 + 5 * PROBIT) == pytest.approx(value)


def test_beyond_the_outer_quantile_z_goes_on_with_the_slope_from_the_median() -> None:
    assert one(10.0, [-3, -2, -1, 0, 1, 2, 4]) == pytest.approx(PROBIT[6] * 10 / 4)
    assert one(-9.0, [-5, -2, -1, 0, 1, 2, 4]) == pytest.approx(-PROBIT[6] * 9 / 5)
    assert one(3.0, [-2, -1.5, -1, 0, 1, 2, 2]) == pytest.approx(PROBIT[6] + 1 / (2 / PROBIT[6]))


def test_a_collapsed_upper_half_borrows_a_part_of_the_whole_band() -> None:
    whole = 4.0 / (PROBIT[6] - PROBIT[0])
    assert one(1.0, [-4, -3, -2, 0, 0, 0, 0]) == pytest.approx(PROBIT[6] + 1 / (0.1 * whole))


def test_a_value_on_an_atom_of_the_forecast_is_as_ordinary_as_the_atom_allows() -> None:
    assert one(0.0, [0, 0, 0, 0, 0, 1, 2]) == 0.0
    assert one(0.0, [-3, -2, -1, -0.5, 0, 0, 0]) == pytest.approx(PROBIT[4])


def test_a_certain_forecast_that_fails_gives_a_finite_z_and_rounding_gives_none() -> None:
    assert one(5.0, [0.0] * 7) == Z_LIMIT
    assert one(-5.0, [0.0] * 7) == -Z_LIMIT
    assert abs(one(1e6 + 0.03, np.float32([1e6] * 7))) < 2.1


def test_rows_not_observed_or_not_forecast_are_nan_and_the_others_are_not() -> None:
    quantiles = np.tile(PROBIT, (3, 2, 1))
    quantiles[1, 0] = np.nan
    result = surprise(np.array([np.nan, 1.0, 2.0]), quantiles, LEVELS)
    expected = [[False, False], [False, True], [True, True]]
    assert np.isfinite(result.error).tolist() == expected
    assert np.isfinite(result.z).tolist() == expected
    np.testing.assert_allclose(result.deviation(), [np.nan, 1.0, 2.0], atol=1e-12)


def test_a_point_forecast_has_errors_but_no_z() -> None:
    result = surprise(np.array([3.0]), np.array([[[1.0]]]), np.array([0.5]))
    assert result.error[0, 0] == 2.0
    assert np.isnan(result.z).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=7, max_size=7),
    st.floats(-1e7, 1e7),
    st.floats(0, 1e6),
)
def test_z_is_finite_and_never_falls_as_the_value_rises(quantiles: list[float], value: float, step: float) -> None:
    ordered = sorted(quantiles)
    low, high = one(value, ordered), one(value + step, ordered)
    assert np.isfinite([low, high]).all()
    assert low <= high + 1e-9
