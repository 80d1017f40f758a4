"""Ahead: what a forecast needs to know about the ends of series. Which are stale, which future rows are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel


def stale(panel: Panel, after: int | None = None) -> NDArray[np.bool_]:
    """bool (N,) series whose last value lies more than ``after`` rows before the newest of all.

    ``after`` None: as the schema says; nothing is stale where it says nothing.
    """
    limit = panel.schema.stale_after if after is None else after
    last = panel.last_segment()
    if limit is None:
        return np.zeros(len(last), bool)
    end = panel.times(panel.ends[last] - 1)
    behind = panel.schema.frequency.locate(end, np.full_like(end, end.max()))[0]
    return np.asarray(behind > limit)


def without(panel: Panel, gone: NDArray[np.bool_]) -> Panel:
    """The panel without the series ``gone`` (N,), some of which must stay."""
    stop = np.where(gone[panel.series], panel.offsets[:-1], panel.offsets[1:])
    return excerpt(panel, panel.offsets[:-1], stop, keep_future=True)


def missing_future(panel: Panel, horizon: int) -> pd.DataFrame:
    """The rows in which a covariate known ahead is missing: ``unique_id``, ``ds`` and an empty cell per covariate.

    The columns are called as in the file, so that the rows can be filled in and given with ``--future``.
    """
    schema, last = panel.schema, panel.last_segment()
    rows = panel.ends[last][:, None] + np.arange(horizon)
    there = rows < panel.offsets[last + 1][:, None]
    known = panel.covariates[np.where(there, rows, 0)][..., len(schema.past) :]
    known = np.where(there[..., None], known, np.nan)
    series, step = np.nonzero(np.isnan(known).any(axis=2))
    passed = rows[series, step] - panel.offsets[last[series]]
    times = schema.clock.format(schema.frequency.advance(panel.start[last[series]], passed))
    frame = pd.DataFrame({schema.id_col or "unique_id": [panel.ids[code] for code in series]})
    frame[schema.time_col or "ds"] = times
    for column, name in enumerate(schema.future):
        frame[name] = pd.array(known[series, step, column], dtype="Float64")
    return frame


def carried_on(panel: Panel, horizon: int) -> tuple[Panel, int]:
    """The panel with ``horizon`` future rows for each series, the last known covariates carried on; and how many cells.

    Only covariates known ahead are filled, and only after the last value of a series.
    """
    past, last = len(panel.schema.past), panel.last_segment()
    length = np.diff(panel.offsets)
    wanted = length.copy()
    wanted[last] = np.maximum(length[last], panel.ends[last] - panel.offsets[last] + horizon)
    offsets = np.r_[0, np.cumsum(wanted)].astype(np.int64)
    total = int(offsets[-1])
    moved = np.arange(len(panel.values)) + np.repeat(offsets[:-1] - panel.offsets[:-1], length)
    values = np.zeros((total, panel.values.shape[1]), np.float32)
    observed = np.zeros(values.shape, bool)
    covariates = np.full((total, panel.covariates.shape[1]), np.nan, np.float32)
    values[moved], observed[moved], covariates[moved] = panel.values, panel.observed, panel.covariates
    ends = offsets[:-1] + panel.ends - panel.offsets[:-1]
    filled = 0
    for segment in last.tolist():
        block = slice(int(offsets[segment]), int(offsets[segment + 1]))
        known = pd.DataFrame(covariates[block, past:])
        carried = known.ffill().to_numpy(np.float32)
        ahead = np.arange(len(known)) >= ends[segment] - offsets[segment]
        gaps = ahead[:, None] & np.isnan(known.to_numpy()) & ~np.isnan(carried)
        filled += int(gaps.sum())
        covariates[block, past:] = np.where(gaps, carried, known.to_numpy(np.float32))
    return replace(panel, offsets=offsets, ends=ends, values=values, observed=observed, covariates=covariates), filled
