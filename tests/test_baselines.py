"""Baselines: laws over the whole family, and each member against figures worked out by hand."""

import builtins
import subprocess
import sys

import numpy as np
import pytest

from lstmcast.errors import UsageError
from lstmcast.forecast.baselines import BASELINES, last_observed

nan = np.nan


def forecast(name, rows, *, horizon, season=1):
    return BASELINES.load(name)().forecast(np.array(rows, dtype=np.float64), horizon=horizon, season=season)


def seasonal_rows(*, rows=1, cycles=5, season=4, seed=0):
    rng = np.random.default_rng(seed)
    pattern = np.tile([1.0, 2.0, 4.0, 1.0], cycles)[: cycles * season]
    return 100 * pattern * rng.uniform(0.99, 1.01, (rows, cycles * season))


@pytest.mark.parametrize("name", BASELINES)
def test_a_forecast_has_a_row_per_row_and_a_column_per_step(name):
    pytest.importorskip("statsforecast")
    made = forecast(name, seasonal_rows(rows=3), horizon=6, season=4)
    assert made.shape == (3, 6)
    assert made.dtype == np.float64
    assert np.isfinite(made).all()


@pytest.mark.parametrize("name", BASELINES)
def test_a_row_without_an_observation_is_nan_and_its_neighbour_is_not(name):
    pytest.importorskip("statsforecast")
    made = forecast(name, [[nan, nan, nan], [nan, nan, 5.0]], horizon=2, season=2)
    assert np.isnan(made[0]).all()
    np.testing.assert_array_equal(made[1], [5.0, 5.0])


@pytest.mark.parametrize("name", BASELINES)
def test_no_rows_give_no_forecasts(name):
    pytest.importorskip("statsforecast")
    assert forecast(name, np.empty((0, 24)), horizon=3, season=4).shape == (0, 3)


@pytest.mark.parametrize("name", BASELINES)
def test_padding_on_the_left_changes_nothing(name):
    pytest.importorskip("statsforecast")
    rows = seasonal_rows(rows=2)
    padded = np.pad(rows, ((0, 0), (3, 0)), constant_values=nan)
    made = forecast(name, rows, horizon=5, season=4)
    np.testing.assert_allclose(forecast(name, padded, horizon=5, season=4), made, rtol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_a_row_does_not_depend_on_the_other_rows(name):
    pytest.importorskip("statsforecast")
    rows = seasonal_rows(rows=3)
    alone = np.concatenate([forecast(name, row[None], horizon=3, season=4) for row in rows])
    np.testing.assert_allclose(forecast(name, rows, horizon=3, season=4), alone, rtol=1e-12)


def test_naive_repeats_the_last_observed_value():
    np.testing.assert_array_equal(forecast("naive", [[1, 2, nan], [3, 4, 5]], horizon=2), [[2, 2], [5, 5]])


def test_seasonal_naive_repeats_the_last_season_from_its_phase():
    np.testing.assert_array_equal(forecast("seasonal-naive", [[9, 1, 2, 3]], horizon=5, season=3), [[1, 2, 3, 1, 2]])


def test_a_missing_point_of_the_last_season_comes_from_the_season_before():
    rows = [[1, 2, 3, 4, nan, 6], [nan, nan, nan, 4, nan, 6]]
    made = forecast("seasonal-naive", rows, horizon=3, season=3)
    np.testing.assert_array_equal(made[0], [4, 2, 6])
    np.testing.assert_array_equal(made[1], [4, 6, 6])  # never seen: the last observed value


def test_a_season_longer_than_the_context_falls_back_to_the_last_value():
    np.testing.assert_array_equal(forecast("seasonal-naive", [[7, 8]], horizon=4, season=4), [[8, 8, 7, 8]])


def test_without_a_season_the_seasonal_naive_is_naive():
    for season in (0, 1):
        np.testing.assert_array_equal(forecast("seasonal-naive", [[1, 2, 3]], horizon=2, season=season), [[3, 3]])


def test_drift_goes_on_along_the_line_from_first_to_last():
    rows = [[nan, 1, 4, 3], [1, 5, 3, nan], [nan, nan, 6, nan]]
    np.testing.assert_allclose(forecast("drift", rows, horizon=2), [[4, 5], [5, 6], [6, 6]])


def test_naive2_of_a_purely_seasonal_row_continues_the_season():
    rows = np.tile([10.0, 20.0, 40.0, 10.0], 5)[None]
    np.testing.assert_allclose(forecast("naive2", rows, horizon=6, season=4), [[10, 20, 40, 10, 10, 20]])
    np.testing.assert_allclose(forecast("naive2", rows[:, :-1], horizon=2, season=4), [[10, 10]])


def test_naive2_follows_an_odd_season_too():
    rows = np.tile([10.0, 20.0, 60.0], 6)[None]
    np.testing.assert_allclose(forecast("naive2", rows, horizon=4, season=3), [[10, 20, 60, 10]])


def test_naive2_adjusts_the_level_of_the_last_value():
    rows = np.tile([10.0, 20.0, 40.0, 10.0], 5)
    rows[-1] *= 1.5  # the last value is half as large again as its season would have it
    plain = np.tile([10.0, 20.0, 40.0, 10.0], 5)
    lifted = forecast("naive2", rows[None], horizon=4, season=4) / forecast("naive2", plain[None], horizon=4, season=4)
    assert (lifted > 1.3).all()


@pytest.mark.parametrize(
    ("rows", "season"),
    [
        pytest.param(np.tile([1.0, 9.0], 2)[None], 2, id="fewer than three seasons"),
        pytest.param(np.tile([0.0, 9.0], 20)[None], 2, id="a value that is not positive"),
        pytest.param(np.random.default_rng(1).permutation(np.arange(1.0, 41.0))[None], 4, id="noise"),
        pytest.param(np.full((1, 40), 3.0), 4, id="a constant"),
        pytest.param(np.tile([1.0, nan, 9.0, 1.0], 10)[None], 4, id="a phase never observed"),
    ],
)
def test_naive2_is_naive_where_nothing_can_be_adjusted(rows, season):
    made = forecast("naive2", rows, horizon=3, season=season)
    np.testing.assert_array_equal(made, np.repeat(last_observed(rows)[:, None], 3, axis=1))


def test_naive2_gives_the_same_in_one_block_and_in_many(monkeypatch):
    rows = seasonal_rows(rows=7)
    whole = forecast("naive2", rows, horizon=4, season=4)
    monkeypatch.setattr("lstmcast.forecast.baselines.naive2.BLOCK", 2 * rows.shape[1])
    np.testing.assert_array_equal(forecast("naive2", rows, horizon=4, season=4), whole)


@pytest.mark.parametrize("name", ["theta", "ets", "ces"])
def test_statistical_models_find_the_season_and_look_past_gaps(name):
    pytest.importorskip("statsforecast")
    row = np.tile([10.0, 20.0, 40.0, 10.0], 8) * np.linspace(1.0, 1.02, 32)
    made = forecast(name, row[None], horizon=4, season=4)[0]
    np.testing.assert_allclose(made, [10.2, 20.4, 40.8, 10.2], rtol=0.05)
    row[30:] = nan  # two rows were not observed: the forecast begins after them all the same
    late = forecast(name, row[None], horizon=2, season=4)[0]
    np.testing.assert_allclose(late, [10.2, 20.4], rtol=0.05)


@pytest.mark.parametrize("name", ["theta", "ets", "ces"])
def test_statistical_models_keep_the_last_value_of_a_short_or_constant_row(name):
    pytest.importorskip("statsforecast")
    np.testing.assert_array_equal(forecast(name, [[1, 2, 3, 4, 5, 6, 7]], horizon=2), [[7, 7]])
    np.testing.assert_array_equal(forecast(name, np.full((1, 30), 5.0), horizon=2, season=12), [[5, 5]])


@pytest.mark.parametrize("name", ["theta", "ets", "ces"])
def test_without_statsforecast_the_error_names_the_extra(name, monkeypatch):
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.startswith("statsforecast"):
            raise ModuleNotFoundError(module)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"need statsforecast") as raised:
        forecast(name, [[1.0, 2.0]], horizon=1)
    assert raised.value.remedy == "pip install 'lstmcast[baselines]'"


def test_an_unknown_baseline_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'seasonal-naive'"):
        BASELINES.load("seasonal_naive")


def test_the_family_table_imports_neither_torch_nor_pandas_nor_a_member():
    listing = "import sys, lstmcast.forecast.baselines; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not {"torch", "pandas", "statsforecast", "lstmcast.forecast.baselines.naive"} & set(loaded)


def test_naive2_beats_naive_on_seasonal_data():
    rows = seasonal_rows(rows=20, cycles=7)
    past, future = rows[:, :-4], rows[:, -4:]
    naive2, naive = (np.abs(forecast(name, past, horizon=4, season=4) - future).mean() for name in ("naive2", "naive"))
    assert naive2 < 0.1 * naive
