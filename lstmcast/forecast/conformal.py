"""Conformal correction: interval widths that held-out windows have vouched for.

A network's own intervals tend to be too narrow, most of all after training on little. On windows it has not seen, the
error of each interval is measured in units of its own half-width; the quantile of these errors that the interval's
level asks for says by how much the half-width must grow. It hardly shrinks: held-out windows are few and often from one
calm stretch, weak evidence for promising more. Conformalised quantile regression (Romano,
Patterson & Candès 2019) with the width-normalised score of Sesia & Candès (2020), pooled over all series.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BUCKETS = 4  # parts of the horizon with a factor of their own
_DOUBT = 10  # windows at which the correction is trusted by half
_MOST = 5.0  # no factor is larger
_LEAST, _AGREE = 0.85, 50  # smallest factor, and series whose agreement allows factors below 1
_MANY = 100  # origins, if nobody says


def width_factors(quantiles: Floats, y: Floats, trained: tuple[float, ...], *, origins: int = _MANY) -> Floats:
    """Factors float64 (P, H) for the half-widths of the P intervals around the median, innermost first.

    ``quantiles`` (V, H, D, Q) at the ``trained`` levels and ``y`` (V, H, D), NaN where not observed, of V held-out
    windows, all in the user's units. The windows begin at ``origins`` points of each series: what happened at one of
    them says little of other times, however many series it happened to. Factors are near 1 with few windows or origins,
    and below it only where many series agree.
    """
    middle, pairs = _pairs(trained)
    windows, horizon = y.shape[:2]
    factors = np.ones((len(pairs), horizon))
    if not windows:
        return factors
    trust = windows / (windows + _DOUBT) * origins / (origins + 1)
    least = _LEAST if windows >= _AGREE * origins else 1.0
    median = quantiles[..., middle]
    for p, (low, high) in enumerate(pairs):
        with np.errstate(divide="ignore", invalid="ignore"):
            below = (median - y) / (median - quantiles[..., low])
            above = (y - median) / (quantiles[..., high] - median)
        needed = np.where(y < median, below, above)  # the factor at which this interval would just have held
        for steps in np.array_split(np.arange(horizon), min(_BUCKETS, horizon)):
            seen = needed[:, steps][np.isfinite(y[:, steps])]
            seen = np.nan_to_num(seen, nan=0.0, posinf=_MOST)  # a median hit exactly needs no width
            if len(seen):
                share = trained[high] - trained[low]
                rank = min(1.0, share * (1 + 1 / len(seen)))
                factors[p, steps] = np.clip(np.quantile(seen, rank), least, _MOST) ** trust
    return factors


def corrected(quantiles: Floats, trained: tuple[float, ...], factors: Floats) -> Floats:
    """``quantiles`` (..., H, D, Q) with half-widths scaled by ``factors`` (P, at least H); they never cross."""
    if not len(factors):
        return quantiles
    middle, pairs = _pairs(trained)
    out = quantiles.copy()
    median = quantiles[..., middle]
    width = factors[:, : quantiles.shape[-3], None]  # (P, H, 1) against (..., H, D)
    for p, (low, high) in enumerate(pairs):
        out[..., low] = np.minimum(median - width[p] * (median - quantiles[..., low]), out[..., low + 1])
        out[..., high] = np.maximum(median + width[p] * (quantiles[..., high] - median), out[..., high - 1])
    return out


def cross_corrected(quantiles: Floats, y: Floats, trained: tuple[float, ...], *, origins: int = _MANY) -> Floats:
    """``quantiles`` (V, H, D, Q), each half of the windows corrected by what the other half taught.

    What is reported of these intervals is honest: no window has vouched for itself.
    """
    if len(y) < 2 or len(trained) == 1:
        return quantiles
    out = quantiles.copy()
    first = np.arange(len(y)) % 2 == 0
    for half in (first, ~first):
        out[half] = corrected(
            quantiles[half], trained, width_factors(quantiles[~half], y[~half], trained, origins=origins)
        )
    return out


def _pairs(trained: tuple[float, ...]) -> tuple[int, list[tuple[int, int]]]:
    """Position of the median, and the positions of each interval's ends, from the innermost outwards."""
    middle = trained.index(0.5)
    return middle, [(middle - k, middle + k) for k in range(1, min(middle, len(trained) - 1 - middle) + 1)]
