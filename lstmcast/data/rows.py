"""Rows: the file's rows as arrays, brought into order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lstmcast.data import room
from lstmcast.data.calendar import Frequency, Times
from lstmcast.data.clock import Clock
from lstmcast.data.counting import Places, stretches
from lstmcast.data.findings import Finding


@dataclass(frozen=True)
class Rows:
    """r rows, in order of series and time once sorted.

    ``codes`` int64 (r,) series; ``times`` int64 (r,); ``targets`` float64 (r, D) and ``covariates`` float32 (r, K) with
    NaN where missing; ``lines`` int64 (r,) of the file; ``origin`` int64 (r,) place in the file. What follows from them
    is computed once, when it is first asked for.
    """

    ids: tuple[str, ...]
    codes: Times
    times: Times
    targets: NDArray[np.float64]
    covariates: NDArray[np.float32]
    lines: Places
    origin: Places

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """The rows at these places."""
        return replace(
            self,
            codes=self.codes[rows],
            times=self.times[rows],
            targets=self.targets[rows],
            covariates=self.covariates[rows],
            lines=self.lines[rows],
            origin=self.origin[rows],
        )

    @cached_property
    def following(self) -> NDArray[np.bool_]:
        """bool (r,) False on the first row of each series."""
        follows: NDArray[np.bool_] = room.zeros((len(self.codes),), np.bool_)
        np.equal(self.codes[1:], self.codes[:-1], out=follows[1:])
        return follows

    @cached_property
    def first(self) -> Times:
        """int64 (n,) the first row of each series that has rows."""
        parts = stretches(len(self.codes))
        found = [np.flatnonzero(~self.following[part]) + part.start for part in parts]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """bool (r,) where a target is there."""
        seen: NDArray[np.bool_] = room.zeros((len(self.targets),), np.bool_)
        for part in stretches(len(seen)):
            seen[part] = np.isfinite(self.targets[part]).any(axis=1)
        return seen

    def opening(self, part: slice | None = None) -> Times:
        """int64 time of the first row of the series of each row (of the rows in ``part``)."""
        start, stop, _ = (part or slice(None)).indices(len(self.codes))
        begin = int(np.searchsorted(self.first, start, side="right")) - 1
        end = int(np.searchsorted(self.first, stop, side="left"))
        bounds = np.clip(np.append(self.first[begin:end], stop), start, stop)
        return np.repeat(self.times[self.first[begin:end]], np.diff(bounds))

    def steps(self, frequency: Frequency) -> Times:
        """int64 (r,) whole steps of ``frequency`` from the first row of its series to each row."""
        kept: tuple[Frequency, Times] | None = self.__dict__.get("_steps")
        if kept is not None and kept[0] == frequency:
            return kept[1]
        steps = np.empty(len(self.times), np.int64)
        for part in stretches(len(self.times)):
            steps[part] = frequency.locate(self.opening(part), self.times[part])[0]
        self.__dict__["_steps"] = (frequency, steps)
        return steps

    def on_grid(self, frequency: Frequency) -> bool:
        """Whether every row is whole steps of ``frequency`` from the first of its series."""
        return self._fits(frequency)[0]

    def is_even(self, frequency: Frequency) -> bool:
        """Whether every row has a target and comes one step of ``frequency`` after the row before it in its series."""
        fit, even = self._fits(frequency)
        return fit and even and bool(self.seen.all())

    def _fits(self, frequency: Frequency) -> tuple[bool, bool]:
        """Whether all rows are on the grid, and none is left out; kept for the last frequency."""
        kept: tuple[Frequency, tuple[bool, bool]] | None = self.__dict__.get("_grid")
        if kept is not None and kept[0] == frequency:
            return kept[1]
        fit, even, before = True, True, np.zeros(1, np.int64)
        for part in stretches(len(self.times)):
            steps, fits = frequency.locate(self.opening(part), self.times[part])
            fit = fit and bool(fits.all())
            even = even and bool((np.diff(steps, prepend=before)[self.following[part]] == 1).all())
            before = steps[-1:]
        self.__dict__["_grid"] = (frequency, (fit, even))
        return fit, even


def in_order(rows: Rows, clock: Clock) -> tuple[Rows, list[Finding]]:
    """The rows by series and time; a finding if a series ran backwards anywhere."""
    grouped = rows.take(np.argsort(rows.codes, kind="stable")) if _descends(rows.codes) else rows
    back = backwards(grouped)
    if not back.size:
        return grouped, []
    first = int(back[np.argmin(grouped.lines[back])])
    finding = Finding(
        "unsorted",
        "info",
        f"rows are not in order of time ({back.size} step{'s' if back.size > 1 else ''} back); they were sorted",
        unique_id=rows.ids[grouped.codes[first]],
        first_ds=clock.format(grouped.times[first : first + 1])[0],
        count=int(back.size),
        example_line=int(grouped.lines[first]),
    )
    return rows.take(np.lexsort((rows.times, rows.codes))), [finding]


def backwards(rows: Rows) -> Times:
    """int64 the rows that are earlier than the row before them in their series."""
    return _where(rows, np.less)


def doubled(rows: Rows) -> Times:
    """int64 the rows that have the time of the row before them in their series."""
    return _where(rows, np.equal)


def _where(rows: Rows, relation: np.ufunc) -> Times:
    found = []
    for part in stretches(len(rows.times)):
        begin = max(part.start, 1)
        later = relation(rows.times[begin : part.stop], rows.times[begin - 1 : part.stop - 1])
        found.append(np.flatnonzero(later & rows.following[begin : part.stop]) + begin)
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _descends(codes: Times) -> bool:
    parts = stretches(len(codes))
    return any(bool((codes[max(p.start, 1) : p.stop] < codes[max(p.start, 1) - 1 : p.stop - 1]).any()) for p in parts)
