"""Rows: the verdicts laid out as the files a person opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.anomaly.events import Event
from lstmcast.anomaly.judge import Case, Verdict
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading
from lstmcast.forecast.intervals import significant

COLUMNS = (
    *("unique_id", "ds", "channel", "y", "y_hat", "lo", "hi", "p_value", "score", "region_score"),
    *("is_anomaly", "event_id", "kind", "direction", "status"),
)
_FIGURES = ("y", "y_hat", "lo", "hi", "p_value", "score", "region_score")
_DWARFED = 5e3  # spreads of a series: below such a level float32 would lose its changes
_WORDS = ("event_id", "kind", "direction")


def rows_frame(
    reading: Reading,
    cases: Sequence[Case],
    verdicts: Sequence[Sequence[Verdict]],
    gaps: Sequence[Sequence[Event]],
    series_of: Sequence[int],
) -> pd.DataFrame:
    """One line per input row and channel, in the order of the file; rows the reader left out are marked so.

    ``cases``, each with its ``verdicts``, ``gaps`` (events of kind missing) and series of the panel: one or several
    parts of each series, in order of time. Rows before all parts, judged earlier and no longer known, are ``settled``.
    """
    panel, there = reading.panel, reading.panel_row >= 0
    at = np.where(there, reading.panel_row, 0)
    ids = np.array(reading.input_ids, dtype=object)[reading.input_series]
    times = np.array(panel.schema.clock.format(reading.input_time), dtype=object)
    series = np.repeat(panel.series, np.diff(panel.offsets))
    grid = panel.times(np.arange(len(panel.values)))
    parts = []
    for d, name in enumerate(panel.target_names):
        cells = _blank(len(grid))
        for k, (n, case) in enumerate(zip(series_of, cases, strict=True)):
            rows = np.flatnonzero(series == n)
            if case.part.before and (k == 0 or series_of[k - 1] != n):
                old = rows[(grid[rows] < case.time[case.part.first]) & panel.observed[rows, d]]
                cells["status"][old] = "settled"
            _fill(cells, rows, grid, case, d, verdicts[k][d], panel.shift[n, d])
            _mark_gaps(cells, rows[~panel.observed[rows, d]], grid, panel, gaps[k])
        frame = pd.DataFrame({key: column[at] for key, column in cells.items()})
        frame = pd.DataFrame({"unique_id": ids, "ds": times, "channel": name}).join(frame)
        frame.loc[~there, list(_FIGURES)] = np.nan
        frame.loc[~there, list(_WORDS)] = ""
        frame.loc[~there, "is_anomaly"] = 0
        frame.loc[~there, "status"] = "dropped"
        parts.append(frame.assign(order=np.arange(len(frame))))
    table = pd.concat(parts).sort_values("order", kind="stable")
    return table[list(COLUMNS)].reset_index(drop=True)


def events_frame(found: Sequence[Event]) -> pd.DataFrame:
    """The events, one line each."""
    names = [entry.name for entry in fields(Event)]
    frame = pd.DataFrame([asdict(event) for event in found], columns=names)
    return frame.assign(
        open=frame["open"].astype(int),
        deviation_pct=frame["deviation_pct"].astype(float).round(1),
        p_value=significant(np.array(frame["p_value"].tolist(), dtype=np.float64)),
    )


def _blank(rows: int) -> dict[str, NDArray[np.generic]]:
    cells: dict[str, NDArray[np.generic]] = {name: np.full(rows, np.nan) for name in _FIGURES}
    cells |= {name: np.full(rows, "", dtype=object) for name in _WORDS}
    return cells | {"is_anomaly": np.zeros(rows, dtype=np.int64), "status": np.full(rows, "missing", dtype=object)}


def _fill(
    cells: dict[str, NDArray[np.generic]],
    rows: NDArray[np.int64],
    grid: NDArray[np.int64],
    case: Case,
    d: int,
    verdict: Verdict,
    level: float,
) -> None:
    """Write what is known of channel ``d`` into the panel ``rows`` of its series that it has observed."""
    channel = case.channels[d]
    if not len(channel.time):
        return
    if channel.unit is not None:  # which does not depend on the delivery
        level = channel.unit.level if abs(channel.unit.level) > _DWARFED * channel.unit.scale else 0.0
    at = np.minimum(np.searchsorted(channel.time, grid[rows]), len(channel.time) - 1)
    known = (channel.time[at] == grid[rows]) & (grid[rows] >= case.time[case.part.first])
    to, at = rows[known], at[known]
    seen = verdict.judged[at]
    for name, values in (("y", channel.y), ("y_hat", channel.expected), ("lo", channel.lower), ("hi", channel.upper)):
        cells[name][to] = values[at] if name == "y" else significant(np.where(seen, values[at], np.nan), level)
    for name in ("p_value", "score", "region_score"):
        cells[name][to] = significant(getattr(verdict, name)[at])
    for name in _WORDS:
        cells[name][to] = getattr(verdict, name)[at]
    cells["is_anomaly"][to] = verdict.is_anomaly[at]
    cells["status"][to] = np.select([verdict.ignored[at], seen], ["ignored", "ok"], verdict.unjudged[at])


def _mark_gaps(
    cells: dict[str, NDArray[np.generic]],
    rows: NDArray[np.int64],
    grid: NDArray[np.int64],
    panel: Panel,
    gaps: Sequence[Event],
) -> None:
    """Name the event in rows that are there without a value."""
    if not len(rows) or not gaps:
        return
    for event in gaps:
        first, last = panel.schema.clock.parse([event.start, event.end])
        inside = rows[(grid[rows] >= first) & (grid[rows] <= last)]
        cells["event_id"][inside], cells["kind"][inside] = event.event_id, event.kind
