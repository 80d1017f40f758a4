"""Spacing: the frequency that most steps of the data share."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, Frequency, Times, month_length, month_number, month_start, to_wall
from lstmcast.data.counting import stretches

_WEEKS_SEEN = 4
"""Weeks after which a weekday that never came is taken for a day off."""


def infer(times: Times, following: NDArray[np.bool_], *, integer: bool, tz: str | None) -> Frequency | None:
    """The frequency most steps of the data share; None if no series has two different times.

    ``times`` int64 (R,) sorted within each series; ``following`` bool (R,) False on the first row of a series.
    """
    lengths, counts = _lengths(times, following)
    if not lengths.size:
        return None
    usual = int(lengths[np.argmax(counts)])
    if integer:
        return Frequency(kind="integer", step=usual)
    wall = to_wall(times, tz)
    hour = int(wall[0] % DAY)
    if any(bool((wall[part] % DAY != hour).any()) for part in stretches(len(wall))):
        return Frequency(kind="fixed", step=usual, tz=tz)
    some = _distinct_days(wall)
    found = _months(wall, some, following, tz)
    if found is None:
        step = usual // DAY if wall is times else _usual(np.floor_divide(wall, DAY), following)
        found = _days(some, step, tz)
    return found


def _distinct_days(wall: Times) -> Times:
    """The days on which these times lie, ascending."""
    first, last = int(wall.min()) // DAY, int(wall.max()) // DAY
    if last - first > len(wall):
        return np.unique(np.floor_divide(wall, DAY))
    seen = np.zeros(last - first + 1, bool)
    for part in stretches(len(wall)):
        seen[np.floor_divide(wall[part], DAY) - first] = True
    return np.flatnonzero(seen) + first


def _lengths(times: Times, following: NDArray[np.bool_]) -> tuple[Times, Times]:
    """The distances between rows of a series that are above zero, ascending, and how often each comes."""
    total: Counter[int] = Counter()
    for part in stretches(len(times)):
        begin = max(part.start, 1)
        apart = np.diff(times[begin - 1 : part.stop])[following[begin : part.stop]]
        apart = apart[apart > 0]
        if apart.size and (apart == apart[0]).all():
            total[int(apart[0])] += len(apart)
            continue
        lengths, counts = np.unique(apart, return_counts=True)
        total.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
    lengths = np.array(sorted(total), np.int64)
    return lengths, np.array([total[length] for length in lengths.tolist()], np.int64)


def _days(some: Times, step: int, tz: str | None) -> Frequency:
    """Of days that are usually ``step`` apart; ``some`` are the distinct ones."""
    weekday = np.mod(some + 3, 7)  # 1970-01-01 was a Thursday
    span = int(some.max() - some.min())
    if step == 1 and not (weekday >= 5).any() and span >= 7:
        return Frequency(kind="business", tz=tz)
    seen = np.bincount(weekday, minlength=7) > 0
    if step == 1 and 4 <= seen.sum() < 7 and span >= _WEEKS_SEEN * 7:
        return Frequency(kind="business", weekmask="".join("01"[int(day)] for day in seen), tz=tz)
    return Frequency(kind="days", step=step, tz=tz)


def _months(wall: Times, some: Times, following: NDArray[np.bool_], tz: str | None) -> Frequency | None:
    """``some`` are the distinct days of ``wall``."""
    month = month_number(some)
    of_month = some - month_start(month) + 1
    last = int(of_month.max())
    cut = np.minimum(last, month_length(month))
    if bool((of_month == month_length(month)).all()):
        anchor: Literal["start", "end", "day"] = "end"
    elif last == 1:
        anchor = "start"
    elif bool((of_month == cut).all()):
        anchor = "day"
    else:
        return None
    lengths, counts = _lengths(month_number(np.floor_divide(wall, DAY)), following)
    if not lengths.size:
        return None
    step = int(lengths[np.argmax(counts)])
    return Frequency(kind="months", step=step, anchor=anchor, day=last if anchor == "day" else 1, tz=tz)


def _usual(times: Times, following: NDArray[np.bool_]) -> int:
    lengths, counts = _lengths(times, following)
    return int(lengths[np.argmax(counts)])
