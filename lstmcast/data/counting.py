"""Counting: row numbers that need no memory, and stretches of rows small enough to work on one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRETCH = 2**17
"""Rows worked on at a time: their temporary arrays stay in the cache of the processor."""


class Counting:
    """The whole numbers ``first`` .. ``first + size - 1``: what an array of them would hold, without one."""

    __slots__ = ("first", "size")

    def __init__(self, size: int, *, first: int = 0) -> None:
        self.first, self.size = first, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, places: Any) -> Any:
        """Those at ``places``: a number, a slice, or an array of places or bools."""
        if isinstance(places, slice):
            return self.first + np.arange(*places.indices(self.size))
        chosen = np.asarray(places)
        return self.first + (np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.arange(self.first, self.first + self.size, dtype=dtype or np.int64)


Places = NDArray[np.int64] | Counting
"""Numbers of rows."""


def stretches(total: int) -> Iterator[slice]:
    """Consecutive slices that together cover ``total`` rows."""
    for start in range(0, total, STRETCH):
        yield slice(start, min(start + STRETCH, total))


def by_series(first: NDArray[np.int64], total: int) -> Iterator[tuple[slice, slice]]:
    """Stretches of rows that end where a series does wherever possible, and the series that have rows in each.

    ``first`` int64 (N,) the first row of each series, ascending.
    """
    start = 0
    while start < total:
        stop = min(start + STRETCH, total)
        if stop < total:
            at = int(first[np.searchsorted(first, stop, side="right") - 1])
            stop = at if at > start else stop
        begin = int(np.searchsorted(first, start, side="right")) - 1
        yield slice(start, stop), slice(begin, int(np.searchsorted(first, stop, side="left")))
        start = stop


def through(places: Places, further: Places) -> Places:
    """Where rows at ``places`` end up when those go on to ``further``; -1 stays -1."""
    if isinstance(further, Counting) and not further.first:
        return places
    if isinstance(places, Counting) and not places.first and len(places) == len(further):
        return further
    at = np.asarray(places)
    return np.where(at < 0, -1, further[at])
