"""Excerpt: the same Panel with fewer rows, as if the others had not been written yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.errors import UsageError

_ROWS = 1_000_000  # looked at together: what is worked out of them takes some tens of megabytes


def excerpt(panel: Panel, first: NDArray[np.int64], stop: NDArray[np.int64], *, keep_future: bool = False) -> Panel:
    """Rows ``first`` .. ``stop`` - 1 of each segment (S,), in flat rows; empty segments and series are left out.

    A segment ends with its last observed row before ``stop``. With ``keep_future`` the covariates of later rows stay,
    as its future block.
    """
    first = np.maximum(first, panel.offsets[:-1])
    ends = np.minimum(_last_observed(panel, np.minimum(stop, panel.ends)) + 1, panel.ends)
    kept = np.flatnonzero(ends > first)
    last = panel.offsets[1:][kept] if keep_future else ends[kept]
    lengths = last - first[kept]
    begin = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.repeat(first[kept] - begin[:-1], lengths) + np.arange(begin[-1])
    known = rows < np.repeat(ends[kept], lengths)
    names, series = np.unique(panel.series[kept], return_inverse=True)
    return replace(
        panel,
        ids=tuple(panel.ids[name] for name in names),
        series=series.astype(np.int64),
        offsets=begin,
        ends=begin[:-1] + ends[kept] - first[kept],
        start=panel.times(first[kept]),
        values=panel.values[rows] * known[:, None],
        observed=panel.observed[rows] & known[:, None],
        covariates=panel.covariates[rows],
        static=panel.static[names],
        shift=panel.shift[names],
    )


def portions(panel: Panel, *, rows: int = _ROWS) -> Iterator[slice]:
    """Runs of series that hold about ``rows`` rows together, one series at least; all series, in order."""
    begin = np.append(panel.offsets[np.searchsorted(panel.series, np.arange(len(panel.ids)))], panel.offsets[-1])
    start = 0
    while start < len(panel.ids):
        stop = max(start + 1, int(np.searchsorted(begin, begin[start] + rows, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def consecutive(panel: Panel, these: slice) -> Panel:
    """The series ``these.start`` .. ``these.stop`` - 1 alone, in the memory of the whole: nothing is copied."""
    if (these.start, these.stop) == (0, len(panel.ids)):
        return panel
    first, last = np.searchsorted(panel.series, [these.start, these.stop]).tolist()
    begin, end = int(panel.offsets[first]), int(panel.offsets[last])
    return replace(
        panel,
        ids=panel.ids[these],
        series=panel.series[first:last] - these.start,
        offsets=panel.offsets[first : last + 1] - begin,
        ends=panel.ends[first:last] - begin,
        start=panel.start[first:last],
        values=panel.values[begin:end],
        observed=panel.observed[begin:end],
        covariates=panel.covariates[begin:end],
        static=panel.static[these],
        shift=panel.shift[these],
    )


def until(panel: Panel, time: int) -> Panel:
    """The panel as it was just after ``time`` (clock units): later targets, and series that begin later, are gone.

    Covariates known ahead stay; those known only up to now are hidden. Raises ``UsageError`` if nothing is left.
    """
    then = excerpt(panel, panel.offsets[:-1], _row_after(panel, time), keep_future=bool(panel.schema.known_ahead))
    if not then.ids:
        raise UsageError(
            f"there is no row at or before {panel.schema.clock.format(np.array([time]))[0]}",
            remedy=f"the first is {panel.schema.clock.format(panel.start.min(keepdims=True))[0]}",
        )
    ahead = np.arange(len(then.values)) >= np.repeat(then.ends, np.diff(then.offsets))
    then.covariates[ahead, : len(panel.schema.past)] = np.nan  # a copy: excerpts own their arrays
    return then


def _last_observed(panel: Panel, stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (S,) the last row before ``stop`` (S,) of each segment in which any target was observed, else before it."""
    row = np.arange(len(panel.values))
    seen = panel.observed.any(axis=1) & (row < np.repeat(stop, np.diff(panel.offsets)))
    last: NDArray[np.int64] = np.maximum.reduceat(np.where(seen, row, -1), panel.offsets[:-1])
    return np.where(last >= panel.offsets[:-1], last, panel.offsets[:-1] - 1)


def _row_after(panel: Panel, time: int) -> NDArray[np.int64]:
    """int64 (S,) the first flat row of each segment whose time is later than ``time``."""
    low, high = panel.offsets[:-1].copy(), panel.offsets[1:].copy()
    while (low < high).any():  # bisection, all segments at once
        middle = (low + high) // 2
        open_ = low < high
        later = panel.times(np.minimum(middle, panel.offsets[1:] - 1)) > time
        high = np.where(open_ & later, middle, high)
        low = np.where(open_ & ~later, middle + 1, low)
    return low
