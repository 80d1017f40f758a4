"""The journey of ``lstmcast plot``: a forecast or anomalies file, its history, one chart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data.calendar import Times, to_wall
from lstmcast.data.clock import Clock
from lstmcast.data.clock_inference import infer_clock
from lstmcast.data.panel import Panel
from lstmcast.data.reader import read
from lstmcast.data.schema import Schema
from lstmcast.data.sources import is_there, open_sources
from lstmcast.data.tabular import Typed, texts
from lstmcast.errors import DataError, UsageError
from lstmcast.family import nearest
from lstmcast.forecast.forecast_file import classes_in, read_forecasts, read_sidecar
from lstmcast.outcome import Notice, OnProgress, Outcome, silent
from lstmcast.report.charts import MAX_PANELS, anomaly_chart, check_suffix, forecast_chart, save_chart

ANOMALIES = ("unique_id", "ds", "y", "y_hat", "lo", "hi", "score", "is_anomaly", "event_id")
FIGURES = ("y", "y_hat", "lo", "hi", "score")
FLAGGED = ("true", "1", "1.0")


def plot(
    file: str,
    *,
    history: str | None = None,
    output: Path,
    series: tuple[str, ...] = (),
    on_progress: OnProgress = silent,
) -> Outcome:
    """Draw ``file``, which ``predict`` or ``detect-anomalies`` wrote, into ``output`` (.html, .png or .svg).

    ``history`` is the data before a forecast; without it the files the model read are shown, where they still are.
    ``series`` chooses what is drawn, else the first few. Raises ``DataError`` if the file is neither of the two,
    ``UsageError`` for an unknown series or kind of chart.
    """
    check_suffix(output)
    sidecar = read_sidecar(file)
    anomalies = _read_anomalies(file)
    rows = read_forecasts(file) if anomalies is None else anomalies
    if anomalies is None and classes_in(rows):
        raise UsageError(
            f"{file} forecasts classes, and a chart shows numbers",
            remedy="open it in a spreadsheet: p- are probabilities",
        )
    rows, lines = _choose(rows, series, file)
    if anomalies is not None:
        clock = sidecar.schema.clock if sidecar.schema else _infer_clock(rows, on_progress)
        channels = rows["channel"].unique().tolist() if "channel" in rows else []
        quantity = channels[0] if len(channels) == 1 else _quantity(sidecar.schema)
        chart = anomaly_chart(_in_time(rows, clock), value_title=quantity)
    else:
        past = _read_history(history, sidecar.sources, sidecar.schema, on_progress)
        schema = sidecar.schema or (past.schema if past else None)
        clock = schema.clock if schema else _infer_clock(rows, on_progress)
        before = _history_rows(past, rows) if past else None
        chart = forecast_chart(_in_time(rows, clock), before, value_title=_quantity(schema))
    save_chart(chart, output)
    names = rows["unique_id"].drop_duplicates().tolist()
    kind = "forecast" if anomalies is None else "anomalies"
    facts = {"chart": str(output), "kind": kind, "series": names}
    return Outcome(facts=facts, lines=(*lines, f"chart written to {output}"))


def _read_anomalies(path: str) -> pd.DataFrame | None:
    """The rows of an anomalies file, names and times as text; None if it is something else."""
    (source,), _ = open_sources([path])
    if source.table is not None:
        named, rows = source.table.column_names, texts(Typed(source.table), missing="")
    else:
        try:
            named = pd.read_csv(io.BytesIO(source.data), dtype=str, na_filter=False, nrows=0).columns.tolist()
        except (ValueError, UnicodeDecodeError):
            return None
        rows = None
    if not set(ANOMALIES) <= set(named):
        return None
    if rows is None:
        rows = pd.read_csv(io.BytesIO(source.data), dtype=str, na_filter=False)
    figures = {name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in FIGURES}
    flags = rows["is_anomaly"].str.lower().isin(FLAGGED)
    return rows.assign(**figures, is_anomaly=flags, event_id=rows["event_id"].mask(rows["event_id"] == ""))


def _choose(rows: pd.DataFrame, series: tuple[str, ...], file: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows of the series to draw, and what to say about the others."""
    names = rows["unique_id"].drop_duplicates().tolist()
    if not names:
        raise DataError(f"{file} has no rows: there is nothing to draw", remedy="forecast or detect again")
    for name in series:
        if name not in names:
            close = nearest(name, names[:1_000])
            raise UsageError(f"{file} has no series called {name!r}", remedy=close)
    if "is_anomaly" in rows:
        flags = rows.groupby("unique_id", sort=False)["is_anomaly"].sum()
        names = flags.sort_values(ascending=False, kind="stable").index.tolist()
    wanted = list(dict.fromkeys(series)) or names
    said = f"{MAX_PANELS} of {len(wanted)} series are drawn; choose them with --series"
    kept = rows[rows["unique_id"].isin(wanted[:MAX_PANELS])]
    return kept, (said,) if len(wanted) > MAX_PANELS else ()


def _read_history(
    history: str | None, sources: tuple[str, ...], schema: Schema | None, on_progress: OnProgress
) -> Panel | None:
    """What the user named, else what the model read if all of it is still there."""
    if history is not None:
        return read([history], ReaderSettings(), schema=schema, on_progress=on_progress).panel
    if schema is None or not sources or not all(is_there(source) for source in sources):
        return None
    on_progress(Notice(f"history: {', '.join(sources)} (--history DATA for another)"))
    return read(list(sources), ReaderSettings(), schema=schema, on_progress=silent).panel


def _history_rows(past: Panel, forecast: pd.DataFrame) -> pd.DataFrame | None:
    """``unique_id, ds, target, y`` of the series forecast, NaN where not observed; None if there are none of them."""
    wanted = set(forecast["unique_id"])
    parts = []
    for segment, number in enumerate(past.series):
        if past.ids[number] in wanted:
            rows = np.arange(past.offsets[segment], past.ends[segment])
            values = past.values[rows] + past.shift[number]
            # One empty row more, so that the line breaks before the next segment.
            instants = past.schema.frequency.advance(past.start[segment], np.arange(len(rows) + 1))
            times = _shown(instants, past.schema.clock)
            for column, target in enumerate(past.schema.targets if past.values.shape[1] > 1 else ("y",)):
                y = np.append(np.where(past.observed[rows, column], values[:, column], np.nan), np.nan)
                parts.append(pd.DataFrame({"unique_id": past.ids[number], "ds": times, "target": target, "y": y}))
    return pd.concat(parts, ignore_index=True) if parts else None


def _in_time(rows: pd.DataFrame, clock: Clock) -> pd.DataFrame:
    """``rows`` with ds (and cutoff) as wall-clock datetimes, or as whole numbers."""
    keys = [name for name in ("unique_id", "cutoff", "target", "channel") if name in rows]
    groups: Times = np.asarray(rows.groupby(keys).ngroup(), np.int64)
    parsed = {
        name: _shown(clock.parse(rows[name].tolist(), groups=groups, column=name), clock)
        for name in ("ds", "cutoff")
        if name in rows
    }
    return rows.assign(**parsed)


def _shown(times: Times, clock: Clock) -> NDArray[Any]:
    return to_wall(times, clock.tz).view("datetime64[ns]") if clock.kind == "datetime" else times


def _infer_clock(rows: pd.DataFrame, on_progress: OnProgress) -> Clock:
    clock, notes = infer_clock(rows["ds"].drop_duplicates().to_numpy(object), column="ds", settings=ReaderSettings())
    for note in notes:
        on_progress(Notice(note))
    return clock


def _quantity(schema: Schema | None) -> str:
    return schema.targets[0] if schema and not schema.wide and len(schema.targets) == 1 else "value"
