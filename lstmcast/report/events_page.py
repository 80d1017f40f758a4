"""The page of a watch: each series with its numbered events, and one zoom per event with earlier weeks behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import to_wall
from lstmcast.data.clock import Clock
from lstmcast.errors import UsageError
from lstmcast.report.charts import check_suffix, save_chart, thin

MAX_SERIES = 6
MAX_ZOOMS = 12
_VALUE, _BAND, _FLAG, _EVENT, _EARLIER = "#4d4d4d", "#8fc1e3", "#d55e00", "#e69f00", "#bbbbbb"
_WEEKS = 3  # earlier ones shown behind a zoom
_LEAST_ROWS = 24  # shown on either side of an event
_WIDTH, _HEIGHT = 760, 150
_NUMBER_SHARE, _NUMBER_LEVELS = 0.03, 4  # of the width that a number takes; heights they alternate between
_SAID = {
    "spike": "spike",
    "burst": "unusual for a while",
    "level_shift": "a step to another level",
    "trend": "drifts away",
    "variance": "swings of another size",
    "flat": "one value again and again",
    "missing": "rows did not come",
    "season": "the shape of another time of day",
    "new_extreme": "beyond all earlier values",
}
_ORDER = {"critical": 0, "warning": 1, "info": 2}


def check_suffixes(*, plot: Path | None, html: Path | None) -> None:
    """Raises ``UsageError`` if a page cannot be written under these names."""
    if plot is not None and check_suffix(plot) == ".html":
        raise UsageError(
            f"--plot {plot} is a picture, not a page", remedy="end its name in .png or .svg, or use --html"
        )
    if html is not None and check_suffix(html) != ".html":
        raise UsageError(f"--html {html} is a page", remedy="end its name in .html, or use --plot")


def save_events_page(rows: pd.DataFrame, events: pd.DataFrame, clock: Clock, path: Path, *, week: int) -> None:
    """Draw ``rows`` (columns of the anomalies file) and ``events`` into ``path``: .png, .svg, or .html by itself.

    Up to ``MAX_SERIES`` series, those with most events first, and the ``MAX_ZOOMS`` most severe events, numbered in
    order of time. ``week`` clock units lie between a row and those shown behind it.
    """
    drawn = _in_time(rows, clock)
    chosen = events.assign(rank=events["severity"].map(_ORDER)).sort_values(["rank", "start"], kind="stable")
    numbered = chosen.head(MAX_ZOOMS).sort_values(["unique_id", "start"], kind="stable")
    numbered = numbered.assign(number=np.arange(1, len(numbered) + 1))
    counts = events["unique_id"].value_counts()
    names = sorted(drawn["unique_id"].unique(), key=lambda name: -int(counts.get(name, 0)))
    charts = []
    for name in names[:MAX_SERIES]:
        part = drawn[drawn["unique_id"] == name]
        own = numbered[numbered["unique_id"] == name]
        charts.append(_overview(str(name), part, own, int(counts.get(name, 0))))
        charts += [_zoom(part, event, week) for event in own.to_dict("records")]
    shown = f"{len(numbered)} of {len(events)} events" if len(events) > len(numbered) else f"{len(events)} events"
    legend = "blue: where 80 % were expected; orange: events; triangles: alarms; grey: same hours of earlier weeks"
    title = alt.Title("Anomalies", subtitle=[shown, legend], anchor="start", fontSize=17, offset=12)
    page = alt.vconcat(*charts, title=title, padding=14, background="white")
    page = page.configure_axis(gridColor="#e8e8e8", labelFontSize=11, titleFontSize=12)
    save_chart(page.configure_view(stroke="#bbbbbb").configure_title(subtitleColor="#555555"), path)


def _in_time(rows: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """``rows`` with ``t`` the clock's number of each and ``at`` what the axis shows of it."""
    kept = rows[rows["status"] != "dropped"]
    times = clock.parse(kept["ds"].tolist())
    shown: NDArray[Any] = times
    if clock.kind == "datetime":
        shown = to_wall(times, clock.tz).astype("datetime64[ns]")
    drawn = kept.assign(t=times, at=shown).sort_values("t", kind="stable")
    if clock.kind == "datetime":
        drawn["at"] = pd.to_datetime(drawn["at"]).dt.tz_localize("UTC")
    return drawn


def _overview(name: str, part: pd.DataFrame, events: pd.DataFrame, count: int) -> Any:
    """All rows of a series; of several channels those that have events, else the first."""
    shown = _leading_channel(part, None)
    calm = thin(shown, columns=["y"])
    layers = [_band(calm), _line(calm, _VALUE)]
    flagged = shown[shown["is_anomaly"] == 1]
    numbers: list[Any] = []
    if len(events):
        marks = pd.DataFrame(
            [
                {"number": str(event["number"]), **_span(part, event["event_id"]), "says": event["message"]}
                for event in events.to_dict("records")
            ]
        )
        marks["level"] = _levels(marks["first"], part["at"])
        tips = [alt.Tooltip("says:N", title="event")]
        layers.append(
            alt.Chart(marks).mark_rule(color=_EVENT, strokeWidth=2).encode(x=_x(marks, "first"), tooltip=tips)
        )
        layers += _numbers(marks, {"color": "white", "stroke": "white", "strokeWidth": 4})  # lines pass behind them
        numbers = _numbers(marks, {"color": "black"})
    layers += [_points(flagged), *numbers]
    title = alt.Title(name, subtitle=f"{count} events, {len(flagged)} alarms", anchor="start", limit=_WIDTH)
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def _numbers(marks: pd.DataFrame, style: dict[str, Any]) -> list[Any]:
    """The numbers beside their lines, neighbours below each other."""
    layers = []
    for level in sorted(set(marks["level"])):
        own = marks[marks["level"] == level]
        text = alt.Chart(own).mark_text(dy=-_HEIGHT / 2 + 8 + 13 * level, dx=8, fontWeight="bold", **style)
        layers.append(text.encode(x=_x(own, "first"), text="number:N", tooltip=[alt.Tooltip("says:N", title="event")]))
    return layers


def _levels(first: pd.Series, axis: pd.Series) -> list[int]:
    """At which height each number stands, so that those close to each other can be read: 0 is the highest."""
    width = (axis.iloc[-1] - axis.iloc[0]) * _NUMBER_SHARE
    levels: list[int] = []
    for k, at in enumerate(first):
        near = k > 0 and at - first.iloc[k - 1] < width
        levels.append((levels[-1] + 1) % _NUMBER_LEVELS if near else 0)
    return levels


def _zoom(part: pd.DataFrame, event: dict[str, Any], week: int) -> Any:
    channel = _leading_channel(part, event["event_id"]).reset_index(drop=True)
    inside = np.flatnonzero(channel["event_id"] == event["event_id"])
    if not len(inside):  # rows that did not come: what surrounds them
        after = int(np.searchsorted(channel["ds"], event["start"]))
        inside = np.array([min(after, len(channel) - 1)])
    margin = max(_LEAST_ROWS, len(inside))
    near = channel.iloc[max(0, inside[0] - margin) : inside[-1] + margin + 1]
    layers = []
    for back in range(_WEEKS, 0, -1):
        ago = channel[channel["t"].isin(near["t"] - back * week)]
        if len(ago):
            layers.append(_line(ago.assign(at=_moved(ago, near, back * week)), _EARLIER))
    half = near["at"].diff().median() / 2 if len(near) > 1 else 0  # so that an event of one row is seen
    spot = pd.DataFrame(
        [{"first": channel["at"].iloc[inside[0]] - half, "last": channel["at"].iloc[inside[-1]] + half}]
    )
    layers.append(alt.Chart(spot).mark_rect(opacity=0.3, color=_EVENT).encode(x=_x(spot, "first"), x2="last"))
    layers += [_band(near), _line(near, _VALUE), _points(near[near["is_anomaly"] == 1])]
    below = _in_words(event, channel["at"].iloc[inside[0]])
    title = alt.Title(
        f"{event['number']} · {event['message']}", subtitle=below, anchor="start", limit=_WIDTH, fontSize=11
    )
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT, title=title)


def _in_words(event: dict[str, Any], begins: Any) -> str:
    """The day of the week, which tells a holiday at once; what the event is and on which side; how severe."""
    side = {"up": "above", "down": "below"}.get(event["direction"])
    told = [_SAID[event["kind"]], f"{side} what was expected" if side else "", event["severity"]]
    if isinstance(begins, pd.Timestamp):
        told.insert(0, begins.day_name())
    return " · ".join(part for part in told if part)


def _moved(ago: pd.DataFrame, near: pd.DataFrame, distance: int) -> Any:
    """The axis times of the rows of ``near`` that lie ``distance`` after those of ``ago``."""
    return near.set_index("t")["at"].reindex(ago["t"] + distance).array


def _leading_channel(part: pd.DataFrame, event_id: str | None) -> pd.DataFrame:
    """The rows of the channel with most alarms in the event (in all, where None is named)."""
    chosen = part if event_id is None else part[part["event_id"] == event_id]
    alarms = chosen.groupby("channel", sort=False)["is_anomaly"].sum()
    name = alarms.idxmax() if len(alarms) else part["channel"].iloc[0]
    return part[part["channel"] == name]


def _span(part: pd.DataFrame, event_id: str) -> dict[str, Any]:
    rows = part[part["event_id"] == event_id]
    rows = rows if len(rows) else part.tail(1)
    return {"first": rows["at"].iloc[0]}


def _line(rows: pd.DataFrame, colour: str) -> Any:
    return alt.Chart(rows[["at", "y"]]).mark_line(strokeWidth=1.2, color=colour).encode(x=_x(rows, "at"), y=_y("y"))


def _band(rows: pd.DataFrame) -> Any:
    area = alt.Chart(rows[["at", "lo", "hi"]]).mark_area(color=_BAND, opacity=0.6)
    return area.encode(x=_x(rows, "at"), y=_y("lo"), y2="hi")


def _points(rows: pd.DataFrame) -> Any:
    shown = rows[["at", "y", "y_hat", "score", "ds"]].rename(columns={"y_hat": "expected"})
    tips = [
        alt.Tooltip("ds:N", title="time"),
        *(alt.Tooltip(f"{name}:Q", format=".6~g") for name in ("y", "expected", "score")),
    ]
    marks = alt.Chart(shown).mark_point(size=60, shape="triangle-up", filled=True, opacity=1, color=_FLAG)
    return marks.encode(x=_x(rows, "at"), y=_y("y"), tooltip=tips)


def _x(rows: pd.DataFrame, name: str) -> Any:
    if pd.api.types.is_datetime64_any_dtype(rows[name]):
        return alt.X(
            f"{name}:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(labelOverlap=True, tickCount=8)
        )
    return alt.X(f"{name}:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(format="d"))


def _y(name: str) -> Any:
    return alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=False))
