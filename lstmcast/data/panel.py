"""Panel: all series laid end to end in flat arrays. Never one Python object per row or per window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.data import room
from lstmcast.data.counting import Counting, Places, by_series, stretches
from lstmcast.data.moments import Moments
from lstmcast.data.schema import Schema


@dataclass(frozen=True, slots=True)
class Panel:
    """Series on their regular grid. A gap longer than ``schema.max_gap`` splits a series into segments.

    N series, S segments, R rows in all, D targets, K covariates.

    ``ids``        N names, in order of first appearance
    ``series``     int64 (S,) the series each segment belongs to, ascending; within a series in order of time
    ``offsets``    int64 (S+1,) row bounds of the segments: segment s holds rows offsets[s] .. offsets[s+1]-1
    ``ends``       int64 (S,) the row after the last observed target row of the segment. Rows ends[s] ..
                   offsets[s+1]-1 are the future block: future-known covariates with no target yet
    ``start``      int64 (S,) time of row offsets[s], in the clock's unit (see ``clock.Clock``)
    ``values``     float32 (R, D) target minus ``shift`` of its series; 0 where not observed
    ``observed``   bool (R, D)
    ``covariates`` float32 (R, K) NaN where missing
    ``static``     float32 (N, S) what is said of a series as a whole, words by their number; NaN where missing
    ``shift``      float64 (N, D) subtracted before the cast to float32; 0 unless the level dwarfs the spread so much
                   that float32 would lose digits
    ``earlier``    what is known of the rows before the panel, where it is the tail of longer series; else None
    """

    ids: tuple[str, ...]
    series: NDArray[np.int64]
    offsets: NDArray[np.int64]
    ends: NDArray[np.int64]
    start: NDArray[np.int64]
    values: NDArray[np.float32]
    observed: NDArray[np.bool_]
    covariates: NDArray[np.float32]
    static: NDArray[np.float32]
    shift: NDArray[np.float64]
    schema: Schema
    earlier: Moments | None = None

    def segment_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The segment each row of ``rows`` (any shape) lies in."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def times(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Time of each row of ``rows`` (any shape), by the frequency's own arithmetic."""
        segment = self.segment_of(rows)
        return self.schema.frequency.advance(self.start[segment], rows - self.offsets[segment])

    def last_segment(self) -> NDArray[np.int64]:
        """int64 (N,) the last segment of each series: the one a forecast continues."""
        return np.searchsorted(self.series, np.arange(len(self.ids)), side="right") - 1

    def without_past(self) -> Panel:
        """The same series without the covariates that are known only up to now."""
        ahead = self.covariates[:, len(self.schema.past) :]
        return replace(self, covariates=ahead, schema=self.schema.without_past())

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names along the D axis; a wide file has one target per series, which is called y."""
        return ("y",) if self.schema.wide else self.schema.targets


def build(
    ids: Sequence[str],
    codes: NDArray[np.int64],
    times: NDArray[np.int64],
    *,
    targets: NDArray[np.float64],
    covariates: NDArray[np.float32],
    schema: Schema,
    steps: NDArray[np.int64] | None = None,
    even: bool = False,
) -> tuple[Panel, Places]:
    """Lay rows on their grid; also int64 (r,) the flat row each of them came to lie on, -1 where it was trimmed.

    ``codes`` (r,) the series of each row, ascending, every series with at least one observed row; ``times`` (r,)
    ascending within a series, distinct and on its grid; ``targets`` (r, D) with NaN where missing; ``covariates``
    (r, K); ``steps`` int64 (r,) those from the first row of the series, where they are known; ``even`` where all rows
    have a value and follow each other. Segments begin and end with an observed row, but for the future block.
    """
    first = np.searchsorted(codes, np.arange(len(ids)))
    if even:
        return _as_it_lies(ids, times, first, targets=targets, covariates=covariates, schema=schema)
    step = schema.frequency.locate(times[first][codes], times)[0] if steps is None else steps
    opening, closing = _segments(codes, step, targets, schema)
    series = codes[opening].astype(np.int64)
    observed_rows = step[closing] - step[opening] + 1
    ahead = _future_rows(codes, step, closing, series, covariates=covariates, schema=schema)
    offsets = np.concatenate([[0], np.cumsum(observed_rows + ahead)]).astype(np.int64)

    rows = int(offsets[-1])
    shift = _shift(targets, first)
    values = room.zeros((rows, targets.shape[1]), np.float32)
    observed = room.zeros(values.shape, np.bool_)
    laid = np.full((rows, covariates.shape[1]), np.nan, np.float32)
    place = np.empty(len(codes), np.int64)
    for part in stretches(len(codes)):
        segment = np.searchsorted(opening, np.arange(part.start, part.stop), side="right") - 1
        lies = offsets[segment] + step[part] - step[opening[segment]]
        kept = (segment >= 0) & (codes[part] == series[segment]) & (lies < offsets[segment + 1])
        seen, at = np.isfinite(targets[part]), lies[kept]
        values[at] = np.where(seen, targets[part] - shift[codes[part]], 0)[kept]
        observed[at] = seen[kept]
        laid[at] = covariates[part][kept]
        place[part] = np.where(kept, lies, -1)
    ends = offsets[:-1] + observed_rows
    if schema.gaps == "zero":
        absent = np.ones(rows, bool)
        absent[place[place >= 0]] = False
        absent &= np.arange(rows) < ends.repeat(np.diff(offsets))
        values[absent] = -shift[series].repeat(np.diff(offsets), axis=0)[absent]
        observed[absent] = True
    panel = Panel(
        ids=tuple(ids),
        series=series,
        offsets=offsets,
        ends=ends,
        start=times[opening],
        values=values,
        observed=observed,
        covariates=laid,
        static=np.zeros((len(ids), 0), np.float32),
        shift=shift,
        schema=schema,
    )
    return panel, place


def _segments(
    codes: NDArray[np.int64], step: NDArray[np.int64], targets: NDArray[np.float64], schema: Schema
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64 (S,) the first and the last observed row of each segment."""
    opening, closing, last = [], [], np.zeros(0, np.int64)
    for part in stretches(len(codes)):
        at = np.append(last, part.start + np.flatnonzero(np.isfinite(targets[part]).any(axis=1)))
        if not len(at):
            continue
        apart = np.diff(codes[at]) != 0
        if schema.gaps != "zero":
            apart |= np.diff(step[at]) - 1 > schema.max_gap
        bound = np.flatnonzero(apart) + 1
        opening.append(at[bound] if len(last) else at[np.append(0, bound)])
        closing.append(at[bound - 1])
        last = at[-1:]
    return np.concatenate(opening), np.append(np.concatenate(closing), last)


def _future_rows(
    codes: NDArray[np.int64],
    step: NDArray[np.int64],
    closing: NDArray[np.int64],
    series: NDArray[np.int64],
    *,
    covariates: NDArray[np.float32],
    schema: Schema,
) -> NDArray[np.int64]:
    """int64 (S,) rows of the future block: from the last observed row to the last future-known value within reach."""
    ahead = np.zeros(len(closing), np.int64)
    if not schema.future:
        return ahead
    known = np.isfinite(covariates[:, len(schema.past) :]).any(axis=1)
    last = np.r_[series[1:] != series[:-1], True]
    tail = np.zeros(len(codes), np.int64)
    tail[closing[last]] = 1
    of_series = np.cumsum(tail) - 1  # the series whose last observed row is at or before this row
    after = np.flatnonzero((of_series >= 0) & (of_series == codes) & (tail == 0) & known)
    if not after.size:
        return ahead
    end = step[closing[last]][codes[after]]
    before = np.where(np.r_[True, codes[after][1:] != codes[after][:-1]], end, np.r_[0, step[after][:-1]])
    broken = np.cumsum(step[after] - before - 1 > schema.max_gap)
    opened = np.searchsorted(codes[after], codes[after])
    reached = (broken - broken[opened] + (step[after] - before - 1 > schema.max_gap)[opened]) == 0
    longest = np.zeros(int(codes[-1]) + 1, np.int64)
    np.maximum.at(longest, codes[after[reached]], (step[after] - end)[reached])
    ahead[last] = longest[series[last]]
    return ahead


def _as_it_lies(
    ids: Sequence[str],
    times: NDArray[np.int64],
    first: NDArray[np.int64],
    *,
    targets: NDArray[np.float64],
    covariates: NDArray[np.float32],
    schema: Schema,
) -> tuple[Panel, Places]:
    """The panel of rows that all have a value and follow each other without a gap."""
    total = len(times)
    shift = _shift(targets, first)
    values, observed = room.zeros(targets.shape, np.float32), room.zeros(targets.shape, np.bool_)
    for part, among in by_series(first, total):
        begin = np.maximum(first[among], part.start)
        level = shift[among].repeat(np.diff(begin, append=part.stop), axis=0)
        seen = np.isfinite(targets[part])
        values[part], observed[part] = np.where(seen, targets[part] - level, 0), seen
    panel = Panel(
        ids=tuple(ids),
        series=np.arange(len(ids)),
        offsets=np.append(first, total),
        ends=np.append(first[1:], total),
        start=times[first],
        values=values,
        observed=observed,
        covariates=covariates,
        static=np.zeros((len(ids), 0), np.float32),
        shift=shift,
        schema=schema,
    )
    return panel, Counting(total)


def _shift(targets: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Level of the series where float32 would keep less than three digits of its spread, or two of its changes; else 0.

    A meter that counts up has a wide spread and small changes: it is the changes that matter.
    """
    shape = (len(first), targets.shape[1])
    count, total = np.zeros(shape, np.int64), np.zeros(shape)
    squares, moves, moved = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    for part, among in by_series(first, len(targets)):
        seen = np.isfinite(targets[part])
        begin = np.maximum(first[among] - part.start, 0)
        count[among] += np.add.reduceat(seen, begin, axis=0, dtype=np.int64)
        total[among] += np.add.reduceat(np.where(seen, targets[part], 0), begin, axis=0)
    mean = total / np.maximum(count, 1)
    for part, among in by_series(first, len(targets)):
        y = targets[part]
        begin = np.maximum(first[among] - part.start, 0)
        deviation = np.where(np.isfinite(y), y - mean[among].repeat(np.diff(begin, append=len(y)), axis=0), 0)
        squares[among] += np.add.reduceat(deviation**2, begin, axis=0)
        before = targets[part.start - 1 : part.start] if part.start else np.full((1, targets.shape[1]), np.nan)
        change = np.abs(np.diff(y, axis=0, prepend=before))
        change[first[among][first[among] >= part.start] - part.start] = np.nan
        moving = np.isfinite(change) & (change > 0)
        moves[among] += np.add.reduceat(np.where(moving, change, 0), begin, axis=0)
        moved[among] += np.add.reduceat(moving, begin, axis=0, dtype=np.int64)
    spread, change = np.sqrt(squares / np.maximum(count, 1)), moves / np.maximum(moved, 1)
    inexact = np.abs(mean - mean.astype(np.float32)) > 0
    small_changes = (change > 0) & (np.abs(mean) > 1e5 * change)
    dwarfed = np.where(spread > 0, (np.abs(mean) > 5e3 * spread) | small_changes, inexact)
    return np.where(dwarfed, mean, 0.0)
