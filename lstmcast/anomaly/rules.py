"""Rules: what people who watch sensors look for first, said without a forecast, of each row by the rows before it.

A stuck sensor forecasts itself perfectly, a gap has no value to be surprised by, and after a step the network soon
finds the new level normal: none of them is told well by forecast errors. Each rule asks for clearly more than the
series has ever shown, so that it stays silent where the unusual is usual.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RuleKind = Literal["flat", "missing", "level_shift", "variance"]

FLAT_ROWS = 4
FLAT_EVIDENCE = 8.0  # −log10 of the chance of the run, from how often the series repeats a value
MISSING_ROWS = 3
BEYOND_LONGEST = 2.0  # times the longest run, or gap, that is usual
ADOPTED = 3  # runs, or gaps, that are told before they are taken for usual
DRIFT = 1.0  # robust spreads that a row may differ before it counts towards a shift
LARGEST_STEP = 3.0
SHIFT_EVIDENCE = 24.0
SHIFT_DAYS = 0.5  # of evidence, at least: a quarter of a day at the largest step
BEYOND_HIGHEST = 2.0
BEYOND_WIDEST = 2.0
WIDER, NARROWER = 3.0, 4.0  # times the usual spread of errors
_MOST_WINDOW = 120


@dataclass(frozen=True, slots=True)
class Hit:
    """``row`` is the first at which the rule can say so; the matter began at ``onset`` and lasts to ``last``.

    Of ``missing`` rows ``onset`` and ``row`` are the observed rows before and after the gap.
    """

    kind: RuleKind
    onset: int
    row: int
    last: int


def flat(y: Floats, *, warm_up: int) -> list[Hit]:
    """Runs of one value that the series' habit of repeating itself does not explain. ``y`` (n,) observed rows.

    What has been told is not a habit yet: a sensor that sticks again is told again, the first ``ADOPTED`` times. What
    has stood still from the first row on, as a switch nobody touches, is not stuck: to do so is its habit.
    """
    change = np.flatnonzero(np.diff(y) != 0) + 1
    starts, stops = np.r_[0, change], np.r_[change, len(y)]
    lengths = stops - starts
    longest = repeats = 0
    hits: list[Hit] = []
    for k in np.flatnonzero(lengths > 1):
        start, stop, length = int(starts[k]), int(stops[k]), int(lengths[k])
        if start and length >= FLAT_ROWS and length > BEYOND_LONGEST * longest and stop > warm_up:
            share = (repeats + 1) / (start + 2)
            needed = FLAT_EVIDENCE / max(-np.log10(share), 1e-9) + 1
            needed = int(np.ceil(max(FLAT_ROWS, needed, BEYOND_LONGEST * longest + 1)))
            row = max(start + needed - 1, warm_up)
            if row < stop:
                hits.append(Hit("flat", start, row, stop - 1))
                if len(hits) <= ADOPTED:
                    continue
        longest, repeats = max(longest, length), repeats + length - 1
    return hits


def missing(steps: NDArray[np.int64], *, warm_up: int) -> list[Hit]:
    """Gaps longer than is usual. ``steps`` (n − 1,) grid steps from each observed row to the next.

    The first ``ADOPTED`` told are not usual yet.
    """
    gap = steps - 1
    longest = 0
    hits: list[Hit] = []
    for row in np.flatnonzero(gap > 0).tolist():
        if gap[row] >= MISSING_ROWS and gap[row] > BEYOND_LONGEST * longest and row >= warm_up:
            hits.append(Hit("missing", row, row + 1, row + 1))
            if len(hits) <= ADOPTED:
                continue
        longest = max(longest, int(gap[row]))
    return hits


def level_shift(y: Floats, *, day: int, warm_up: int) -> list[Hit]:
    """Steps to another level, by cumulative sums (Page 1954) of what differs from the same time on earlier days.

    One hit at each onset; then the new level is adopted, and the next must be shown by twice as much. ``y`` (n,)
    observed rows, ``day`` in rows.
    """
    lags = [k * day for k in (1, 2, 3, 7)]
    usual = y.tolist()  # the values, as they would be on the present level
    seen = y.tolist()
    difference = np.full(len(y), np.nan)
    spread = np.nan
    needed = max(SHIFT_EVIDENCE, day * SHIFT_DAYS)
    highest, sums, peaks, onset = 0.0, [0.0, 0.0], [0.0, 0.0], [0, 0]
    hits: list[Hit] = []
    for row in range(day, len(y)):
        different = seen[row] - _middle(sorted([usual[row - lag] for lag in lags if lag <= row]))
        difference[row] = different
        if row % day == 0 or not np.isfinite(spread):
            spread = _spread(difference[max(day, row - 20 * day) : row + 1])
        unit = min(max(different / spread, -LARGEST_STEP), LARGEST_STEP) if spread > 0 else 0.0
        for side, sign in enumerate((1.0, -1.0)):
            sums[side] = max(0.0, sums[side] + sign * unit - DRIFT)
            peaks[side] = max(peaks[side], sums[side])
            if sums[side] == 0.0:  # an excursion that has ended is what the series is used to
                highest = max(highest, peaks[side])
                onset[side], peaks[side] = row + 1, 0.0
        top = max(sums)
        if hits and row - hits[-1].row <= day:  # the rows of this day still look back at the old level
            sums, peaks, onset = [0.0, 0.0], [0.0, 0.0], [row + 1, row + 1]
        elif row >= warm_up and top > max(needed, BEYOND_HIGHEST * highest):
            began = onset[int(np.argmax(sums))]
            hits.append(Hit("level_shift", began, row, row))
            moved = float(np.median(difference[began : row + 1]))
            usual[:began] = [value + moved for value in usual[:began]]
            highest = max(highest, top)  # where levels change again and again, only a longer change is told
            sums, peaks, onset = [0.0, 0.0], [0.0, 0.0], [row + 1, row + 1]
    return hits


def variance(error: Floats, *, day: int, warm_up: int) -> list[Hit]:
    """Stretches whose errors are much larger, or smaller, than those of any stretch before. ``error`` (n,), NaN = none.

    A stretch is a quarter day; its spread is the upper quartile of its errors, which one spike does not move.
    """
    width = min(_MOST_WINDOW, max(12, day // 4))
    size = np.nan_to_num(np.abs(error))
    if len(size) <= warm_up + width:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(size, width)
    spread = [math.nan] * (width - 1) + np.quantile(windows, 0.75, axis=1).tolist()
    hits: list[Hit] = []
    usual, highest, lowest, silent_until = math.nan, 0.0, math.inf, 0
    seen: list[float] = []  # ascending
    for row in range(2 * width, len(size)):
        highest, lowest = max(highest, spread[row - width]), min(lowest, spread[row - width])
        insort(seen, spread[row - width])
        if row % width == 0 or not math.isfinite(usual):
            usual = _middle(seen)
        if row < max(warm_up, silent_until):
            continue
        wider = spread[row] > max(WIDER * usual, BEYOND_WIDEST * highest)
        narrower = 0 < spread[row] < min(usual / NARROWER, lowest / BEYOND_WIDEST)
        if wider or narrower:
            hits.append(Hit("variance", row - width + 1, row, row))
            silent_until = row + max(day, width)
    return hits


def _middle(values: list[float]) -> float:
    """The median of ascending ``values``, for which numpy would look at all of them."""
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def _spread(values: Floats) -> float:
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan")
    middle = np.median(values)
    return float(1.4826 * np.median(np.abs(values - middle)) + 0.1 * values.std())
