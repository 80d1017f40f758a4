"""Conformal correction: interval widths that held-out windows have vouched for.

A network's own intervals may be too narrow, most of all after training on little, or too wide, for the mean of several
networks errs less than each. On windows it has not seen, the error of each interval is measured in units of its own
half-width; the quantile of these errors that the interval's level asks for says by how much the half-width must change.
Conformalised quantile regression (Romano, Patterson & Candès 2019) with the width-normalised score of Sesia & Candès
(2020), pooled over all series. How far it is believed depends on how well the windows tell that quantile: windows that
begin at one time err together, however many series they are of.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.evidence import variance_of_sum

Floats = NDArray[np.float64]

_BUCKETS = 4  # parts of the horizon with a factor of their own
_LEAST, _MOST = 0.5, 5.0  # no factor is smaller or larger
_WIDER, _NARROWER = 0.3, 0.1  # deviation of the logarithm of factors that may be expected beforehand


def width_factors(
    quantiles: Floats, y: Floats, trained: tuple[float, ...], *, origin: NDArray[np.int64] | None = None
) -> Floats:
    """Factors float64 (P, H) for the half-widths of the P intervals around the median, innermost first.

    ``quantiles`` (V, H, D, Q) at the ``trained`` levels and ``y`` (V, H, D), NaN where not observed, of V held-out
    windows, all in the user's units. Windows that begin at the same time have the same ``origin`` (V,), a number from
    0; each has its own if nobody says. Factors are near 1 where there are few windows or origins.
    """
    middle, pairs = _pairs(trained)
    windows, horizon = y.shape[:2]
    factors = np.ones((len(pairs), horizon))
    if not windows:
        return factors
    origin = np.arange(windows) if origin is None else origin
    median = quantiles[..., middle]
    for p, (low, high) in enumerate(pairs):
        with np.errstate(divide="ignore", invalid="ignore"):
            below = (median - y) / (median - quantiles[..., low])
            above = (y - median) / (quantiles[..., high] - median)
        needed = np.where(y < median, below, above)  # the factor at which this interval would just have held
        needed = np.nan_to_num(needed, nan=0.0, posinf=_MOST)  # a median hit exactly needs no width
        needed[~np.isfinite(y)] = np.nan
        for steps in np.array_split(np.arange(horizon), min(_BUCKETS, horizon)):
            factors[p, steps] = _believed(needed[:, steps], trained[high] - trained[low], origin)
    return factors


def _believed(needed: Floats, share: float, origin: NDArray[np.int64]) -> float:
    """The factor that ``share`` of the ``needed`` (V, h, D) do not exceed, as far as so many windows can tell it."""
    seen = needed[np.isfinite(needed)]
    if not len(seen):
        return 1.0
    found = float(np.clip(np.quantile(seen, min(1.0, share * (1 + 1 / len(seen)))), _LEAST, _MOST))
    held = np.where(np.isfinite(needed), (needed <= found) - share, 0.0).sum(axis=(1, 2))
    windows = len(needed)
    doubt = max(variance_of_sum(held, origin) / len(seen) ** 2, share * (1 - share) / windows)  # of the share held
    doubt *= _change_of_width(share) ** 2  # of the logarithm of the factor
    usual = _WIDER if found > 1 else _NARROWER
    return float(found ** (usual**2 / (usual**2 + doubt)))


def _change_of_width(share: float) -> float:
    """By how much the logarithm of the half-width changes with the share held, of a normal distribution."""
    normal = NormalDist()
    z = normal.inv_cdf((1 + share) / 2)
    return 1 / (2 * z * normal.pdf(z))


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


def cross_corrected(
    quantiles: Floats, y: Floats, trained: tuple[float, ...], *, origin: NDArray[np.int64] | None = None
) -> Floats:
    """``quantiles`` (V, H, D, Q), each half of the windows corrected by what the other half taught.

    What is reported of these intervals is honest: no window has vouched for itself.
    """
    if len(y) < 2 or len(trained) == 1:
        return quantiles
    out = quantiles.copy()
    origin = np.arange(len(y)) if origin is None else origin
    first = np.arange(len(y)) % 2 == 0
    for half in (first, ~first):
        factors = width_factors(quantiles[~half], y[~half], trained, origin=origin[~half])
        out[half] = corrected(quantiles[half], trained, factors)
    return out


def _pairs(trained: tuple[float, ...]) -> tuple[int, list[tuple[int, int]]]:
    """Position of the median, and the positions of each interval's ends, from the innermost outwards."""
    middle = trained.index(0.5)
    return middle, [(middle - k, middle + k) for k in range(1, min(middle, len(trained) - 1 - middle) + 1)]
