"""Region score: which stretches of a whole history are unlike the rest of it. Looks both ways; for reading, not alarms.

What is best for alarms is useless here and the other way round: alarms want the first row, stretches want smoothness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POINTS = 24
_NEIGHBOUR = 10
_MEMORY = 1200
_BLOCK = 1024
_LARGEST = 20.0
_RANK_TOP, _RANK_FROM = 4.0, 1.5


def region_score(y: Floats, error: Floats, *, day: int) -> Floats:
    """How far each row belongs to an unusual stretch: float64 (n,), about 0 where nothing is unusual.

    ``y`` (n,), ``error`` (n, H) forecast errors by distance, NaN where there was none; ``day`` in rows. The sum of a
    day's mean of errors and of the distance to the tenth nearest day-long stretch, in robust units, and of the ranks
    of the one-step error and of a quarter day's mean.
    """
    size = np.nan_to_num(np.abs(error))
    mean = sum(_relative(column) for column in size.T) / size.shape[1]
    far = _relative(_distance(_days(y, day), apart=day))
    return (
        _robust(_smooth(far + mean, day)) + _rank_evidence(size[:, 0]) + _rank_evidence(_smooth(mean, max(3, day // 4)))
    )


def _relative(a: Floats) -> Floats:
    result: Floats = np.minimum(a / (np.quantile(a, 0.75) + 0.1 * a.std() + 1e-9), _LARGEST)
    return result


def _robust(a: Floats) -> Floats:
    middle = np.median(a)
    result: Floats = (a - middle) / (1.4826 * np.median(np.abs(a - middle)) + 0.1 * a.std() + 1e-9)
    return result


def _smooth(a: Floats, rows: int) -> Floats:
    rows = int(max(1, min(rows, len(a) - 1)))
    total = np.cumsum(np.insert(np.pad(a, (rows // 2, rows - 1 - rows // 2), mode="edge"), 0, 0))
    result: Floats = (total[rows:] - total[:-rows]) / rows
    return result


def _rank_evidence(a: Floats) -> Floats:
    rank = (np.argsort(np.argsort(a, kind="stable"), kind="stable") + 0.5) / len(a)
    result: Floats = np.maximum(np.minimum(-np.log10(1 - rank), _RANK_TOP) - _RANK_FROM, 0)
    return result


def _days(y: Floats, day: int) -> Floats:
    """float64 (n, 24) block means of the day around each row, its level kept."""
    width = int(max(4, min(day, len(y) // 6)))
    size = max(1, width // _POINTS)
    count = max(2, width // size)
    padded = np.pad(y, (count * size // 2, count * size - 1 - count * size // 2), mode="edge")
    stretches = np.lib.stride_tricks.sliding_window_view(padded, count * size)
    means: Floats = stretches.reshape(len(y), count, size).mean(2)
    return means


def _distance(days: Floats, *, apart: int) -> Floats:
    """float64 (n,) distance to the tenth nearest of some 1,200 days that are at least ``apart`` rows away."""
    spread = days.std() + 1e-9
    at = np.linspace(0, len(days) - 1, min(_MEMORY, len(days))).astype(int)
    memory, asked = days[at] / spread, days / spread
    square = (memory**2).sum(1)
    out = np.empty(len(days))
    rank = min(_NEIGHBOUR, len(at)) - 1
    for begin in range(0, len(days), _BLOCK):
        row = np.arange(begin, min(begin + _BLOCK, len(days)))
        squared = (asked[row] ** 2).sum(1)[:, None] + square - 2 * asked[row] @ memory.T
        squared[np.abs(row[:, None] - at) < apart] = np.inf
        squared = np.where(np.isinf(squared).all(1)[:, None], 0.0, squared)
        found = np.partition(squared, rank, axis=1)[:, rank]
        out[row] = np.sqrt(np.maximum(np.where(np.isinf(found), 0.0, found), 0))
    return out
