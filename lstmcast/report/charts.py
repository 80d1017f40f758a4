"""Charts of forecasts and anomalies as PNG, SVG or one self-contained HTML page. No browser, no network.

Colours are those of Okabe and Ito (2008), told apart by every common kind of colour vision; what is flagged also has
a shape of its own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from lstmcast.atomic import replace_file
from lstmcast.errors import UsageError

MAX_PANELS = 6
MAX_POINTS = 5_000
SUFFIXES = (".png", ".svg", ".html")

_HISTORY, _FORECAST, _FLAG, _EVENT = "#4d4d4d", "#0072b2", "#d55e00", "#e69f00"
_ACTUAL, _TRUE = "#009e73", "what came true"
_BANDS = ("#8fc1e3", "#cfe3f2", "#e6f0f8")  # narrow to wide; further levels share the last
_PIXEL_SCALE = 2
_TAIL_HORIZONS, _TAIL_ROWS = 4, 60
_LEAST_SHARE = 0.001  # of the panel's width, on both sides of an event
_MOST_DOTS = 60  # steps up to which each one is marked on the line
_ONE_COLUMN = 3  # panels up to which they stand one below the other
_FLAG_TIPS = {"ds": "time", "y": "value", "y_hat": "expected", "score": "score"}


def forecast_chart(forecast: pd.DataFrame, history: pd.DataFrame | None = None, *, value_title: str = "value") -> Any:
    """Median and intervals after the tail of the history, one panel per series, at most ``MAX_PANELS``.

    ``forecast`` has the columns of a forecast file (``unique_id, ds, cutoff, y_hat, y_hat-lo-80, ...``, perhaps
    ``target``), ``history`` the columns ``unique_id, ds, y`` (and ``target`` where the forecast has it). ``ds`` and
    ``cutoff`` are datetimes without a zone, or numbers. Where a series has several cutoffs the last one is drawn.
    What the history tells of times after the cutoff is drawn as what came true, in a line of its own.
    """
    levels = interval_levels(forecast.columns)
    bands = {_interval(level): _BANDS[min(rank, len(_BANDS) - 1)] for rank, level in enumerate(levels)}
    past = {} if history is None else dict(_by_series(history))
    series, panels = _by_series(forecast), []
    drawn = [(key, rows[rows["cutoff"] == rows["cutoff"].max()]) for key, rows in series[:MAX_PANELS]]
    parts = {key: _before_and_after(past[key], rows) for key, rows in drawn if key in past}
    known = {"history": _HISTORY} if history is not None else {}
    true = {_TRUE: _ACTUAL} if any(len(after) for _, after in parts.values()) else {}
    legend = _Legend(known | true | {"forecast": _FORECAST} | bands)
    for key, last in drawn:
        layers = _forecast_layers(last, parts.get(key), levels, legend, value_title)
        panels.append((key, f"last row known: {_written(last['cutoff'].iloc[0])} (upright line)", layers))
    return _page(panels, title="Forecast", series=len(series))


def anomaly_chart(rows: pd.DataFrame, *, value_title: str = "value") -> Any:
    """Values, the range expected, flagged rows and event spans; at most ``MAX_PANELS`` series, most flags first.

    ``rows`` has the columns of an anomalies file: ``unique_id, ds, channel, y, y_hat, lo, hi, score, is_anomaly,
    event_id``; ``ds`` is a datetime without a zone, or a number.
    """
    legend = _Legend({"value": _HISTORY, "expected range": _BANDS[0], "anomaly": _FLAG, "event": _EVENT})
    series = sorted(_by_series(rows), key=lambda item: -int(item[1]["is_anomaly"].sum()))
    panels = []
    for key, part in series[:MAX_PANELS]:
        ordered = part.sort_values("ds")
        span = f"{_written(ordered['ds'].iloc[0])} to {_written(ordered['ds'].iloc[-1])}"
        count = f"{int(part['is_anomaly'].sum())} flagged rows in {part['event_id'].nunique()} events"
        panels.append((key, f"{span}: {count}", _anomaly_layers(ordered, legend, value_title)))
    return _page(panels, title="Anomalies", series=len(series))


def check_suffix(path: Path) -> str:
    """The suffix of ``path`` in lower case. Raises ``UsageError`` if no chart can be written under that name."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path} does not say what kind of chart is wanted", remedy=f"end its name in {' or '.join(SUFFIXES)}"
        )
    return suffix


def save_chart(chart: Any, path: Path) -> None:
    """Write ``chart`` as its suffix says: .png, .svg, or .html with everything inside. Raises ``UsageError``."""
    suffix = check_suffix(path)
    if suffix == ".png":
        buffer = io.BytesIO()
        chart.save(buffer, format="png", scale_factor=_PIXEL_SCALE)
        content = buffer.getvalue()
    elif suffix == ".svg":
        text = io.StringIO()
        chart.save(text, format="svg")
        content = text.getvalue().encode()
    else:
        content = _html(chart).encode()
    with replace_file(path, mode="wb") as file:
        cast("IO[bytes]", file).write(content)


def interval_levels(columns: Iterable[str]) -> list[str]:
    """The levels of the intervals among the columns of a forecast, as written there, narrow to wide."""
    low = "y_hat-lo-"
    return sorted((name.removeprefix(low) for name in columns if name.startswith(low)), key=float)


def _interval(level: str) -> str:
    return f"{level} % interval"


def thin(rows: pd.DataFrame, *, columns: Sequence[str], most: int = MAX_POINTS) -> pd.DataFrame:
    """At most ``most`` rows: of each of equal stretches those with the smallest and largest value of ``columns``."""
    if len(rows) <= most:
        return rows
    stretches = max(1, most // (2 * len(columns)))
    bounds = np.linspace(0, len(rows), stretches + 1).astype(int)[:-1]
    kept: set[int] = set()
    for column in columns:
        values = rows[column].to_numpy(dtype=float)
        for fill, position in ((np.inf, np.argmin), (-np.inf, np.argmax)):
            filled = np.where(np.isnan(values), fill, values)
            parts = np.split(filled, bounds[1:])
            kept.update(int(start + position(part)) for start, part in zip(bounds, parts, strict=True))
    return rows.iloc[sorted(kept)]


def _by_series(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Series (and targets, and channels) by name, in order of appearance."""
    keys = [name for name in ("unique_id", "target", "channel") if name in rows.columns]
    kept = [name for name in keys if name == "unique_id" or rows[name].nunique() > 1]
    return [(" · ".join(map(str, key)), part) for key, part in rows.groupby(kept, sort=False)]


def _before_and_after(history: pd.DataFrame, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The last rows a forecast could see, and those it is to be held against, with the row before them."""
    cutoff, end = rows["cutoff"].iloc[0], rows["ds"].max()
    history = history.sort_values("ds")
    before = history[history["ds"] <= cutoff].tail(max(_TAIL_ROWS, _TAIL_HORIZONS * len(rows)))
    after = history[(history["ds"] > cutoff) & (history["ds"] <= end)]
    after = after if after["y"].notna().any() else after.head(0)
    return before, pd.concat([before.tail(1), after]) if len(after) and len(before) else after


def _forecast_layers(
    rows: pd.DataFrame,
    history: tuple[pd.DataFrame, pd.DataFrame] | None,
    levels: list[str],
    legend: _Legend,
    value_title: str,
) -> Any:
    rows = thin(rows.sort_values("ds"), columns=["y_hat"])
    bounds = {f"y_hat-{side}-{level}": f"{side}{rank}" for rank, level in enumerate(levels) for side in ("lo", "hi")}
    drawn = _data(rows[["ds", "cutoff", "y_hat", *bounds]].rename(columns=bounds))
    x, time = _time("ds", rows), _tip("ds", rows, "time")
    layers = []
    for rank in reversed(range(len(levels))):
        band = drawn.mark_area().encode(x=x, y=_value(f"lo{rank}", value_title), y2=f"hi{rank}")
        layers.append(legend(band, _interval(levels[rank])))
    for part, name, dash in zip(history or (), ("history", _TRUE), ([1, 0], [5, 2]), strict=False):
        if len(part):
            line = _data(thin(part, columns=["y"])[["ds", "y"]]).mark_line(strokeWidth=1.5, strokeDash=dash)
            shown = line.encode(x=x, y=_value("y", value_title), tooltip=[time, _tip("y", part, "value")])
            layers.append(legend(shown, name))
    dots = alt.OverlayMarkDef(size=16) if len(rows) <= _MOST_DOTS else False
    median = drawn.mark_line(strokeWidth=2, point=dots).encode(x=x, y=_value("y_hat", value_title))
    layers.append(legend(median.encode(tooltip=[time, _tip("y_hat", rows, "forecast")]), "forecast"))
    rule = _data(rows[["cutoff"]].head(1)).mark_rule(strokeDash=[4, 3], color=_HISTORY)
    layers.append(rule.encode(x=_time("cutoff", rows)))
    return alt.layer(*layers)


def _anomaly_layers(rows: pd.DataFrame, legend: _Legend, value_title: str) -> Any:
    flagged = rows[rows["is_anomaly"]].nlargest(MAX_POINTS // 4, "score").sort_values("ds")
    calm = thin(rows[~rows.index.isin(flagged.index)], columns=["y"], most=MAX_POINTS - len(flagged))
    drawn = _data(pd.concat([calm, flagged]).sort_values("ds")[["ds", "y", "lo", "hi"]])
    x, y = _time("ds", rows), _value("y", value_title)
    spans = _event_spans(rows)
    event = _data(spans).mark_rect(opacity=0.35).encode(x=_time("first", spans), x2="last")
    band = drawn.mark_area().encode(x=x, y=_value("lo", value_title), y2="hi")
    line = drawn.mark_line(strokeWidth=1.2).encode(x=x, y=y)
    points = _data(flagged[list(_FLAG_TIPS)]).mark_point(size=70, shape="triangle-up", filled=True, opacity=1)
    tips = [_tip(name, flagged, shown) for name, shown in _FLAG_TIPS.items()]
    return alt.layer(
        legend(event.encode(tooltip=[_tip("event_id", spans, "event")]), "event"),
        legend(band, "expected range"),
        legend(line, "value"),
        legend(points.encode(x=x, y=y, tooltip=tips), "anomaly"),
    )


def _event_spans(rows: pd.DataFrame) -> pd.DataFrame:
    """First and last time of each event, wide enough on both sides for a single row to be seen."""
    inside = rows[rows["event_id"].notna()]
    spans = inside.groupby("event_id")["ds"].agg(first="min", last="max").reset_index()
    margin = max(rows["ds"].diff().median() / 2, (rows["ds"].iloc[-1] - rows["ds"].iloc[0]) * _LEAST_SHARE)
    return spans.assign(first=spans["first"] - margin, last=spans["last"] + margin)


class _Legend:
    """One legend for all layers: each says by name which of its entries it is."""

    def __init__(self, entries: dict[str, str]) -> None:
        self._scale = alt.Scale(domain=list(entries), range=list(entries.values()))

    def __call__(self, chart: Any, name: str) -> Any:
        """``chart`` as the entry ``name``."""
        legend = alt.Legend(title=None, orient="top", symbolType="square", symbolOpacity=1, symbolStrokeWidth=0)
        colour = alt.Color("entry:N", scale=self._scale, legend=legend)
        return chart.transform_calculate(entry=json.dumps(name)).encode(color=colour)


def _data(rows: pd.DataFrame) -> Any:
    """A chart of ``rows``. Wall-clock times are declared UTC, so that no viewer's own zone shifts them."""
    times = [name for name in rows.columns if is_datetime64_any_dtype(rows[name])]
    return alt.Chart(rows.assign(**{name: rows[name].dt.tz_localize("UTC") for name in times}))


def _time(name: str, rows: pd.DataFrame) -> Any:
    if is_datetime64_any_dtype(rows[name]):
        return alt.X(
            f"{name}:T", title="time", scale=alt.Scale(type="utc"), axis=alt.Axis(labelOverlap=True, tickCount=8)
        )
    return alt.X(f"{name}:Q", title="step", scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(format="d"))


def _value(name: str, title: str) -> Any:
    return alt.Y(f"{name}:Q", title=title, scale=alt.Scale(zero=False))


def _tip(name: str, rows: pd.DataFrame, title: str) -> Any:
    if is_datetime64_any_dtype(rows[name]):
        return alt.Tooltip(f"{name}:T", title=title, format="%Y-%m-%d %H:%M", formatType="utc")
    if is_numeric_dtype(rows[name]):
        return alt.Tooltip(f"{name}:Q", title=title, format=".6~g")
    return alt.Tooltip(f"{name}:N", title=title)


def _written(time: Any) -> str:
    """A time as the subtitle shows it: without seconds or a midnight that say nothing."""
    if not isinstance(time, pd.Timestamp):
        return str(time)
    text = time.isoformat(sep=" ", timespec="seconds")
    return text.removesuffix(" 00:00:00").removesuffix(":00") if time.second == 0 else text


def _page(panels: list[tuple[str, str, Any]], *, title: str, series: int) -> Any:
    columns = 1 if len(panels) <= _ONE_COLUMN else 2
    width = 720 if columns == 1 else 400
    parts = [
        layers.properties(width=width, height=200, title=alt.Title(key, subtitle=below, anchor="start", limit=width))
        for key, below, layers in panels
    ]
    subtitle = f"{len(panels)} of {series} series" if series > len(panels) else ""
    heading = alt.Title(title, subtitle=subtitle, anchor="start", fontSize=17, offset=12)
    page = alt.concat(*parts, columns=columns, title=heading, padding=14, background="white")
    page = page.configure_axis(gridColor="#e8e8e8", labelFontSize=11, titleFontSize=12)
    return page.configure_view(stroke="#bbbbbb").configure_title(subtitleColor="#555555")


def _html(chart: Any) -> str:
    # "<" never stands bare inside the script: an id such as "</script>" stays text.
    spec = json.dumps(chart.to_dict()).replace("<", "\\u003c")
    return _HTML.format(
        bundle=vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"),
        spec=spec,
        options=json.dumps(_EMBED_OPTIONS),
    )


_EMBED_OPTIONS = {"actions": {"export": True, "source": False, "compiled": False, "editor": False}}
_HTML = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>lstmcast</title></head>
<body>
<div id="chart"></div>
<script>{bundle}</script>
<script>vegaEmbed("#chart", {spec}, {options});</script>
</body>
</html>
"""
