"""Threshold: from a score to a decision, held to a number of alarms the user is willing to read."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.tail import MIN_PAST, Scores
from lstmcast.errors import UsageError

Floats = NDArray[np.float64]
Direction = Literal["both", "up", "down"]

FLOOR = 15.0  # evidence below it is never an alarm, whatever the budget
CLOSENESS = 0.75  # share of the last budgeted peak that a new one must reach
MEMORY_WEEKS = 8
MEMORY_ROWS = 8000  # the memory where rows have no calendar
LEAST_MEMORY_ROWS = 1000  # eight weeks of daily rows are too few to rank peaks in
_WEEKS = {"day": 1 / 7, "week": 1.0, "month": 365.25 / 12 / 7}
_BUDGET = re.compile(r"(?P<count>\d+(?:\.\d+)?)\s*/\s*(?:(?P<period>day|week|month)|(?P<rows>\d+)\s*rows)")


@dataclass(frozen=True, slots=True)
class Flags:
    """Decisions for the n rows of a series.

    ``raised`` bool (n,) rows that raise an alarm
    ``active`` bool (n,) rows, raised or not, whose evidence alone would be enough for one: how far an event reaches
    """

    raised: NDArray[np.bool_]
    active: NDArray[np.bool_]


def parse_budget(text: str, *, rows_per_week: float | None) -> float:
    """Alarms per row that a budget such as ``1/month`` allows one series.

    Counts per day, week, month or number of rows. ``rows_per_week`` is None where rows have no calendar. Raises
    ``UsageError`` for anything else, and for a calendar budget where there is no calendar.
    """
    match = _BUDGET.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(
            f"the budget {text!r} is not a number of alarms per time",
            remedy="write --budget 1/month, 2/week, 3/day or 1/1000rows",
        )
    count = float(match["count"])
    rows = float(match["rows"]) if match["rows"] else None
    if count == 0 or rows == 0:
        raise UsageError(
            f"the budget {text!r} would never allow an alarm",
            remedy="write a small budget such as --budget 0.1/month, or a high --threshold",
        )
    if rows is not None:
        return count / rows
    if rows_per_week is None:
        raise UsageError(
            f"the budget {text!r} counts alarms per {match['period']}, but these rows have no calendar time",
            remedy="count rows instead: --budget 1/1000rows",
        )
    return count / (_WEEKS[match["period"]] * rows_per_week)


def flag(
    scores: Scores,
    deviation: Floats,
    *,
    budget: float,
    rows_per_week: float | None,
    warm_up: int,
    threshold: float | None = None,
    direction: Direction = "both",
    min_deviation: float = 0.0,
) -> Flags:
    """Rows worth an alarm: enough evidence, on the side that counts, far enough from the forecast.

    ``deviation`` (n,) signed error in the user's units; a row without one passes only if side and size do not matter.
    ``budget`` alarms per row. The bar of a row is ``FLOOR`` or, once the last eight weeks have spent the budget, a part
    of the weakest peak within it; only rows before it are looked at. ``threshold`` is a fixed bar instead. The first
    ``warm_up`` rows and the first ``MIN_PAST`` observed ones are never flagged.

    The budget is a target, not a guarantee. However short the history, one peak fits it, and whatever comes near that
    peak passes: white noise at five-minute steps spends several times a monthly budget.
    """
    settled = (np.arange(len(deviation)) >= warm_up) & (np.cumsum(np.isfinite(scores.sum)) > MIN_PAST)
    eligible = settled & _counts(deviation, direction, min_deviation)
    floor = FLOOR if threshold is None else threshold
    candidates = np.flatnonzero(eligible & (scores.sum >= floor))
    bars = np.full(len(candidates), floor)
    if threshold is None:
        weeks = None if rows_per_week is None else math.ceil(MEMORY_WEEKS * rows_per_week)
        memory = MEMORY_ROWS if weeks is None else max(weeks, LEAST_MEMORY_ROWS)
        bars = _budget_bars(scores.score, candidates, budget=budget, memory=memory, first=warm_up)
    raised = np.zeros(len(deviation), dtype=np.bool_)
    active = np.zeros(len(deviation), dtype=np.bool_)
    raised[candidates] = scores.score[candidates] >= bars
    active[candidates] = scores.sum[candidates] >= bars
    return Flags(raised=raised, active=active)


def _counts(deviation: Floats, direction: Direction, min_deviation: float) -> NDArray[np.bool_]:
    counts = np.ones(len(deviation), dtype=np.bool_)
    if direction != "both":
        counts &= deviation > 0 if direction == "up" else deviation < 0
    if min_deviation > 0:
        counts &= np.abs(deviation) >= min_deviation
    return counts


def _budget_bars(score: Floats, candidates: NDArray[np.int64], *, budget: float, memory: int, first: int) -> Floats:
    """The bar of each candidate row, from the peaks of the ``memory`` rows before it."""
    recent: deque[tuple[int, float]] = deque()
    ranked: list[float] = []
    bars = np.full(len(candidates), FLOOR)
    for k, row in enumerate(candidates.tolist()):
        while recent and row - recent[0][0] > memory:
            ranked.pop(bisect_left(ranked, recent.popleft()[1]))
        allowed = int(budget * min(memory, row - first)) + 1
        if len(ranked) >= allowed:
            bars[k] = max(FLOOR, CLOSENESS * ranked[-allowed])
        peak = float(score[row])
        recent.append((row, peak))
        insort(ranked, peak)
    return bars
