"""Metrics against figures worked out by hand, and against what a user relies on when rows are missing."""

import numpy as np
import pandas as pd
import pytest

from lstmcast.forecast import metrics

nan = np.nan


def long_frame(**columns):
    """One series of four steps unless the columns say otherwise."""
    rows = len(columns["y"])
    index = {"unique_id": ["a"] * rows, "cutoff": ["2024-01-01"] * rows, "step": range(1, rows + 1)}
    return pd.DataFrame({**index, **columns})


def of(scores, metric, model="y_hat", **where):
    chosen = scores[scores["metric"] == metric]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen[model].item()


FRAME = long_frame(y=[10.0, 20.0, 30.0, 40.0], y_hat=[12.0, 20.0, 27.0, 44.0])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("mae", (2 + 0 + 3 + 4) / 4),
        ("rmse", np.sqrt((4 + 0 + 9 + 16) / 4)),
        ("smape", 200 * (2 / 22 + 0 + 3 / 57 + 4 / 84) / 4),
        ("mape", 100 * (2 / 10 + 0 + 3 / 30 + 4 / 40) / 4),
        ("wape", 100 * 9 / 100),
        ("bias", (2 + 0 - 3 + 4) / 4),
    ],
)
def test_each_point_metric_is_what_its_definition_says(metric, expected):
    assert of(metrics.score(FRAME), metric) == pytest.approx(expected)


def test_smape_counts_a_zero_forecast_of_a_zero_actual_as_right():
    frame = long_frame(y=[0.0, 10.0], y_hat=[0.0, 30.0])
    assert of(metrics.score(frame), "smape") == pytest.approx(200 * (20 / 40) / 2)


def test_mape_is_left_out_when_an_actual_is_zero():
    scores = metrics.score(long_frame(y=[0.0, 10.0], y_hat=[1.0, 30.0]))
    assert "mape" not in set(scores["metric"])
    assert "wape" in set(scores["metric"])


def test_the_scale_is_the_in_sample_error_of_the_seasonal_naive_forecast():
    values = np.array([[nan, 1.0, 3.0, 6.0, nan, 12.0], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    np.testing.assert_allclose(metrics.mase_scale(values, 1), [(2 + 3) / 2, nan])
    np.testing.assert_allclose(metrics.mase_scale(values, 2), [(5 + 6) / 2, nan])
    np.testing.assert_allclose(metrics.rmsse_scale(values, 1), [np.sqrt((4 + 9) / 2), nan])
    assert np.isnan(metrics.mase_scale(values, 6)).all()


def test_scaled_errors_are_errors_over_the_scale_of_their_series():
    scales = pd.DataFrame({"mase": [5.0], "rmsse": [7.0]}, index=["a"])
    scores = metrics.score(FRAME, scales=scales)
    assert of(scores, "mase") == pytest.approx(2.25 / 5)
    assert of(scores, "rmsse") == pytest.approx(np.sqrt(29 / 4) / 7)


def test_scales_may_differ_between_cutoffs_of_one_series():
    later = FRAME.assign(cutoff="2024-02-01")
    pairs = pd.MultiIndex.from_tuples([("a", "2024-01-01"), ("a", "2024-02-01")])
    scales = metrics.in_sample_scales(np.array([[0.0, 1.0], [0.0, 3.0]]), season=1, index=pairs)
    scores = metrics.score(pd.concat([FRAME, later]), scales=scales)
    assert of(scores, "mase", cutoff="2024-01-01") == pytest.approx(2.25)
    assert of(scores, "mase", cutoff="2024-02-01") == pytest.approx(0.75)


def test_a_series_without_a_scale_has_no_scaled_error_but_all_others():
    scores = metrics.score(FRAME, scales=pd.DataFrame({"mase": [1.0], "rmsse": [1.0]}, index=["b"]))
    assert np.isnan(of(scores, "mase"))
    assert of(scores, "mae") == pytest.approx(2.25)


def test_interval_metrics_are_given_per_level():
    frame = FRAME.assign(
        **{"y_hat-lo-80": [9.0, 21.0, 20.0, 30.0], "y_hat-hi-80": [11.0, 25.0, 29.0, 50.0]},
        **{"y_hat-lo-97.5": 0.0, "y_hat-hi-97.5": 100.0},
    )
    scores = metrics.score(frame, scales=pd.DataFrame({"mase": [2.0], "rmsse": [2.0]}, index=["a"]))
    assert of(scores, "coverage-80") == pytest.approx(2 / 4)
    assert of(scores, "coverage-97.5") == 1.0
    width = (2 + 4 + 9 + 20) / 4
    outside = (2 / 0.2) * (1 + 1) / 4  # 20 is 1 below, 30 is 1 above
    assert of(scores, "winkler-80") == pytest.approx(width + outside)
    assert of(scores, "msis-80") == pytest.approx((width + outside) / 2)
    assert of(scores, "winkler-97.5") == pytest.approx(100)
    assert metrics.levels(frame) == ("80", "97.5")


def test_quantile_loss_is_the_mean_pinball_loss_of_median_and_bounds():
    frame = long_frame(y=[10.0], y_hat=[8.0], **{"y_hat-lo-80": [11.0], "y_hat-hi-80": [20.0]})
    expected = (0.5 * 2 + 0.9 * 1 + 0.1 * 10) / 3
    assert of(metrics.score(frame), "quantile_loss") == pytest.approx(expected)


def test_a_bound_without_its_partner_is_no_interval():
    assert metrics.levels(FRAME.assign(**{"y_hat-lo-80": 0.0})) == ()


def test_rows_without_an_actual_or_a_forecast_are_left_out_and_counted():
    frame = pd.concat([FRAME, long_frame(y=[nan, 5.0], y_hat=[1e9, nan])]).assign(
        **{"y_hat-lo-80": 0.0, "y_hat-hi-80": 100.0}
    )
    scores = metrics.score(frame)
    assert of(scores, "mae") == pytest.approx(2.25)
    assert of(scores, "coverage-80") == 1.0
    assert metrics.unscored(frame) == {"no_actual": 1, "no_forecast": 1}


def test_an_absent_interval_is_not_counted_as_a_miss():
    frame = FRAME.assign(**{"y_hat-lo-80": [0.0, 0.0, 0.0, nan], "y_hat-hi-80": [100.0, 100.0, 100.0, nan]})
    assert of(metrics.score(frame), "coverage-80") == 1.0


def test_the_profile_along_the_horizon_has_a_row_per_step():
    other = FRAME.assign(unique_id="b", y_hat=FRAME["y"])
    scales = pd.DataFrame({"mase": [1.0, 2.0], "rmsse": [1.0, 1.0]}, index=["a", "b"])
    profile = metrics.score(pd.concat([FRAME, other]), scales=scales, by=("step",))
    assert [of(profile, "mae", step=step) for step in range(1, 5)] == pytest.approx([1, 0, 1.5, 2])
    assert of(profile, "mase", step=4) == pytest.approx((4 / 1 + 0 / 2) / 2)


def test_the_tidy_table_has_the_columns_of_the_metrics_file_and_the_skill():
    frame = FRAME.assign(naive=FRAME["y"] + 9, **{"y_hat-lo-80": 0.0, "y_hat-hi-80": 100.0})
    table = metrics.tidy(metrics.score(frame, models=["y_hat", "naive"]), baseline="naive")
    assert tuple(table.columns) == metrics.TIDY
    mae = table[table["metric"] == "mae"].iloc[0]
    assert (mae["value"], mae["baseline"]) == (2.25, 9.0)
    assert mae["skill"] == pytest.approx(0.75)
    assert table.loc[table["metric"].isin(["bias", "coverage-80"]), "skill"].isna().all()
    assert table["step"].isna().all()


def test_a_baseline_without_error_gives_no_skill():
    frame = FRAME.assign(naive=FRAME["y"])
    table = metrics.tidy(metrics.score(frame, models=["y_hat", "naive"]), baseline="naive")
    assert table["skill"].isna().all()


def test_owa_is_the_mean_of_two_ratios_of_averages():
    second = FRAME.assign(unique_id="b", y_hat=FRAME["y"] + 1)
    frame = pd.concat([FRAME, second]).assign(naive2=lambda rows: rows["y"] + 2)
    scales = pd.DataFrame({"mase": [1.0, 4.0], "rmsse": [1.0, 1.0]}, index=["a", "b"])
    models = ["y_hat", "naive2"]
    table = metrics.overall(metrics.score(frame, models=models, scales=scales), models=models)
    mase = ((2.25 / 1 + 1 / 4) / 2) / ((2 / 1 + 2 / 4) / 2)
    smape = table.loc["smape", "y_hat"] / table.loc["smape", "naive2"]
    assert table.loc["owa", "y_hat"] == pytest.approx((mase + smape) / 2)
    assert table.loc["owa", "naive2"] == 1.0


def test_overall_compares_all_forecasters_on_the_same_series():
    second = FRAME.assign(unique_id="b", y_hat=1e6)
    frame = pd.concat([FRAME, second]).assign(naive=[*FRAME["y"] + 9, nan, nan, nan, nan])
    table = metrics.overall(metrics.score(frame, models=["y_hat", "naive"]), models=["y_hat", "naive"])
    assert table.loc["mae"].to_dict() == {"y_hat": 2.25, "naive": 9.0}
    assert "owa" not in table.index


def test_nothing_to_score_gives_empty_tables_with_the_same_columns():
    scores = metrics.score(FRAME.assign(y=nan))
    assert len(scores) == 0
    assert tuple(metrics.tidy(scores).columns) == metrics.TIDY
    assert len(metrics.overall(scores)) == 0
