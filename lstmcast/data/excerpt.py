"""Excerpt: the same Panel with fewer rows, as if the others had not been written yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel


def excerpt(panel: Panel, first: NDArray[np.int64], stop: NDArray[np.int64]) -> Panel:
    """Rows ``first`` .. ``stop`` - 1 of each segment (S,), in flat rows; empty segments and series are left out.

    A segment that keeps its end keeps its future block with it.
    """
    first = np.maximum(first, panel.offsets[:-1])
    whole = stop >= panel.ends
    ends = np.minimum(stop, panel.ends)
    kept = np.flatnonzero(ends > first)
    last = np.where(whole, panel.offsets[1:], ends)[kept]
    lengths = last - first[kept]
    begin = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.repeat(first[kept] - begin[:-1], lengths) + np.arange(begin[-1])
    names, series = np.unique(panel.series[kept], return_inverse=True)
    return replace(
        panel,
        ids=tuple(panel.ids[name] for name in names),
        series=series.astype(np.int64),
        offsets=begin,
        ends=begin[:-1] + ends[kept] - first[kept],
        start=panel.times(first[kept]),
        values=panel.values[rows],
        observed=panel.observed[rows],
        covariates=panel.covariates[rows],
        shift=panel.shift[names],
    )


def until(panel: Panel, time: int) -> Panel:
    """The panel as it was just after ``time`` (clock units): later rows, and series that begin later, are gone.

    Future-known covariates after ``time`` stay readable only as far as the file itself had a future block.
    """
    return excerpt(panel, panel.offsets[:-1], _row_after(panel, time))


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
