"""Quantiles at any level from the levels a network was trained for, and the user's bounds."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lstmcast.config import NetworkSettings


def level_pairs(percents: tuple[float, ...]) -> NDArray[np.float64]:
    """Quantile levels (lower, upper) of each prediction interval, as an array (len, 2)."""
    width = np.asarray(percents, dtype=np.float64) / 100
    return np.stack([(1 - width) / 2, (1 + width) / 2], axis=1)


def at_levels(
    quantiles: NDArray[np.float64], trained: tuple[float, ...], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles (..., Q) at the ``trained`` levels, read at the ``wanted`` levels (W,): (..., W).

    Linear in the normal score of the level, which is exact for a normal distribution; beyond the outermost trained
    level the last slope goes on.
    """
    score = NormalDist().inv_cdf
    x, at = np.array([score(level) for level in trained]), np.array([score(level) for level in wanted])
    if len(x) == 1:
        return np.repeat(quantiles, len(at), axis=-1)
    left = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    weight = (at - x[left]) / (x[left + 1] - x[left])
    read: NDArray[np.float64] = quantiles[..., left] * (1 - weight) + quantiles[..., left + 1] * weight
    return read


def significant(
    values: NDArray[np.float64], level: NDArray[np.float64] | float = 0.0, *, digits: int = 7
) -> NDArray[np.float64]:
    """Values rounded to the seven ``digits`` float32 carries, counted from the ``level`` taken off before the cast."""
    with np.errstate(divide="ignore", invalid="ignore"):
        decimals = digits - 1 - np.floor(np.log10(np.abs(values - level)))
    decimals = np.clip(np.where(np.isfinite(decimals), decimals, digits - 1), -300, 300)
    after, before = 10.0 ** np.maximum(decimals, 0), 10.0 ** np.maximum(-decimals, 0)
    rounded: NDArray[np.float64] = np.round(values * after / before) / after * before  # one of the two is 1
    return np.where(np.isfinite(rounded), rounded, values)


def bounded(quantiles: NDArray[np.float64], settings: NetworkSettings) -> NDArray[np.float64]:
    """Apply ``minimum``, ``maximum`` and ``integer``: to forecasts and intervals alike, so order is kept.

    Whole numbers stay within the bounds as well: the least one at or above the minimum, the largest at or below the
    maximum.
    """
    low, high = settings.minimum, settings.maximum
    if settings.integer:
        quantiles = np.round(quantiles)
        low, high = (None if low is None else math.ceil(low)), (None if high is None else math.floor(high))
    if low is None and high is None:
        return quantiles
    clipped: NDArray[np.float64] = np.clip(quantiles, low, high)
    return clipped
