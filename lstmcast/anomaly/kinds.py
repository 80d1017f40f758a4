"""Kinds: what sort of anomaly an event is, from the values around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.rules import Hit

Floats = NDArray[np.float64]
Kind = Literal["spike", "burst", "level_shift", "trend", "variance", "flat", "missing", "season", "new_extreme"]

SPIKE_ROWS = 3
FLAT_ROWS = 6
USUAL_REPEATS = 0.1
SHIFT_SPREADS = 3.0
SHIFT_SHARE = 0.9
SHIFT_ROWS = 8
SHAPE_ROWS = 12
STRAIGHT = 0.9
ALIKE, UNLIKE = 0.6, 0.2
WIDER = 3.0
NEW_EXTREME_SHARE = 0.001


def kind_of(
    y: Floats, expected: Floats, first: int, last: int, peak: int, *, day: int, rules: Sequence[Hit] = ()
) -> Kind:
    """The first that holds of the rows ``first`` .. ``last`` of a channel ``y`` (n,) with its ``expected`` values (n,).

    ``flat``         at least 6 rows repeat one value in a series that seldom does, or the rule says so
    ``trend``        at least 12 rows that leave the same rows a day earlier in a nearly straight line
    ``level_shift``  a day after the onset, nine rows in ten differ from the same rows a day earlier to one side, by 3
                     robust spreads of that difference, or the rule says so
    ``variance``     the rule says so, or errors over at least 12 rows are on average three times the usual ones
    ``season``       at least 12 rows that do not follow the day before, in a series that does
    ``new_extreme``  the peak is beyond all values before the event, by a thousandth of their range
    ``spike``        at most 3 rows
    ``burst``        the rest
    """
    said = {hit.kind for hit in rules}
    before = y[:first][np.isfinite(y[:first])]
    inside = y[first : last + 1][np.isfinite(y[first : last + 1])]
    stuck = len(inside) >= FLAT_ROWS and np.ptp(inside) == 0 and _repeats(before) < USUAL_REPEATS
    if stuck or "flat" in said:
        return "flat"
    shaped = _shape(y, expected, first, last, day)
    if shaped != "trend" and ("level_shift" in said or _level_shifted(y, first, day)):
        return "level_shift"
    if shaped is not None:
        return shaped
    if "variance" in said:
        return "variance"
    margin = NEW_EXTREME_SHARE * np.ptp(before) if len(before) else math.inf
    if len(before) and not before.min() - margin <= y[peak] <= before.max() + margin:
        return "new_extreme"
    return "spike" if last - first < SPIKE_ROWS else "burst"


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


def _shape(y: Floats, expected: Floats, first: int, last: int, day: int) -> Kind | None:
    """What only a longer stretch can show."""
    rows = last - first + 1
    if rows < SHAPE_ROWS or first < 2 * max(day, rows):
        return None
    now, ago = y[first : last + 1], y[first - day : last + 1 - day]
    earlier, before_that = y[first - rows : first], y[first - rows - day : first - day]
    if not (np.isfinite(now).all() and np.isfinite(ago).all() and np.isfinite(earlier - before_that).all()):
        return None
    difference, usual = now - ago, earlier - before_that
    moved = abs(np.median(difference[-rows // 4 :]) - np.median(difference[: rows // 4]))
    if (
        moved > SHIFT_SPREADS * usual.std()
        and abs(_correlation(difference, np.arange(rows, dtype=np.float64))) > STRAIGHT
    ):
        return "trend"
    error, past = np.abs(now - expected[first : last + 1]), np.abs(y - expected)[:first]
    past = past[np.isfinite(past)]
    if len(past) >= SHAPE_ROWS and np.nanmean(error) > WIDER * past.mean() and abs(np.mean(difference)) < now.std():
        return "variance"
    if _correlation(now, ago) < UNLIKE and _correlation(earlier, before_that) > ALIKE:
        return "season"
    return None


def _correlation(a: Floats, b: Floats) -> float:
    if not (a.std() > 0 and b.std() > 0):
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
