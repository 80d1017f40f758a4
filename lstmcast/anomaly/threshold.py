"""Threshold: from a score to a decision, held to a number of alarms the user is willing to read."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.tail import Scores
from lstmcast.errors import UsageError

Floats = NDArray[np.float64]
Direction = Literal["both", "up", "down"]

FLOOR = 15.0  # evidence below it is never an alarm, whatever the budget
CLOSENESS = 0.75  # share of the last budgeted peak that a new one must reach
FALSE_SHARE = 0.05
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
    *,
    eligible: NDArray[np.bool_],
    budget: float,
    rows_per_week: float | None,
    warm_up: int,
    threshold: float | None = None,
    floor: float = FLOOR,
) -> Flags:
    """Rows worth an alarm: enough evidence for the budget, among the ``eligible`` (n,) ones.

    ``budget`` alarms per row. The bar of a row is ``floor`` or, once the last eight weeks have spent the budget, a part
    of the weakest peak within it; only rows before it are looked at. ``threshold`` is a fixed bar instead.

    The budget is a target, not a guarantee. However short the history, one peak fits it, and whatever comes near that
    peak passes.
    """
    floor = floor if threshold is None else threshold
    candidates = np.flatnonzero(eligible & (scores.sum >= floor))
    bars = np.full(len(candidates), floor)
    if threshold is None:
        weeks = None if rows_per_week is None else math.ceil(MEMORY_WEEKS * rows_per_week)
        memory = MEMORY_ROWS if weeks is None else max(weeks, LEAST_MEMORY_ROWS)
        bars = np.maximum(floor, _budget_bars(scores.score, candidates, budget=budget, memory=memory, first=warm_up))
    raised = np.zeros(len(eligible), dtype=np.bool_)
    active = np.zeros(len(eligible), dtype=np.bool_)
    raised[candidates] = scores.score[candidates] >= bars
    active[candidates] = scores.sum[candidates] >= bars
    return Flags(raised=raised, active=active)


def false_discovery(
    cases: Sequence[tuple[NDArray[np.int64], Scores, NDArray[np.bool_]]], *, rate: float = FALSE_SHARE
) -> list[Flags]:
    """Flags of many series by the false discovery rate among those that speak at one time (Benjamini & Hochberg 1995).

    Each case has the times (n,), scores and eligible rows of a series. At each time the p-values of all series are
    ranked; those up to the largest p(k) ≤ rate · k / m pass, if their score also reaches ``FLOOR``.
    """
    bounds = np.cumsum([0, *(len(time) for time, _, _ in cases)])
    time = np.concatenate([time for time, _, _ in cases])
    p_value = np.concatenate([np.where(eligible, scores.p_value, 1.0) for _, scores, eligible in cases])
    order = np.lexsort((p_value, time))
    _, first, count = np.unique(time[order], return_index=True, return_counts=True)
    rank = np.arange(len(time)) - np.repeat(first, count) + 1
    passes = p_value[order] <= rate * rank / np.repeat(count, count)
    last = np.maximum.reduceat(np.where(passes, rank, 0), first)
    discovered = np.zeros(len(time), dtype=np.bool_)
    discovered[order] = rank <= np.repeat(last, count)
    flags = []
    for k, (_, scores, eligible) in enumerate(cases):
        found = discovered[bounds[k] : bounds[k + 1]] & eligible
        flags.append(Flags(raised=found & (scores.score >= FLOOR), active=found & (scores.sum >= FLOOR)))
    return flags


def counts(deviation: Floats, direction: Direction, min_deviation: float) -> NDArray[np.bool_]:
    """Rows (n,) whose signed error is on the side that counts and large enough, in the user's units."""
    counted = np.ones(len(deviation), dtype=np.bool_)
    if direction != "both":
        counted &= deviation > 0 if direction == "up" else deviation < 0
    if min_deviation > 0:
        counted &= np.abs(deviation) >= min_deviation
    return counted


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
