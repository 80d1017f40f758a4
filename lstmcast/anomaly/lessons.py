"""Lessons: when the detector's forecaster is taught, and from which rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

FIRST_STEPS, FOLD_STEPS, REFIT_STEPS = 300, 150, 80
DROPOUT = 0.1
LARGEST_ERROR, LARGEST_PINBALL = 50.0, 10.0  # what was anomalous in training must not teach
RATE, DECAY, AVERAGE = 3e-3, 1e-3, 0.98
FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.99
_BATCH, _LARGEST_BATCH = 48, 192
_MOST_TRIMMED = 0.05
_ORDINARY = 8.0  # times the median error: five deviations of a normal law, which trims nothing of calm series


def lesson_ends(
    times: Sequence[NDArray[np.int64]],
    first: int,
    *,
    forgotten: Sequence[int] | None = None,
    growth: float = 1.3,
    least: int = 200,
) -> list[int]:
    """Clock times at which the forecaster is taught: when a channel first has ``first`` rows, and each time that
    number has grown by ``growth`` (by ``least`` rows at least). Later rows do not change earlier ends. Ends among the
    ``forgotten`` rows before those of each channel are the least int64: they have been."""
    before = [0] * len(times) if forgotten is None else forgotten
    ends: list[int] = []
    wanted = first
    while True:
        reached = [
            int(time[wanted - 1 - gone]) if wanted > gone else np.iinfo(np.int64).min
            for time, gone in zip(times, before, strict=True)
            if gone + len(time) >= wanted
        ]
        if not reached:
            return ends
        ends.append(min(reached))
        wanted = max(int(wanted * growth), wanted + least)


def ordinary(error: Floats) -> NDArray[np.bool_]:
    """bool (n,) rows that may teach: those whose out-of-sample ``error`` (n,) is not far beyond the usual.

    Left out are errors above eight times their median, at most one row in twenty. Rows without a forecast teach.
    """
    size = np.abs(error)
    known = size[np.isfinite(size)]
    if not len(known):
        return np.ones(len(error), dtype=np.bool_)
    limit = max(_ORDINARY * float(np.median(known)), float(np.quantile(known, 1 - _MOST_TRIMMED)))
    result: NDArray[np.bool_] = ~(size > limit)
    return result


def pupils(first: Times, stop: Times) -> tuple[Times, Times, Times, int]:
    """Of channels with rows ``first`` .. ``stop`` - 1 (M,) each: those that have two rows at least, the first and the
    last bound of the rows that may be asked for, and how many questions a step asks."""
    taught = np.flatnonzero(stop - first >= 2)
    batch = min(_LARGEST_BATCH, _BATCH * math.ceil(math.sqrt(len(taught))))
    return taught, np.maximum(first, 1)[taught], stop[taught], batch


def rate(done: float, *, anew: bool) -> float:
    """The rate of learning when a share of all steps is ``done``: up to a peak, then down. Unless ``anew``, half as
    high and with a shorter rise."""
    peak, rise = (RATE, 0.2) if anew else (RATE / 2, 0.1)
    if done < rise:
        return peak * done / rise
    return peak * (0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise))) + 0.02)


def moved(step: int) -> float:
    """By how much of the way the running average of the weights moves after ``step`` steps and one."""
    return 1 - min(AVERAGE, (step + 1) / (step + 10))
