"""Naive2: the naive forecast of the seasonally adjusted series, the yardstick of the M competitions.

Follows the benchmarks of the M4 organisers (github.com/Mcompetitions/M4-methods): a 90 % autocorrelation test decides
whether a row is seasonal, a classical multiplicative decomposition gives the seasonal indices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.baselines import last_observed, last_position

CRITICAL = 1.645  # standard normal, 90 % two-sided
FEWEST_SEASONS = 3
BLOCK = 4_000_000  # values worked on at once: bounds the memory of a panel of any size


class Naive2:
    """Repeats the last value, seasonally adjusted where the row is seasonal. A ``Baseline``.

    A row takes the plain naive forecast when it has fewer than three seasons, fails the test, or holds a value that is
    not positive. A moving average that meets an unobserved value gives no seasonal ratio; a row in which some phase of
    the season has none is not adjusted.
    """

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        rows, length = context.shape
        forecast = np.repeat(last_observed(context)[:, None], horizon, axis=1)
        if season <= 1 or length < FEWEST_SEASONS * season:
            return forecast
        step = max(1, BLOCK // length)
        for start in range(0, rows, step):
            block = context[start : start + step]
            chosen = np.flatnonzero(is_seasonal(block, season=season))
            indices = seasonal_indices(block[chosen], season=season)  # (b, season), the origin at phase 0
            last_phase = (last_position(block[chosen]) - length) % season
            adjusted = forecast[start + chosen, 0] / np.take_along_axis(indices, last_phase[:, None], 1)[:, 0]
            forecast[start + chosen] = adjusted[:, None] * indices[:, np.arange(horizon) % season]
        return forecast


def is_seasonal(context: NDArray[np.float64], *, season: int) -> NDArray[np.bool_]:
    """Whether each row is positive and its autocorrelation at the season passes the 90 % test. bool (B,)."""
    observed = ~np.isnan(context)
    count = observed.sum(axis=1)
    positive = ~(context <= 0).any(axis=1)
    mean = np.where(observed, context, 0.0).sum(axis=1) / np.maximum(count, 1)
    centred = np.where(observed, context - mean[:, None], 0.0)
    variance = np.einsum("bt,bt->b", centred, centred)
    eligible = positive & (count >= FEWEST_SEASONS * season) & (variance > 0)
    squares = np.zeros(len(context))
    for lag in range(1, season):
        squares += _autocorrelation(centred, variance, lag=lag) ** 2
    limit = CRITICAL / np.sqrt(np.maximum(count, 1)) * np.sqrt(1 + 2 * squares)  # Bartlett's formula
    passed: NDArray[np.bool_] = eligible & (np.abs(_autocorrelation(centred, variance, lag=season)) > limit)
    return passed


def seasonal_indices(context: NDArray[np.float64], *, season: int) -> NDArray[np.float64]:
    """Multiplicative seasonal indices with mean 1; float64 (B, season), the row after the context at phase 0.

    All 1 for a row in which some phase has no ratio to the moving average.
    """
    weights = np.full(season + 1 - season % 2, 1 / season)
    if season % 2 == 0:
        weights[[0, -1]] /= 2  # a centred average over an even season
    windows = np.lib.stride_tricks.sliding_window_view(context, len(weights), axis=1)
    trend = np.einsum("btw,w->bt", windows, weights)
    ratios = context[:, season // 2 : season // 2 + trend.shape[1]] / trend
    before = (season // 2 - context.shape[1]) % season
    after = -(before + trend.shape[1]) % season
    padded = np.pad(ratios, ((0, 0), (before, after)), constant_values=np.nan)
    phases = padded.reshape(len(context), padded.shape[1] // season, season)
    counts = (~np.isnan(phases)).sum(axis=1)
    means = np.nansum(phases, axis=1) / np.maximum(counts, 1)
    complete = (counts > 0).all(axis=1)[:, None]
    raw = np.where(complete, means, 1.0)
    indices: NDArray[np.float64] = raw / raw.mean(axis=1, keepdims=True)
    return indices


def _autocorrelation(centred: NDArray[np.float64], variance: NDArray[np.float64], *, lag: int) -> NDArray[np.float64]:
    products: NDArray[np.float64] = np.einsum("bt,bt->b", centred[:, lag:], centred[:, :-lag])
    return products / np.where(variance > 0, variance, 1.0)
