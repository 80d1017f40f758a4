"""Lessons: when the detector's forecaster is taught, and from which rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIRST_STEPS, FOLD_STEPS, REFIT_STEPS = 300, 150, 80
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
