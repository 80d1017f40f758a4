"""Judge: from out-of-sample forecasts to one verdict per row and one event per stretch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.anomaly.crossfit import LEVELS
from lstmcast.anomaly.events import Event, Track, events
from lstmcast.anomaly.surprise import surprise
from lstmcast.anomaly.tail import score, warm_up_rows
from lstmcast.anomaly.threshold import flag
from lstmcast.config import DetectionSettings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading
from lstmcast.forecast.backtest import target_names
from lstmcast.forecast.intervals import significant

_MEDIAN, _LOW, _HIGH = LEVELS.index(0.5), LEVELS.index(0.1), LEVELS.index(0.9)


@dataclass(frozen=True, slots=True)
class Judged:
    """One array (R, D) per column of the rows file."""

    y: NDArray[np.float64]
    y_hat: NDArray[np.float64]
    lo: NDArray[np.float64]
    hi: NDArray[np.float64]
    p_value: NDArray[np.float64]
    score: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    event_id: NDArray[np.object_]
    kind: NDArray[np.object_]
    direction: NDArray[np.object_]
    status: NDArray[np.object_]


def judge(
    panel: Panel, forecasts: NDArray[np.float64], detection: DetectionSettings, *, budget: float, day: int
) -> tuple[Judged, list[Event]]:
    shape = panel.values.shape
    series = np.repeat(panel.series, np.diff(panel.offsets))
    y = significant(np.where(panel.observed, panel.values + panel.shift[series], np.nan), panel.shift[series])
    one_step = significant(forecasts[:, 0], panel.shift[series][..., None])
    columns = Judged(
        y=y,
        y_hat=one_step[..., _MEDIAN],
        lo=one_step[..., _LOW],
        hi=one_step[..., _HIGH],
        p_value=np.full(shape, np.nan),
        score=np.full(shape, np.nan),
        is_anomaly=np.zeros(shape, dtype=bool),
        event_id=np.full(shape, "", dtype=object),
        kind=np.full(shape, "", dtype=object),
        direction=np.full(shape, "", dtype=object),
        status=np.where(np.isnan(y), "missing", np.where(np.isnan(one_step[..., _MEDIAN]), "no_forecast", "ok")).astype(
            object
        ),
    )
    found: list[Event] = []
    bounds = np.searchsorted(series, np.arange(len(panel.ids) + 1))
    times = panel.schema.clock.format(panel.times(np.arange(len(y))))
    for n, name in enumerate(panel.ids):
        rows = slice(bounds[n], bounds[n + 1])
        for d, target in enumerate(target_names(panel)):
            label = name if shape[1] == 1 else f"{name}/{target}"
            found += _judge_one(columns, rows, d, forecasts, label, times[rows], panel, detection, budget, day)
    return columns, found


def _judge_one(
    columns: Judged,
    rows: slice,
    d: int,
    forecasts: NDArray[np.float64],
    label: str,
    times: list[str],
    panel: Panel,
    detection: DetectionSettings,
    budget: float,
    day: int,
) -> tuple[Event, ...]:
    """Score, flag and describe one channel of one series; fills its cells of ``columns``."""
    y = columns.y[rows, d]
    per_week = panel.schema.frequency.rows_per_week()
    warm_up = warm_up_rows(len(y))
    unexpected = surprise(y, forecasts[rows, :, d], np.array(LEVELS))
    scores = score(y, unexpected, day=day, warm_up=warm_up)
    flags = flag(
        scores,
        unexpected.deviation(),
        budget=budget,
        rows_per_week=per_week,
        warm_up=warm_up,
        threshold=detection.threshold,
        direction=detection.direction,
        min_deviation=detection.min_deviation,
    )
    judged = np.isfinite(unexpected.error).any(axis=1)
    flags = replace(flags, raised=flags.raised & judged, active=flags.active & judged)
    track = Track(label, times, y, columns.y_hat[rows, d], columns.lo[rows, d], columns.hi[rows, d])
    told = events(
        track,
        flags,
        scores,
        day=day,
        rows_per_week=per_week,
        merge_within=detection.merge_within,
        min_duration=detection.min_duration,
    )
    columns.p_value[rows, d], columns.score[rows, d] = significant(scores.p_value), significant(scores.score)
    columns.is_anomaly[rows, d] = told.is_anomaly
    for position, event in enumerate(told.events):
        inside = np.flatnonzero(told.of_row == position) + rows.start
        columns.event_id[inside, d], columns.kind[inside, d] = event.event_id, event.kind
        columns.direction[inside, d] = event.direction or ""
    return told.events


def in_input_order(columns: Judged, reading: Reading) -> pd.DataFrame:
    """One line per input row (and channel), in the order of the file; rows the reader left out are marked so."""
    panel, there = reading.panel, reading.panel_row >= 0
    at = np.where(there, reading.panel_row, 0)
    ids = np.array(reading.input_ids, dtype=object)[reading.input_series]
    times = np.array(panel.schema.clock.format(reading.input_time), dtype=object)
    parts = []
    for d, name in enumerate(target_names(panel)):
        cells = {field.name: getattr(columns, field.name)[at, d] for field in fields(Judged)}
        frame = pd.DataFrame({"unique_id": ids, "ds": times, "channel": name} | cells)
        frame["is_anomaly"] = frame["is_anomaly"].astype(int)
        frame.loc[~there, ["y", "y_hat", "lo", "hi", "p_value", "score"]] = np.nan
        frame.loc[~there, ["event_id", "kind", "direction"]] = ""
        frame.loc[~there, "is_anomaly"] = 0
        frame.loc[~there, "status"] = "dropped"
        parts.append(frame.assign(order=np.arange(len(frame))))
    return pd.concat(parts).sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)
