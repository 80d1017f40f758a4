"""Ahead: the ends of series. Which are stale, and which covariates are known for the rows to come, which missing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.dialect import Dialect
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


def of_file(panel: Panel) -> Panel:
    """The panel without the series that are sums of others: the rows of these are not in the file."""
    return without(panel, np.isin(panel.ids, panel.schema.sums)) if panel.schema.sums else panel


def carried_on(panel: Panel, horizon: int) -> tuple[Panel, int]:
    """The panel with ``horizon`` future rows for each series, the last known covariates carried on; and how many cells.

    Only covariates known ahead are filled, and only after the last value of a series.
    """
    own, last = _own(panel), panel.last_segment()
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
        known = pd.DataFrame(covariates[block, own])
        carried = known.ffill().to_numpy(np.float32)
        beyond = np.arange(len(known)) >= ends[segment] - offsets[segment]
        gaps = beyond[:, None] & np.isnan(known.to_numpy()) & ~np.isnan(carried)
        filled += int(gaps.sum())
        covariates[block, own] = np.where(gaps, carried, known.to_numpy(np.float32))
    return replace(panel, offsets=offsets, ends=ends, values=values, observed=observed, covariates=covariates), filled


@dataclass(frozen=True, slots=True)
class Ahead:
    """The first H rows after each of N series, for the F covariates of the file that are known ahead.

    ``times``  int64 (N, H) in the clock's unit
    ``known``  float32 (N, H, F) NaN where nothing is known
    """

    times: NDArray[np.int64]
    known: NDArray[np.float32]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """bool (N, H, F)."""
        return np.isnan(self.known)


def ahead(panel: Panel, horizon: int) -> Ahead:
    """What the panel knows of the ``horizon`` rows after the last observed row of each series."""
    last = panel.last_segment()
    rows = panel.ends[last][:, None] + np.arange(horizon)
    there = rows < panel.offsets[last + 1][:, None]
    known = panel.covariates[np.where(there, rows, 0)][..., _own(panel)]
    start = np.broadcast_to(panel.start[last][:, None], rows.shape)
    passed = rows - panel.offsets[last][:, None]
    times = panel.schema.frequency.advance(start.reshape(-1), passed.reshape(-1)).reshape(rows.shape)
    return Ahead(times, np.where(there[..., None], known, np.float32(np.nan)))


def to_fill(panel: Panel, rows: Ahead) -> pd.DataFrame:
    """A row for each of ``rows`` that lacks a covariate, in the columns of the file; what is known is filled in."""
    schema = panel.schema
    series, step = np.nonzero(rows.missing.any(axis=2))
    columns: dict[str, object] = {}
    if schema.id_col is not None:
        columns[schema.id_col] = np.array(panel.ids, dtype=object)[series]
    if schema.time_col is not None:
        columns[schema.time_col] = schema.clock.format(rows.times[series, step])
    for number, name in enumerate(schema.future):
        known = rows.known[series, step, number]
        words = np.array([*schema.categories.get(name, ()), np.nan], dtype=object)
        columns[name] = words[np.where(np.isnan(known), -1, known).astype(int)] if len(words) > 1 else known
    frame = pd.DataFrame(columns)
    return frame.drop_duplicates(schema.time_col, ignore_index=True) if schema.wide and schema.time_col else frame


def _own(panel: Panel) -> slice:
    """Where the covariates of the file that are known ahead stand on the K axis."""
    past = len(panel.schema.past)
    return slice(past, past + len(panel.schema.future))


def as_text(frame: pd.DataFrame, dialect: Dialect) -> str:
    """``frame`` written so that ``dialect`` reads it, to stand beside a file of that dialect."""
    if not dialect.header:
        frame = frame.reindex(columns=list(dialect.names))
    body = frame.to_csv(
        index=False, sep=dialect.delimiter, decimal=dialect.decimal, header=dialect.header, lineterminator="\n"
    )
    mark = "" if dialect.encoding in {"utf-8", "utf-8-sig", "ascii"} else "\ufeff"  # which wins over any encoding
    return mark + "# rows to fill in\n" * dialect.skip_rows + body
