"""Evaluate: forecasts met with actuals, from files to exit codes and tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcast.config import ReaderSettings
from lstmcast.data.reader import read
from lstmcast.errors import DataError
from lstmcast.outcome import Notice
from lstmcast.recipes.evaluate import evaluate

nan = np.nan


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def days(start, count):
    return pd.date_range(start, periods=count, freq="D").strftime("%Y-%m-%d").tolist()


def write_data(name, **series):
    """A long file from ``unique_id=(first day, values)``."""
    parts = [pd.DataFrame({"unique_id": u, "ds": days(start, len(y)), "y": y}) for u, (start, y) in series.items()]
    pd.concat(parts).to_csv(name, index=False)


def write_forecast(name="forecast.csv", *, cutoff="2024-01-14", **series):
    """A forecast file from ``unique_id=[values]``, with an 80 % interval of ±1."""
    parts = [
        pd.DataFrame(
            {
                "unique_id": unique_id,
                "ds": days(pd.Timestamp(cutoff) + pd.Timedelta(days=1), len(values)),
                "cutoff": cutoff,
                "step": range(1, len(values) + 1),
                "y_hat": values,
                "y_hat-lo-80": np.array(values) - 1,
                "y_hat-hi-80": np.array(values) + 1,
                "status": "ok",
            }
        )
        for unique_id, values in series.items()
    ]
    frame = pd.concat(parts)
    frame.to_csv(name, index=False)
    return frame


WEEK = [10.0, 20, 30, 40, 50, 60, 70]
TRUTH = [11.0, 20, 30, 44, 50, 60, 70]


@pytest.fixture
def files():
    """Two weeks of history, a week of actuals and its forecast, for the series a and b."""
    write_data("history.csv", a=("2024-01-01", WEEK * 2), b=("2024-01-01", [9.0, 8, 9, 8, 9, 8, 9] * 2))
    write_data("actual.csv", a=("2024-01-15", TRUTH), b=("2024-01-15", [8.0] * 7))
    return write_forecast(a=WEEK, b=[8.0] * 7)


def metric(outcome, name, model="y_hat", target="y"):
    return outcome.facts["targets"][target]["metrics"][name][model]


def test_without_history_the_unscaled_metrics_are_given(files):
    outcome = evaluate("forecast.csv", "actual.csv")
    assert outcome.code == 0
    assert metric(outcome, "mae") == pytest.approx((5 / 7 + 0) / 2, rel=1e-5)
    assert metric(outcome, "coverage-80") == pytest.approx((6 / 7 + 1) / 2, rel=1e-5)
    assert "mase" not in outcome.facts["targets"]["y"]["metrics"]
    assert any("--history" in line for line in outcome.lines)


def test_with_history_the_model_stands_beside_the_baselines(files):
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=1)
    naive = (sum(abs(70 - y) for y in TRUTH) / 7 + 1) / 2
    assert metric(outcome, "mae", "naive") == pytest.approx(naive, rel=1e-5)
    scale_a = (12 * 10 + 60) / 13
    assert metric(outcome, "mase") == pytest.approx((5 / 7 / scale_a + 0) / 2, rel=1e-5)
    assert metric(outcome, "mae", "skill") == pytest.approx(1 - metric(outcome, "mae") / naive, rel=1e-5)
    assert metric(outcome, "owa", "naive2") == 1.0
    assert outcome.table.columns == ("metric", "y_hat", "seasonal-naive", "naive", "naive2", "skill")


def test_the_seasonal_naive_baseline_repeats_the_season_before_the_cutoff(files):
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    assert metric(outcome, "mae", "seasonal-naive") == pytest.approx((5 / 7 + 4 / 7) / 2, rel=1e-5)
    assert outcome.facts["season"] == 7


def test_history_after_the_cutoff_is_not_looked_at(files):
    at_the_end = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    history, actual = pd.read_csv("history.csv"), pd.read_csv("actual.csv")
    pd.concat([history, actual]).to_csv("grown.csv", index=False)
    grown = evaluate("forecast.csv", "actual.csv", history="grown.csv", season=7)
    assert grown.facts["targets"] == at_the_end.facts["targets"]


def test_actuals_that_hold_the_history_serve_as_it(files):
    history, actual = pd.read_csv("history.csv"), pd.read_csv("actual.csv")
    pd.concat([history, actual]).to_csv("grown.csv", index=False)
    outcome = evaluate("forecast.csv", "grown.csv", season=7)
    assert (
        outcome.facts["targets"]
        == (evaluate("forecast.csv", "actual.csv", history="history.csv", season=7).facts["targets"])
    )


def write_sidecar(**entries):
    schema = read(["history.csv"], ReaderSettings()).panel.schema
    sidecar = {"schema": schema.model_dump(mode="json"), **entries}
    Path("forecast.csv.meta.json").write_text(json.dumps(sidecar))


def test_the_sidecar_brings_history_and_season_with_no_flag(files):
    write_sidecar(sources=["history.csv"], season=7)
    notices = []
    outcome = evaluate("forecast.csv", "actual.csv", on_progress=notices.append)
    by_flag = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    assert outcome.facts["targets"] == by_flag.facts["targets"]
    assert any("history.csv, which the model learned from" in n.text for n in notices if isinstance(n, Notice))


def test_sources_that_are_gone_leave_the_scores_without_history(files):
    write_sidecar(sources=["gone.csv"], season=7)
    outcome = evaluate("forecast.csv", "actual.csv")
    assert outcome.facts["history"] is None
    assert metric(outcome, "mae") == pytest.approx(5 / 14, rel=1e-5)


def test_a_source_that_cannot_be_read_now_is_said_and_done_without(files):
    write_sidecar(sources=["history.csv"], season=7)
    Path("history.csv").write_bytes(b"")
    notices = []
    outcome = evaluate("forecast.csv", "actual.csv", on_progress=notices.append)
    assert outcome.facts["history"] is None
    assert any("cannot be read now" in n.text for n in notices if isinstance(n, Notice))


def test_a_damaged_sidecar_is_refused(files):
    Path("forecast.csv.meta.json").write_text("{}")
    with pytest.raises(DataError, match=r"forecast.csv.meta.json does not say how the data were read"):
        evaluate("forecast.csv", "actual.csv")


def test_json_lines_are_read_like_csv(files):
    files.to_json("forecast.jsonl", orient="records", lines=True)
    assert evaluate("forecast.jsonl", "actual.csv").facts == evaluate("forecast.csv", "actual.csv").facts


def test_rows_met_by_one_side_only_are_counted_and_said(files):
    write_data("actual.csv", a=("2024-01-15", TRUTH[:3]), c=("2024-01-15", [1.0, 2, 3]))
    outcome = evaluate("forecast.csv", "actual.csv")
    assert outcome.code == 0
    assert outcome.facts["forecasts_without_actual"] == 11
    assert outcome.facts["actuals_without_forecast"] == 3
    assert outcome.facts["targets"]["y"]["scored"] == 3
    assert "11 of 14 forecasts have no actual yet" in outcome.lines
    assert "3 actuals in the same time were not forecast, among them 1 whole series" in outcome.lines


def test_an_empty_actual_is_left_out_and_said(files):
    write_data("actual.csv", a=("2024-01-15", [11.0, nan, 30, 44, 50, 60, 70]), b=("2024-01-15", [8.0] * 7))
    outcome = evaluate("forecast.csv", "actual.csv")
    assert metric(outcome, "mae") == pytest.approx((5 / 6 + 0) / 2, rel=1e-5)
    assert "left out: 1 empty actuals, 0 empty forecasts" in outcome.lines


def test_forecasts_of_another_time_name_both_ranges(files):
    write_data("actual.csv", a=("2023-01-15", TRUTH))
    with pytest.raises(DataError, match=r"do not overlap.*2024-01-15 to 2024-01-21.*2023-01-15 to 2023-01-21"):
        evaluate("forecast.csv", "actual.csv")


def test_forecasts_of_other_series_name_examples_of_both(files):
    write_data("actual.csv", x=("2024-01-15", TRUTH), y=("2024-01-15", TRUTH))
    with pytest.raises(DataError, match=r"no series has the same name in both.*'a', 'b'.*'x', 'y'") as raised:
        evaluate("forecast.csv", "actual.csv")
    assert raised.value.exit_code == 3


def test_actuals_that_are_all_empty_leave_nothing_to_score(files):
    empty = [nan] * 6
    write_data("actual.csv", a=("2024-01-14", [1.0, *empty, 2.0]), b=("2024-01-14", [1.0, *empty, 2.0]))
    write_forecast(a=WEEK[:6], b=WEEK[:6])
    with pytest.raises(DataError, match=r"nothing to score: .* 12 of 12 rows have no actual"):
        evaluate("forecast.csv", "actual.csv")


def test_a_row_forecast_twice_is_refused(files):
    pd.concat([files, files.head(2)]).to_csv("forecast.csv", index=False)
    with pytest.raises(DataError, match=r"forecasts 2 rows twice; the first is 2024-01-15 of series 'a'"):
        evaluate("forecast.csv", "actual.csv")


def test_forecasts_of_one_time_from_two_cutoffs_are_both_scored(files):
    earlier = write_forecast("earlier.csv", cutoff="2024-01-13", a=[70.0, *WEEK], b=[9.0] + [8.0] * 7)
    pd.concat([files, earlier]).to_csv("forecast.csv", index=False)
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7, output="metrics.csv")
    assert outcome.facts["targets"]["y"]["scored"] == 28
    table = pd.read_csv("metrics.csv")
    a = table[(table["metric"] == "mae") & (table["unique_id"] == "a")].set_index("cutoff")
    assert a["value"].to_dict() == pytest.approx({"2024-01-14": 5 / 7, "2024-01-13": 5 / 7})


def test_a_file_that_is_no_forecast_names_what_is_missing(files):
    with pytest.raises(DataError, match=r"actual.csv is not a forecast file: it has no column cutoff, step, y_hat"):
        evaluate("actual.csv", "forecast.csv")


def test_a_forecast_that_is_no_number_names_its_row(files):
    files.astype({"y_hat": object}).assign(y_hat=["12", "much", *["3"] * 12]).to_csv("forecast.csv", index=False)
    with pytest.raises(DataError, match=r"forecast.csv, row 2, column y_hat: 'much' is not a number"):
        evaluate("forecast.csv", "actual.csv")


def test_steps_count_from_one(files):
    files.assign(step=files["step"] - 1).to_csv("forecast.csv", index=False)
    with pytest.raises(DataError, match="column step must count from 1"):
        evaluate("forecast.csv", "actual.csv")


def test_broken_json_lines_are_refused(files):
    Path("forecast.jsonl").write_text('{"unique_id": "a"\n')
    with pytest.raises(DataError, match="neither CSV nor JSON Lines"):
        evaluate("forecast.jsonl", "actual.csv")


def test_a_lone_series_without_an_id_column_is_met_whatever_its_file_is_called():
    pd.DataFrame({"ds": days("2024-01-15", 7), "y": TRUTH}).to_csv("january.csv", index=False)
    write_forecast(sales=WEEK)
    assert metric(evaluate("forecast.csv", "january.csv"), "mae") == pytest.approx(5 / 7, rel=1e-5)


def test_several_targets_are_scored_each_for_itself():
    settings = ReaderSettings(target=("cost", "price"))
    actual = pd.DataFrame({"unique_id": "a", "ds": days("2024-01-15", 7), "cost": TRUTH, "price": 5.0})
    actual.to_csv("actual.csv", index=False)
    one = write_forecast(a=WEEK)
    both = pd.concat([one.assign(target="price", y_hat=7.0), one.assign(target="cost")])
    both.to_csv("forecast.csv", index=False)
    outcome = evaluate("forecast.csv", "actual.csv", reader=settings, output="metrics.csv")
    assert metric(outcome, "mae", target="cost") == pytest.approx(5 / 7, rel=1e-5)
    assert metric(outcome, "mae", target="price") == pytest.approx(2, rel=1e-5)
    assert outcome.table.columns[:2] == ("target", "metric")
    assert set(pd.read_csv("metrics.csv")["target"]) == {"cost", "price"}


def test_several_targets_need_a_column_that_tells_them_apart():
    pd.DataFrame({"unique_id": "a", "ds": days("2024-01-15", 7), "cost": TRUTH, "price": 5.0}).to_csv(
        "actual.csv", index=False
    )
    write_forecast(a=WEEK)
    with pytest.raises(DataError, match=r"targets cost, price and forecast.csv does not say"):
        evaluate("forecast.csv", "actual.csv", reader=ReaderSettings(target=("cost", "price")))


def test_the_metrics_file_holds_series_steps_and_the_overall_figures(files):
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7, output="metrics.csv")
    table = pd.read_csv("metrics.csv")
    assert list(table.columns) == ["unique_id", "cutoff", "step", "metric", "value", "baseline", "skill"]
    mae = table[table["metric"] == "mae"]
    assert mae["unique_id"].notna().sum() == 2
    assert mae["step"].notna().sum() == 7
    overall = mae[mae["unique_id"].isna() & mae["step"].isna()]
    assert overall["value"].item() == pytest.approx(metric(outcome, "mae"), rel=1e-5)


def test_the_worst_series_comes_first(files):
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    assert [row["unique_id"] for row in outcome.facts["targets"]["y"]["worst"]] == ["a", "b"]


def test_facts_are_plain_json(files):
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    json.dumps(outcome.facts, allow_nan=False)


def test_series_that_begin_after_their_own_cutoff_are_no_history():
    write_data("actual.csv", a=("2024-01-15", TRUTH), b=("2024-01-08", TRUTH))
    both = [write_forecast(a=WEEK), write_forecast(cutoff="2024-01-07", b=WEEK)]
    pd.concat(both).to_csv("forecast.csv", index=False)
    outcome = evaluate("forecast.csv", "actual.csv")
    assert outcome.facts["history"] is None
    assert metric(outcome, "mae") == pytest.approx(5 / 7, rel=1e-5)


def test_history_of_other_series_leaves_the_unscaled_metrics(files):
    write_data("other.csv", x=("2024-01-01", WEEK * 2), y=("2024-01-01", WEEK * 2))
    outcome = evaluate("forecast.csv", "actual.csv", history="other.csv", season=7)
    assert metric(outcome, "mae") == pytest.approx(5 / 14, rel=1e-5)
    assert metric(outcome, "mase") is None
    assert "2 series have no history: the table leaves them out" not in outcome.lines
    assert "no series has history before its cutoff: there is no MASE, OWA or skill" in outcome.lines


def test_what_matters_to_training_only_is_not_said(files):
    notices = []
    evaluate("forecast.csv", "actual.csv", on_progress=notices.append)
    assert notices
    assert not any("look back" in n.text or "never changes" in n.text for n in notices if isinstance(n, Notice))


def test_a_series_without_history_is_left_out_of_the_comparison_and_said(files):
    write_data("history.csv", a=("2024-01-01", WEEK * 2))
    outcome = evaluate("forecast.csv", "actual.csv", history="history.csv", season=7)
    assert metric(outcome, "mae") == pytest.approx(5 / 7, rel=1e-5)
    assert "1 series have no history: the table leaves them out" in outcome.lines
