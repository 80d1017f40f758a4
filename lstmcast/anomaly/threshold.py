"""Threshold: from a score to a decision, held to a number of alarms the user is willing to read."""

from __future__ import annotations

import math
import re
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

FLOOR = 15.0  # evidence that speaks for itself
LEAST_BAR = 6.0  # evidence below it is never an alarm, whatever the budget
LOW, HIGH = 0.5, 0.8  # quantiles of the peaks
PRIOR_TOP, PRIOR_SPREAD = 12.0, 3.5  # on the quiet side: noise, white or not, and seasons give 8 to 13 and 2 to 3
PRIOR_PEAKS = 14
RESTRAINT = 2.0  # spreads by which the bar rises where alarms are e times what the budget allows
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
    day: int,
    threshold: float | None = None,
    floor: float = 0.0,
) -> Flags:
    """Rows worth an alarm: enough evidence for the budget, among the ``eligible`` (n,) ones.

    ``budget`` alarms per row; ``day`` rows in a day or the strong season. The bar of a row is the score that the usual
    peaks of the series pass as often as the budget allows; only rows before it are looked at. ``threshold`` is a fixed
    bar instead, ``floor`` what every bar is raised to.

    The budget is a target, not a guarantee: the bar is made from usual peaks, so that a series with much to tell may
    tell more, up to a point.
    """
    if threshold is None:
        memory = MEMORY_ROWS if rows_per_week is None else math.ceil(MEMORY_WEEKS * rows_per_week)
        counted = np.where(eligible, scores.score, 0.0)
        bars = _bars(counted, budget=budget, memory=max(memory, LEAST_MEMORY_ROWS), first=warm_up, day=day)
    else:
        bars = np.full(len(eligible), threshold)
    bars = np.maximum(bars, floor)
    fresh = (scores.score >= scores.sum) | (scores.score >= FLOOR)  # an echo of the last alarm is no alarm of its own
    return Flags(raised=eligible & fresh & (scores.score >= bars), active=eligible & (scores.sum >= bars))


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


def _bars(score: Floats, *, budget: float, memory: int, first: int, day: int) -> Floats:
    """float64 (n,) the bar of each row, from the peaks of the half days before it; infinite before ``first``.

    Scores are logarithms of chances, so that their peaks fall off about exponentially: two quantiles of the peaks tell
    the level that one of them passes as rarely as wished. What is truly anomalous lies above both and moves neither.
    Few peaks are believed in part only, beside what is usual of any series. Alarms beyond the budget lift the bar.
    """
    half = max(1, day // 2)
    block = max(1, min(half, int((1 - HIGH) / budget)))  # shorter where an alarm is wanted in every other half day
    share = budget * block
    prior = (PRIOR_TOP - PRIOR_SPREAD * math.log(half / block), PRIOR_SPREAD)
    bars = np.full(len(score), np.inf)
    peaks: deque[float] = deque(maxlen=max(1, memory // block))
    alarms: deque[bool] = deque(maxlen=max(1, memory // block))
    for at in range(first, len(score), block):
        top, spread = _usual(np.array(peaks), prior)
        over = max(1.0, (1 + sum(alarms)) / (1 + share * len(alarms)))
        bar = max(LEAST_BAR, top + spread * (math.log((1 - HIGH) / share) + RESTRAINT * math.log(over)))
        bars[at : at + block] = bar
        peaks.append(float(score[at : at + block].max()))
        alarms.append(peaks[-1] >= bar)
    return bars


def _usual(peaks: Floats, prior: tuple[float, float]) -> tuple[float, float]:
    """The level that a share ``1 - HIGH`` of the peaks passes, and by how much more every e-th of those that do."""
    if not len(peaks):
        return prior
    low, high = np.quantile(peaks, [LOW, HIGH])
    trust = len(peaks) / (len(peaks) + PRIOR_PEAKS)
    spread = float(high - low) / math.log((1 - LOW) / (1 - HIGH))
    return trust * float(high) + (1 - trust) * prior[0], trust * spread + (1 - trust) * prior[1]
