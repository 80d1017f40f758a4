"""Charts: what is drawn, from which columns, and that a hostile name stays a name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstmcast.errors import DataError, UsageError
from lstmcast.recipes.plot import plot
from lstmcast.report.accuracy import accuracy_chart
from lstmcast.report.charts import MAX_PANELS, MAX_POINTS, anomaly_chart, forecast_chart, save_chart, thin

HORIZON = 6
CLOSING = "</script><script>alert(1)</script>"


def forecast_frame(ids: list[str], *, start: Any = "2024-05-01", freq: Any = "D") -> pd.DataFrame:
    parts = []
    for name in ids:
        times = pd.date_range(start, periods=HORIZON + 1, freq=freq) if freq else np.arange(start, start + HORIZON + 1)
        middle = np.linspace(10.0, 20.0, HORIZON)
        columns: dict[str, Any] = {"unique_id": name, "ds": times[1:], "cutoff": times[0]}
        columns |= {"step": np.arange(1, HORIZON + 1), "y_hat": middle}
        columns |= {"y_hat-lo-80": middle - 2, "y_hat-hi-80": middle + 2}
        columns |= {"y_hat-lo-97.5": middle - 4, "y_hat-hi-97.5": middle + 4, "status": "ok"}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def history_frame(ids: list[str], *, rows: int = 40) -> pd.DataFrame:
    times = pd.date_range("2024-05-01", periods=rows, freq="-1D")[::-1]
    return pd.concat([pd.DataFrame({"unique_id": name, "ds": times, "y": np.arange(rows) % 7.0}) for name in ids])


def anomaly_frame(rows: int, *, flagged: list[int], name: str = "pump", integer: bool = False) -> pd.DataFrame:
    times = np.arange(rows) if integer else pd.date_range("2024-01-01", periods=rows, freq="5min")
    expected = np.sin(np.arange(rows) / 20)
    marked = np.isin(np.arange(rows), flagged)
    columns: dict[str, Any] = {"unique_id": name, "ds": times, "channel": "y", "y": expected + 9.0 * marked}
    columns |= {"y_hat": expected, "lo": expected - 1, "hi": expected + 1, "p_value": 0.5, "score": 9.0 * marked}
    columns |= {"is_anomaly": marked, "event_id": np.where(marked, "e1", None), "kind": "", "status": "ok"}
    return pd.DataFrame(columns)


def panels(chart: Any) -> list[dict[str, Any]]:
    return list(chart.to_dict()["concat"])


def datasets(chart: Any) -> list[list[dict[str, Any]]]:
    return list(chart.to_dict()["datasets"].values())


def entries(chart: Any) -> set[str]:
    """The names in the legend that are really drawn."""
    steps = [step for panel in panels(chart) for layer in panel["layer"] for step in layer.get("transform", [])]
    return {json.loads(step["calculate"]) for step in steps}


def test_a_forecast_shows_median_every_interval_history_and_cutoff() -> None:
    chart = forecast_chart(forecast_frame(["A"]), history_frame(["A"]))
    assert entries(chart) == {"history", "forecast", "80 % interval", "97.5 % interval"}
    (panel,) = panels(chart)
    assert panel["title"]["text"] == "A"
    assert "2024-05-01" in panel["title"]["subtitle"]
    assert [layer["mark"]["type"] for layer in panel["layer"]].count("rule") == 1


def test_rows_after_the_cutoff_are_what_came_true_and_no_history() -> None:
    history = history_frame(["A", "B"])
    later = history.assign(ds=history["ds"] + pd.Timedelta(days=40), y=history["y"] + 100)
    later = later[(later["unique_id"] == "A") & (later["ds"] > "2024-05-01")]  # B ends where its forecast begins
    chart = forecast_chart(forecast_frame(["A", "B"]), pd.concat([history, later]))
    assert entries(chart) == {"history", "what came true", "forecast", "80 % interval", "97.5 % interval"}
    true = [rows for rows in datasets(chart) if max((row.get("y") or 0) for row in rows) >= 100]
    assert len(true) == 1
    assert [row["ds"][:10] for row in true[0]] == [f"2024-05-0{day}" for day in range(1, HORIZON + 2)]
    assert true[0][0]["y"] < 100  # the last row known joins the two lines
    known = [rows for rows in datasets(chart) if "y" in rows[0] and rows != true[0]]
    assert [rows[-1]["ds"][:10] for rows in known] == ["2024-05-01"]  # one set of rows, as both series are alike


def test_a_forecast_without_history_has_none_in_its_legend() -> None:
    assert "history" not in entries(forecast_chart(forecast_frame(["A"])))


def test_there_is_one_panel_per_series_and_never_too_many() -> None:
    names = [f"shop {number}" for number in range(MAX_PANELS + 3)]
    chart = forecast_chart(forecast_frame(names), history_frame(names))
    assert [panel["title"]["text"] for panel in panels(chart)] == names[:MAX_PANELS]
    assert chart.to_dict()["title"]["subtitle"] == f"{MAX_PANELS} of {len(names)} series"


def test_several_targets_have_a_panel_each() -> None:
    frame = forecast_frame(["A"])
    both = pd.concat([frame.assign(target="sales"), frame.assign(target="visits")])
    assert [panel["title"]["text"] for panel in panels(forecast_chart(both))] == ["A · sales", "A · visits"]


def test_of_several_cutoffs_the_last_is_drawn() -> None:
    frame = pd.concat([forecast_frame(["A"]), forecast_frame(["A"], start="2024-06-01")])
    (panel,) = panels(forecast_chart(frame))
    assert "2024-06-01" in panel["title"]["subtitle"]


def test_wall_clock_times_are_drawn_as_written_in_every_zone() -> None:
    chart = forecast_chart(forecast_frame(["A"], start="2024-03-31 01:00", freq="h"))
    times = {row["ds"] for rows in datasets(chart) for row in rows if "ds" in row}
    assert "2024-03-31T02:00:00+00:00" in times
    scales = [layer["encoding"]["x"]["scale"] for layer in panels(chart)[0]["layer"]]
    assert all(scale["type"] == "utc" for scale in scales)


def test_integer_times_have_a_plain_axis() -> None:
    chart = forecast_chart(forecast_frame(["A"], start=100, freq=None))
    x = panels(chart)[0]["layer"][0]["encoding"]["x"]
    assert (x["type"], x["title"]) == ("quantitative", "step")


def test_the_value_axis_bears_the_name_of_the_target() -> None:
    chart = forecast_chart(forecast_frame(["A"]), value_title="sales")
    titles = {layer["encoding"]["y"]["title"] for layer in panels(chart)[0]["layer"] if "y" in layer["encoding"]}
    assert titles == {"sales"}


def test_anomalies_show_band_value_flags_and_events() -> None:
    chart = anomaly_chart(anomaly_frame(200, flagged=[50, 51]))
    assert entries(chart) == {"value", "expected range", "anomaly", "event"}
    spans = [rows for rows in datasets(chart) if "first" in rows[0]]
    assert len(spans) == 1
    assert len(spans[0]) == 1
    assert spans[0][0]["first"] < "2024-01-01T04:10:00" < "2024-01-01T04:15:00" < spans[0][0]["last"]


def test_an_event_of_one_row_is_wide_enough_to_be_seen() -> None:
    chart = anomaly_chart(anomaly_frame(10_000, flagged=[5_000], integer=True))
    (span,) = next(rows for rows in datasets(chart) if "first" in rows[0])
    assert span["last"] - span["first"] >= 10


def test_a_series_without_anomalies_is_drawn_too(tmp_path: Path) -> None:
    chart = anomaly_chart(anomaly_frame(50, flagged=[]))
    save_chart(chart, tmp_path / "calm.svg")
    assert "0 flagged rows in 0 events" in (tmp_path / "calm.svg").read_text(encoding="utf-8")


def test_series_with_most_flags_come_first() -> None:
    frame = pd.concat([anomaly_frame(50, flagged=[], name="calm"), anomaly_frame(50, flagged=[3], name="odd")])
    assert [panel["title"]["text"] for panel in panels(anomaly_chart(frame))] == ["odd", "calm"]


def test_long_series_are_thinned_and_keep_their_flags() -> None:
    flagged = list(range(0, 60_000, 1_000))
    chart = anomaly_chart(anomaly_frame(60_000, flagged=flagged))
    assert max(len(rows) for rows in datasets(chart)) <= MAX_POINTS
    points = next(rows for rows in datasets(chart) if "score" in rows[0])
    assert len(points) == len(flagged)


def test_thinning_keeps_the_extremes_and_the_order() -> None:
    values = np.sin(np.arange(100_000) / 50)
    values[[777, 55_555]] = 9.0, -9.0
    values[20_000:40_000] = np.nan
    kept = thin(pd.DataFrame({"y": values}), columns=["y"], most=1_000)
    assert len(kept) <= 1_000
    assert {777, 55_555} <= set(kept.index)
    assert kept.index.is_monotonic_increasing
    assert kept["y"].isna().any()


def test_accuracy_is_drawn_in_a_panel_each_for_error_skill_and_coverage() -> None:
    nights = pd.DataFrame({"cutoff": ["a", "b"], "mae": [1.0, 2.0], "baseline_mae": [2.0, 2.0], "skill": [0.5, 0.0]})
    told = accuracy_chart(nights.assign(**{"coverage-80": [0.7, 0.9]}), title="T").to_dict()
    text = [json.dumps(panel) for panel in told["vconcat"]]
    for panel, name in zip(text, ["mean absolute error", "skill against seasonal naive", "inside"], strict=True):
        assert name in panel
    unknown = accuracy_chart(nights.assign(skill=[None, None]), title="T").to_dict()
    assert ["mean absolute error" in json.dumps(panel) for panel in unknown["vconcat"]] == [True]


@pytest.mark.parametrize(
    ("suffix", "opening"), [(".png", b"\x89PNG"), (".svg", b"<svg"), (".html", b"<!DOCTYPE html>")]
)
def test_a_chart_is_written_as_its_suffix_says(suffix: str, opening: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"chart{suffix}"
    save_chart(forecast_chart(forecast_frame(["A"]), history_frame(["A"])), path)
    assert path.read_bytes().startswith(opening)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"chart\.gif does not say what kind"):
        save_chart(forecast_chart(forecast_frame(["A"])), tmp_path / "chart.gif")


def test_the_page_needs_no_network_and_a_hostile_name_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "chart.html"
    save_chart(forecast_chart(forecast_frame([CLOSING])), path)
    page = path.read_text(encoding="utf-8")
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search("src=|href=|<script|alert", outside)
    assert CLOSING not in page
    spec = re.search(r'vegaEmbed\("#chart", (\{.*\}), \{"actions"', page)
    assert spec is not None
    assert json.loads(spec[1])["concat"][0]["title"]["text"] == CLOSING


def test_plot_draws_a_forecast_with_the_history_named(tmp_path: Path) -> None:
    forecast, history, chart = (tmp_path / name for name in ("forecasts.csv", "sales.csv", "chart.svg"))
    forecast_frame(["A", "B"]).to_csv(forecast, index=False)
    history_frame(["A", "B"]).to_csv(history, index=False)
    outcome = plot(str(forecast), history=str(history), output=chart, series=("B",))
    assert outcome.facts == {"chart": str(chart), "kind": "forecast", "series": ["B"]}
    drawn = chart.read_text(encoding="utf-8")
    assert "history" in drawn
    assert "97.5 % interval" in drawn


def test_plot_draws_a_forecast_alone_where_no_history_is_known(tmp_path: Path) -> None:
    forecast_frame(["A"]).to_csv(tmp_path / "f.csv", index=False)
    plot(str(tmp_path / "f.csv"), output=tmp_path / "chart.svg")
    assert "history" not in (tmp_path / "chart.svg").read_text(encoding="utf-8")


def test_plot_reads_the_times_as_the_sidecar_says_and_finds_the_history(tmp_path: Path) -> None:
    frame = forecast_frame(["A"])
    style = "%d/%m/%Y"
    texts = {name: frame[name].dt.strftime(style) for name in ("ds", "cutoff")}
    frame.assign(**texts).to_csv(tmp_path / "f.csv", index=False)
    past = history_frame(["A"]).rename(columns={"y": "sales"})
    past.assign(ds=past["ds"].dt.strftime(style)).to_csv(tmp_path / "sales.csv", index=False)
    schema = {
        "time_col": "ds",
        "id_col": "unique_id",
        "targets": ["sales"],
        "dialect": {},
        "clock": {"kind": "datetime", "formats": [style], "day_first": True},
        "frequency": {"kind": "days"},
        "max_gap": 3,
    }
    sidecar = {"sources": [str(tmp_path / "sales.csv")], "schema": schema}
    (tmp_path / "f.csv.meta.json").write_text(json.dumps(sidecar), encoding="utf-8")
    plot(str(tmp_path / "f.csv"), output=tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    for part in ("history", "sales", "last row known: 2024-05-01"):
        assert part in drawn


def test_plot_knows_an_anomalies_file_by_its_columns(tmp_path: Path) -> None:
    names = [f"pump {number}" for number in range(MAX_PANELS + 2)]
    frames = [anomaly_frame(40, flagged=[7] if name == names[-1] else [], name=name) for name in names]
    pd.concat(frames).to_csv(tmp_path / "anomalies.csv", index=False)
    outcome = plot(str(tmp_path / "anomalies.csv"), output=tmp_path / "chart.svg")
    assert outcome.facts["kind"] == "anomalies"
    assert names[-1] in outcome.facts["series"]
    assert ">y<" in (tmp_path / "chart.svg").read_text(encoding="utf-8")  # the channel, at the value axis
    assert outcome.lines[0] == f"{MAX_PANELS} of {len(names)} series are drawn; choose them with --series"


def test_plot_refuses_a_file_that_is_neither(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("ds,y\n2024-01-01,3\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"sales\.csv is not a forecast file") as caught:
        plot(str(tmp_path / "sales.csv"), output=tmp_path / "chart.svg")
    assert "lstmcast predict" in caught.value.remedy


def test_plot_refuses_an_unknown_series_and_names_the_nearest(tmp_path: Path) -> None:
    forecast_frame(["north", "south"]).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(UsageError, match="no series called 'nort'") as caught:
        plot(str(tmp_path / "f.csv"), output=tmp_path / "chart.svg", series=("nort",))
    assert caught.value.remedy == "did you mean 'north'?"


def test_plot_refuses_an_empty_file(tmp_path: Path) -> None:
    forecast_frame(["A"]).head(0).to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match="has no rows"):
        plot(str(tmp_path / "f.csv"), output=tmp_path / "chart.svg")


def test_plot_asks_for_a_suffix_before_it_reads(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="what kind of chart"):
        plot(str(tmp_path / "not-there.csv"), output=tmp_path / "chart")
