"""Paths: samples of what may come that keep the dependence between the steps of the horizon.

Intervals speak of one step at a time. Whoever adds steps up, or asks for the highest of them, needs whole paths: errors
of neighbouring steps go together, so that a sum is more uncertain than independent steps would have it. Held-out
windows say how much they go together; a Gaussian copula with these correlations joins the quantiles of the steps.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.intervals import at_levels

Floats = NDArray[np.float64]

_DOUBT = 10  # windows at which their correlations are believed by half
_USUAL = 0.9  # correlation of neighbouring steps where nothing is known
_BLOCK = 2_000_000  # values of the quantile function held at once
_LEVELS = np.concatenate([[0.002, 0.005], np.linspace(0.01, 0.99, 99), [0.995, 0.998]])
_SCORES = np.array([NormalDist().inv_cdf(level) for level in _LEVELS])


def dependence(quantiles: Floats, actual: Floats, trained: tuple[float, ...]) -> Floats:
    """Correlation (H,) between the errors of steps k apart, for k from 0, in normal scores.

    ``quantiles`` (V, H, D, Q) at the ``trained`` levels and ``actual`` (V, H, D), NaN where not observed, of V held-out
    windows. With few windows it is drawn towards a usual decay.
    """
    horizon = actual.shape[1]
    usual = _USUAL ** np.arange(horizon)
    score = _normal_scores(quantiles, actual, trained)
    seen = np.isfinite(score)
    score = np.where(seen, score, 0.0)
    found = np.empty(horizon)
    for lag in range(horizon):
        pairs = int((seen[:, lag:] & seen[:, : horizon - lag]).sum())
        found[lag] = (score[:, lag:] * score[:, : horizon - lag]).sum() / max(pairs, 1)
    belief = len(actual) / (len(actual) + _DOUBT) if found[0] > 0 else 0.0
    share = np.clip(found / max(found[0], 1e-12), -1.0, 1.0)
    return np.asarray(belief * share + (1 - belief) * usual, dtype=np.float64)


def sample_paths(
    quantiles: Floats, trained: tuple[float, ...], correlation: Floats, *, number: int, seed: int | np.random.Generator
) -> Floats:
    """``number`` S paths (N, S, H, D) through quantiles (N, H, D, Q) at the ``trained`` levels.

    Each step by itself is distributed as its quantiles say; NaN where they are. A generator in the place of the
    ``seed`` is drawn from as far as these series need it.
    """
    series, horizon, targets, _ = quantiles.shape
    lag = np.abs(np.arange(horizon)[:, None] - np.arange(horizon))
    values, vectors = np.linalg.eigh(correlation[:horizon][lag])
    root = vectors * np.sqrt(values.clip(min=0))
    root /= np.sqrt((root**2).sum(axis=1, keepdims=True)).clip(min=1e-12)
    generator = np.random.default_rng(seed)
    out = np.empty((series, number, horizon, targets))
    size = max(1, _BLOCK // (targets * horizon * max(number, len(_LEVELS))))
    for start in range(0, series, size):
        block = slice(start, start + size)
        grid = at_levels(quantiles[block], trained, _LEVELS)  # (n, H, D, G)
        score = generator.standard_normal((len(grid), number, targets, horizon)) @ root.T
        out[block] = _interpolated(score.transpose(0, 1, 3, 2), grid)
    return out


def _interpolated(score: Floats, grid: Floats) -> Floats:
    """Values (n, S, H, D) of the quantile functions ``grid`` (n, H, D, G) at normal scores (n, S, H, D)."""
    score = np.clip(score, _SCORES[0], _SCORES[-1])
    left = np.clip(np.searchsorted(_SCORES, score, side="right") - 1, 0, len(_SCORES) - 2)
    n, h, d = np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]
    low, high = (grid[n[:, None], h[:, None], d[:, None], left + k] for k in (0, 1))
    value: Floats = (high - low) / (_SCORES[left + 1] - _SCORES[left]) * (score - _SCORES[left]) + low
    return value


def _normal_scores(quantiles: Floats, actual: Floats, trained: tuple[float, ...]) -> Floats:
    """The normal score of each actual (V, H, D) under its own quantiles; NaN where not observed."""
    score = np.empty(actual.shape)
    size = max(1, _BLOCK // max(actual[0].size * len(_LEVELS), 1)) if len(actual) else 1
    for start in range(0, len(actual), size):
        block = slice(start, start + size)
        score[block] = _normal_scores_of(quantiles[block], actual[block], trained)
    return score


def _normal_scores_of(quantiles: Floats, actual: Floats, trained: tuple[float, ...]) -> Floats:
    grid = at_levels(quantiles, trained, _LEVELS)
    below = (grid <= actual[..., None]).sum(axis=-1)
    left = np.clip(below - 1, 0, len(_LEVELS) - 2)
    low = np.take_along_axis(grid, left[..., None], -1)[..., 0]
    high = np.take_along_axis(grid, left[..., None] + 1, -1)[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((actual - low) / (high - low), 0.0, 1.0)
    score = _SCORES[left] + np.nan_to_num(share, nan=0.5) * (_SCORES[left + 1] - _SCORES[left])
    return np.where(np.isfinite(actual), score, np.nan)
