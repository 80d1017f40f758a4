"""Evidence: what held-out windows say of other times, given that they are few and err together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_COMMON = 0.25  # part of the errors at one origin that all series are assumed to share
_NEIGHBOURS = 2.0  # calm and stormy times last longer than one horizon: neighbouring origins count as one


def origins_of(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many windows of the same series come after each (V,); those of a series lie in order of time.

    Windows with the same number begin at the same distance from the end: they are of one origin.
    """
    after = np.zeros(len(series), dtype=np.int64)
    seen: dict[int, int] = {}
    for at in range(len(series) - 1, -1, -1):
        after[at] = seen.get(int(series[at]), 0)
        seen[int(series[at])] = int(after[at]) + 1
    return after


def variance_of_sum(parts: Floats, origin: NDArray[np.int64]) -> float:
    """Variance of the sum of ``parts`` (V,), of mean 0, one for each window that begins at ``origin`` (V,).

    Series err together at one time. Where there are several origins, their sums show how much; a part in common is
    assumed in any case, for one calm stretch must not vouch for all times. Infinite for a single window.
    """
    count, origins = len(parts), len(np.unique(origin))
    if count < 2:
        return float("inf")
    sums, sizes, squares = (np.bincount(origin, weights=w) for w in (parts, np.abs(parts), parts**2))
    seen = _NEIGHBOURS * float((sums**2).sum()) * origins / (origins - 1) if origins > 1 else 0.0
    assumed = float(((1 - _COMMON) * squares + _COMMON * sizes**2).sum()) * (count + 1) / (count - 1)
    return max(seen, assumed)
