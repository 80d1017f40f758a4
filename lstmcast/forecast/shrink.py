"""Shrink: how far a forecast should be drawn towards the last value and towards the last season.

A random walk is forecast best by its last value, a seasonal one by its last season; a network only comes near. On
windows it has not seen, least squares tell what shares of these two the forecast should have had. How much that says of
other times depends on how many windows there are and how alike their errors. So it is weighed against what may be
expected beforehand: the network knows, or the series wander and the network has only learned noise. Each expectation is
a normal distribution over shares that are not negative and have the sum 1 at most; the answer is the mean of their
posterior modes, weighted by how well each explains what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.evidence import origins_of, variance_of_sum

Floats = NDArray[np.float64]

_LARGEST = 50.0  # in units of a series' own change: one absurd window decides nothing
_SURE = 0.1  # deviation of a share from what is expected
_LEAST = 0.05  # smaller shares are none


class Expected(NamedTuple):
    """Shares (K,) that may be expected, and how likely that is: odds, relative to those of other expectations."""

    shares: tuple[float, ...]
    odds: float


def shares(
    quantiles: Floats,
    actual: Floats,
    towards: Sequence[Floats],
    *,
    unit: Floats,
    series: NDArray[np.int64],
    median: int,
    expected: Sequence[Expected],
) -> Floats:
    """Shares (K,) of the K ≤ 2 forecasts ``towards`` (V, H, D) in ``forecast + Σ share (towards − forecast)``.

    ``quantiles`` (V, H, D, Q) and ``actual`` (V, H, D), NaN where not observed, are of V held-out windows of the series
    ``series`` (V,), those of a series in order of time; ``unit`` (N, D) is what each series is measured in.
    0 where there is nothing to go by.
    """
    none = np.zeros(len(towards))
    if not len(actual) or not len(towards):
        return none
    own, scale = quantiles[..., median], unit[series][:, None]
    error = ((actual - own) / scale).clip(-_LARGEST, _LARGEST)
    way = np.stack([((other - own) / scale).clip(-_LARGEST, _LARGEST) for other in towards], axis=-1)
    known = np.isfinite(error) & np.isfinite(way).all(axis=-1)
    error, way = np.where(known, error, 0.0), np.where(known[..., None], way, 0.0)
    gain = np.einsum("vhdk,vhd->vk", way, error)  # least squares solve  Σ square · share = Σ gain
    square = np.einsum("vhdk,vhdl->vkl", way, way)
    size = np.diag(square.sum(0))
    if size.min() <= 0:
        return none
    left = gain - square @ _minimum(square.sum(0), gain.sum(0))
    origin = origins_of(series)
    noise = max(variance_of_sum(part, origin) for part in (left / np.sqrt(size)).T)
    if len(actual) == 1:
        noise = float((error**2).sum())  # all steps of the one window may have erred together
    noise = max(noise, 1e-9 * float(size.max()))
    found = _posterior(square.sum(0) / noise, gain.sum(0) / noise, expected)
    return np.where(found < _LEAST, 0.0, found)


def _posterior(square: Floats, gain: Floats, expected: Sequence[Expected]) -> Floats:
    """The mean over what is ``expected`` of the best shares if it is true."""
    modes, evidence = [], []
    for shares, odds in expected:
        about = np.asarray(shares, dtype=np.float64)
        mode = _minimum(square + np.eye(len(about)) / _SURE**2, gain + about / _SURE**2)
        surprise = mode @ square @ mode / 2 - gain @ mode + ((mode - about) ** 2).sum() / (2 * _SURE**2)
        modes.append(mode)
        evidence.append(math.log(odds) - float(surprise))
    weight = np.exp(np.array(evidence) - max(evidence))
    return np.asarray(weight @ np.array(modes) / weight.sum(), dtype=np.float64)


def _minimum(square: Floats, gain: Floats) -> Floats:
    """The shares s, none below 0 and 1 at most together, that minimise ``s·square·s / 2 − gain·s`` for K ≤ 2."""
    found = [np.zeros(len(gain))]
    for k in range(len(gain)):  # along one axis
        found.append(np.zeros(len(gain)))
        found[-1][k] = np.clip(gain[k] / square[k, k], 0, 1)
    if len(gain) == 2:
        difference = square[0, 0] - 2 * square[0, 1] + square[1, 1]
        if difference > 1e-12 * (square[0, 0] + square[1, 1]):  # where the two are together all
            first = np.clip((gain[0] - gain[1] + square[1, 1] - square[0, 1]) / difference, 0, 1)
            found.append(np.array([first, 1 - first]))
        determinant = square[0, 0] * square[1, 1] - square[0, 1] ** 2
        if determinant > 1e-12 * square[0, 0] * square[1, 1]:
            inside = np.array([square[1, 1] * gain[0] - square[0, 1] * gain[1],
                               square[0, 0] * gain[1] - square[0, 1] * gain[0]]) / determinant  # fmt: skip
            if inside.min() >= 0 and inside.sum() <= 1:
                found.append(inside)
    return min(found, key=lambda s: float(s @ square @ s / 2 - gain @ s))
