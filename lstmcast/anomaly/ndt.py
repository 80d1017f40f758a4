"""Non-parametric dynamic threshold: one bar for the smoothed errors of a whole history, without a distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.threshold import Flags

Floats = NDArray[np.float64]

_DEVIATIONS = np.arange(2.5, 12.0, 0.5)
_LEAST_DROP = 0.13  # between the peaks of two stretches; below it the smaller one and all under it are left out


def dynamic_threshold(deviation: Floats, eligible: NDArray[np.bool_], *, day: int) -> Flags:
    """Flags of the rows whose smoothed error passes the bar that separates errors best (Hundman et al. 2018).

    ``deviation`` (n,) signed errors, NaN where there was none; ``eligible`` bool (n,). The bar is μ + zσ with the z at
    which taking away what lies above lowers mean and deviation most for the number of rows and stretches taken.
    Afterwards stretches whose peak is not 13 % above the next are pruned. Looks at all rows: not for streams.
    """
    size = _smooth(np.abs(np.nan_to_num(deviation)), day)
    known = size[eligible]
    above = np.zeros(len(size), dtype=bool)
    if len(known) and known.std() > 0:
        above = eligible & (size > _bar(known))
    above = _pruned(size, above)
    starts = above & ~np.r_[False, above[:-1]]
    return Flags(raised=starts, active=above)


def _bar(size: Floats) -> float:
    mean, deviation = size.mean(), size.std()
    best, chosen = 0.0, np.inf
    for z in _DEVIATIONS:
        bar = mean + z * deviation
        above = size > bar
        below = size[~above]
        if not above.any() or not len(below):
            continue
        stretches = int(np.count_nonzero(np.diff(np.r_[False, above].astype(int)) == 1))
        gain = (mean - below.mean()) / mean + (deviation - below.std()) / deviation
        value = gain / (int(above.sum()) + stretches**2)
        if value > best:
            best, chosen = value, bar
    return float(chosen)


def _pruned(size: Floats, above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edges = np.flatnonzero(np.diff(np.r_[False, above, False].astype(int)))
    stretches = list(zip(edges[::2], edges[1::2], strict=True))
    if not stretches:
        return above
    peaks = np.array([size[a:b].max() for a, b in stretches])
    order = np.argsort(-peaks)
    rest = size[~above].max(initial=0.0)
    levels = np.r_[peaks[order], rest]
    drops = (levels[:-1] - levels[1:]) / levels[:-1]
    kept = int(np.max(np.flatnonzero(drops > _LEAST_DROP), initial=-1)) + 1
    out = np.zeros_like(above)
    for k in order[:kept]:
        out[slice(*stretches[k])] = True
    return out


def _smooth(size: Floats, day: int) -> Floats:
    weight = 2 / (max(3, day // 12) + 1)
    out = np.empty(len(size))
    level = size[0] if len(size) else 0.0
    for row, value in enumerate(size.tolist()):
        level += weight * (value - level)
        out[row] = level
    return out
