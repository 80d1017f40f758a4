"""Kinds: what sort of anomaly an event is, from how its rows leave the usual and whether they come back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.rules import Hit

Floats = NDArray[np.float64]
Kind = Literal["spike", "burst", "level_shift", "trend", "variance", "flat", "missing", "season", "new_extreme"]

SPIKE_ROWS = 3
SPIKE_TAIL = 1 / 3
FLAT_ROWS = 4
USUAL_REPEATS = 0.1
SHIFT_SPREADS = 3.0
SHIFT_SHARE = 0.9
SHIFT_ROWS = 8
SHAPE_ROWS = 6
SEASON_ROWS = 12
STRAIGHT, SLOW_START = 0.75, 0.5
ALIKE, UNLIKE = 0.8, 0.4
OUTBURST = 7.0  # spreads from the usual that wider swings alone do not reach
EVEN = 1.5  # times the median of the deviations: all about as large
RESTLESS = 0.25  # share of rows at which the deviation changes its sign
NEW_EXTREME_SHARE = 0.001
_BEYOND = 2.0  # spreads from the usual that still belong to an excursion
_LOOK_BACK_DAYS = 14
_LOOK_AHEAD_DAYS = 5  # what is back before was no new level
_ON_THE_WAY = 1.0  # spreads from the usual, before an alarm, that belong to what it was raised for


@dataclass(frozen=True, slots=True)
class Excursion:
    """How the rows of an event leave the ``usual``: ``away`` (k,) in spreads of what is ordinary.

    ``first`` is the row at which it began. ``values`` and ``usual`` (k,) of the same rows. It lasts until half a dozen
    rows in a row are ordinary and around the usual again, five days, or the end of the data; ``over`` tells that it
    ended before. ``brief`` tells that three rows after the first alarm no row of it, nor of the alarms, is further away
    than a third of the furthest of these three, which is not ordinary.
    """

    first: int
    values: Floats
    usual: Floats
    away: Floats
    over: bool
    brief: bool


def kind_of(y: Floats, first: int, last: int, peak: int, *, day: int, rules: Sequence[Hit] = ()) -> Kind:
    """The first that holds of the event in rows ``first`` .. ``last`` of a channel ``y`` (n,) observed rows.

    ``flat``         at least 4 rows repeat one value in a series that seldom does, or the rule says so
    ``level_shift``  not back within five days, and a day after the onset nine rows in ten differ from the same rows a
                     day earlier to one side, by 3 robust spreads of that difference, or the rule says so
    ``spike``        after at most 3 rows back to the usual, or nearer to it than a third of the largest distance
    ``variance``     deviations to both sides that do not end, or none of which is above 7 spreads of what is ordinary
                     or 1.5 times their median
    ``burst``        deviations to both sides, some of them above that
    ``season``       at least 12 rows that follow another time of the day, not their own
    ``trend``        at least 6 rows that leave the usual in a nearly straight line, from before the alarm on if need be
    ``new_extreme``  beyond all values before the event, by a thousandth of their range
    ``variance``     the rule says so, and none is above that
    ``burst``        the rest
    """
    said = {hit.kind for hit in rules}
    before = y[:first][np.isfinite(y[:first])]
    inside = y[first : last + 1][np.isfinite(y[first : last + 1])]
    stuck = len(inside) >= FLAT_ROWS and np.ptp(inside) == 0 and _repeats(before) < USUAL_REPEATS
    if stuck or "flat" in said:
        return "flat"
    found = excursion(y, first, last, day=day)
    straight = found is not None and _is_trend(found)
    stays = found is None or not found.over
    if stays and not straight and ("level_shift" in said or _level_shifted(y, first, day)):
        return "level_shift"
    margin = NEW_EXTREME_SHARE * np.ptp(before) if len(before) else math.inf
    reached = np.r_[y[peak], found.values if found is not None else inside]
    extreme = len(before) > 0 and bool(
        (reached < before.min() - margin).any() or (reached > before.max() + margin).any()
    )
    if found is None:
        return "new_extreme" if extreme else "spike" if last - first < SPIKE_ROWS else "burst"
    if found.over and (found.brief or (len(found.away) <= SPIKE_ROWS and last - first < SPIKE_ROWS)):
        return "spike"
    turns = float(np.mean(np.diff(np.sign(found.away)) != 0)) if len(found.away) > 1 else 0.0
    if turns > RESTLESS and len(found.away) > SPIKE_ROWS:
        stays_so = not found.over and len(found.away) >= max(SHAPE_ROWS, day // 2)
        return "variance" if stays_so or _is_even(found) else "burst"
    if _is_season(found, y, found.first, day):
        return "season"
    if straight:
        return "trend"
    if extreme:
        return "new_extreme"
    return "variance" if "variance" in said and _is_even(found) else "burst"


def _is_even(found: Excursion) -> bool:
    """Whether wider swings explain the deviations: none is very far, or all are about as far."""
    far = np.abs(found.away)
    return bool(far.max() <= max(OUTBURST, EVEN * float(np.median(far))))


def excursion(y: Floats, first: int, last: int, *, day: int) -> Excursion | None:
    """The rows of an event beside what is usual there, from where they began to leave it, which may be before its
    ``first`` alarm. None with less than three days before, or gaps there."""
    found = _from(y, first, last, day)
    if found is None or found.first == first:
        return found
    earlier = _from(y, found.first, last, day)
    return found if earlier is None else replace(earlier, first=found.first, brief=found.brief)


def _from(y: Floats, first: int, last: int, day: int) -> Excursion | None:
    if first < 3 * day or not np.isfinite(y[:first]).all():
        return None
    stop = min(len(y), max(last + 1, first + _LOOK_AHEAD_DAYS * day))
    history = slice(max(0, first - _LOOK_BACK_DAYS * day), stop)
    best: tuple[float, Floats] | None = None
    for usual in _usuals(y, first, day):
        ordinary = (y[history] - usual[history])[: first - history.start]
        ordinary = ordinary[np.isfinite(ordinary)]
        if len(ordinary) < SHAPE_ROWS:
            continue
        spread = 1.4826 * float(np.median(np.abs(ordinary - np.median(ordinary)))) + 0.1 * float(ordinary.std())
        if spread > 0 and (best is None or spread < best[0]):
            best = spread, usual
    if best is None:
        return None
    spread, usual = best
    onset = _onset((y[:first] - usual[:first]) / spread, y[first] - usual[first], 2 * day)
    away = (y[first:stop] - usual[first:stop]) / spread
    away = np.where(np.isfinite(away), away, 0.0)
    rows, over = _lasting(away, last + 1 - first)
    brief = _is_brief(np.abs(away[: max(rows, last + 1 - first)]))
    return Excursion(onset, y[first : first + rows], usual[first : first + rows], away[:rows], over, brief)


def _onset(away: Floats, side: float, most: int) -> int:
    """The first of the rows before an alarm that were on its ``side`` of the usual already, without a break."""
    row = len(away)
    while row > 0 and len(away) - row < most and away[row - 1] * np.sign(side) > _ON_THE_WAY:
        row -= 1
    return row


def _is_brief(far: Floats) -> bool:
    """A large spike leaves a tail: the forecasts that saw it err for a while, and the level it stood on may drift."""
    top = float(far[:SPIKE_ROWS].max())
    return top > _BEYOND and bool(np.all(far[SPIKE_ROWS:] <= max(_BEYOND, top * SPIKE_TAIL)))


def _lasting(away: Floats, least: int) -> tuple[int, bool]:
    """Rows until half a dozen in a row are ordinary, around the usual, and whether that was seen; ``least`` where
    alarms reach there."""
    quiet = 0
    for row, far in enumerate(np.abs(away) > _BEYOND):
        quiet = 0 if far else quiet + 1
        if quiet < SHAPE_ROWS or row + 1 - quiet < min(least, SPIKE_ROWS):
            continue
        if abs(float(away[row + 1 - SHAPE_ROWS : row + 1].mean())) <= _ON_THE_WAY:
            return max(1, row + 1 - quiet), True
    return max(1, len(away) - quiet), quiet > 0


def _usuals(y: Floats, first: int, day: int) -> list[Floats]:
    """What the rows may be compared with, each (n,): recent days, the same day of earlier weeks, the day before.

    Rows of the event are never their own measure: what follows ``first`` is compared with rows before it.
    """
    row = np.arange(len(y))
    late = np.maximum(row - first + 1, 0)

    def lagged(days: int) -> Floats:
        back = days * day
        back_rows = back * np.maximum(1, -(-late // back))  # whole lags, so that the row lies before ``first``
        at = row - back_rows
        return np.where(at >= 0, y[np.maximum(at, 0)], np.nan)

    with np.errstate(invalid="ignore"):
        recent = np.sort(np.stack([lagged(1), lagged(2), lagged(3)]), axis=0)[1]
        level = np.full(len(y), np.nan)
        means = np.convolve(y[:first], np.ones(day) / day, mode="valid") if day <= first else np.empty(0)
        level[day : day + len(means)] = means[: len(y) - day]
        level[first:] = means[-1] if len(means) else np.nan
        return [recent, lagged(7), level]


def _repeats(values: Floats) -> float:
    """Share of rows equal to the row before."""
    return float(np.mean(np.diff(values) == 0)) if len(values) > 1 else 1.0


def _level_shifted(y: Floats, first: int, day: int) -> bool:
    lag = day * math.ceil(SHIFT_ROWS / day)
    if first < 2 * lag or first + lag > len(y):
        return False
    usual = y[first - lag : first] - y[first - 2 * lag : first - lag]
    now = y[first : first + lag] - y[first - lag : first]
    usual, now = usual[np.isfinite(usual)], now[np.isfinite(now)]
    if min(len(usual), len(now)) < SHIFT_ROWS:
        return False
    shift = float(np.median(now))
    spread = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
    one_sided = float(np.mean(now * shift > 0)) >= SHIFT_SHARE
    return one_sided and abs(shift) > SHIFT_SPREADS * spread


def _is_trend(found: Excursion) -> bool:
    away, rows = found.away, len(found.away)
    if rows < SHAPE_ROWS:
        return False
    quarter = max(1, rows // 4)
    begin, end = float(np.median(away[:quarter])), float(np.median(away[-quarter:]))
    slow = abs(begin) < SLOW_START * abs(end) and begin * end > -0.1 * end**2
    return slow and abs(_correlation(away, np.arange(rows, dtype=np.float64))) > STRAIGHT


def _is_season(found: Excursion, y: Floats, first: int, day: int) -> bool:
    """Whether the rows follow the day before at another hour, and their own hour badly."""
    rows = len(found.values)
    if rows < SEASON_ROWS or _correlation(found.values, found.usual) > UNLIKE or first < 2 * day:
        return False
    pattern = y[first - day : first]
    for shift in range(day // 8, day - day // 8):
        if _correlation(found.values, np.resize(np.roll(pattern, -shift), rows)) > ALIKE:
            return True
    return _correlation(found.values, -found.usual) > ALIKE


def _correlation(a: Floats, b: Floats) -> float:
    if not (np.isfinite(b).all() and a.std() > 0 and b.std() > 0):
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
