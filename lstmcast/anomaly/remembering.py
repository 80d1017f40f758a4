"""Remembering: how far back a stream looks, so that its state and its nights stay as small as they are.

A row is judged, and a lesson taught, by the last 16,384 to 24,576 rows. The first of them is a multiple of 8,192 that
depends on the number of rows so far alone; hence deliveries in parts remember what one reading of the whole would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]

STEP = 8_192  # rows that are forgotten at a time
MOST_ROWS = 24_576
_WARM_UPS = 2  # in what is left after forgetting
_REACH = 64  # rows before the newest whose forecasts may still be asked for
_NEVER, _EVER = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a channel no longer has: ``own`` rows of it and ``common`` rows of its series, those before ``since``.

    Rows before ``open_from`` were judged by what is forgotten: they stay as they were judged. Both are times.
    """

    own: int = 0
    common: int = 0
    since: int = _EVER
    open_from: int = _EVER


NOTHING_FORGOTTEN = Forgotten()


class Part(NamedTuple):
    """A stretch of a history that is judged by itself: verdicts count from its common row ``first`` on.

    ``stretch`` (first, last) times of it; ``before`` common rows of the series precede it, of ``total`` in all.
    """

    stretch: tuple[int, int]
    first: int
    before: int
    total: int


def most_rows(warm_up: int) -> int:
    """Rows remembered at most, where the first ``warm_up`` calibrate those after them: a multiple of ``STEP``."""
    return max(MOST_ROWS, -(-(_WARM_UPS * warm_up + STEP) // STEP) * STEP)


def begin_of(row: Times, most: int | None) -> Times:
    """For each ``row``, counted from the first there ever was, the row from which on its history counts."""
    row = np.asarray(row, dtype=np.int64)
    if most is None:
        return np.zeros_like(row)
    return np.where(row < most, 0, ((row - most) // STEP + 1) * STEP)


def parts_of(times: Sequence[Times], forgotten: Forgotten, most: int | None) -> list[Part]:
    """The parts in which a series is judged, given the ``times`` of its channels: one, unless it is long."""
    time = _common(times, forgotten)
    total = forgotten.common + len(time)
    starts = [_first_judged(forgotten.common, most)]
    while most is not None and (following := starts[-1] + STEP if starts[-1] else most) < total:
        starts.append(following)
    found = []
    for start, stop in zip(starts, [*starts[1:], total], strict=True):
        begin = int(begin_of(np.array(start), most))
        ends = time[[begin - forgotten.common, stop - forgotten.common - 1]] if total else (0, 0)
        found.append(Part((int(ends[0]), int(ends[1])), start - begin, begin, total))
    return found


def forget(
    times: Sequence[Times], forgotten: Sequence[Forgotten], most: int | None, *, day: int
) -> list[tuple[int, Forgotten]]:
    """For each channel of a series the number of its rows that no later row will need, and what is forgotten then.

    ``times`` int64 of the rows each has, ``day`` in rows: so far back rows may still be corrected.
    """
    if most is None:
        return [(0, known) for known in forgotten]
    before = forgotten[0].common
    time = _common(times, forgotten[0])
    margin = max(_REACH, min(day + 1, STEP))
    common = max(before, int(begin_of(np.array(max(before + len(time) - 1 - margin, 0)), most)))
    since = int(time[common - before]) if common > before else forgotten[0].since
    opened = int(time[_first_judged(common, most) - before]) if common > before else forgotten[0].open_from
    found = []
    for own, known in zip(times, forgotten, strict=True):
        begin = int(begin_of(np.array(max(known.own + len(own) - 1 - margin, 0)), most))
        cut = max(0, min(begin - known.own, int(np.searchsorted(own, since))))
        row = _first_judged(known.own + cut, most) - known.own
        alone = (int(own[row]) if row < len(own) else _NEVER) if known.own + cut else _EVER
        found.append(
            (cut, replace(known, own=known.own + cut, common=common, since=since, open_from=max(opened, alone)))
        )
    return found


def _common(times: Sequence[Times], forgotten: Forgotten) -> Times:
    """The times at which any channel has a row, as far as the series is remembered."""
    time = times[0]
    for other in times[1:]:
        time = np.union1d(time, other)
    return time[np.searchsorted(time, forgotten.since) :]


def _first_judged(forgotten: int, most: int | None) -> int:
    """The first row that can be judged by what is left when ``forgotten`` rows are gone."""
    if forgotten == 0 or most is None:
        return 0
    return most + (-(-forgotten // STEP) - 1) * STEP
