"""Surprise: how far each value fell from what had been forecast for it, in two units.

The plain error keeps the size that matters to the user; the probit transform keeps what the forecaster itself thought
likely. Neither replaces the other: a predicted spread widens over its own anomaly, a plain error ignores that some
hours are noisier than others.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Z_LIMIT = 1e3
_FLOAT32_STEP = 1e-6


@dataclass(frozen=True, slots=True)
class Surprise:
    """Forecast errors of one series: n rows, each forecast from Hk distances, nearest first.

    ``error`` float64 (n, Hk) value minus median forecast, in the user's units
    ``z``     float64 (n, Hk) the same in standard normal units of the forecast distribution
    Both are NaN where the row was not observed or not forecast from that distance.
    """

    error: Floats
    z: Floats

    def deviation(self) -> Floats:
        """float64 (n,) signed error of the nearest forecast there is for each row; NaN where there is none."""
        nearest = np.argmax(np.isfinite(self.error), axis=1)
        return np.take_along_axis(self.error, nearest[:, None], axis=1)[:, 0]


def surprise(y: Floats, quantiles: Floats, levels: Floats) -> Surprise:
    """Error and probit transform of every row under the forecasts made for it earlier.

    ``y`` (n,) user's units, NaN where not observed. ``quantiles`` (n, Hk, Q): entry [t, k] is the forecast *for* row t,
    made at the k-th distance before it by a model that had not seen row t; ascending along Q, NaN where there was
    none. ``levels`` (Q,) ascending in (0, 1) with the median among them.

    z interpolates the probit of the levels linearly between the quantiles and continues linearly beyond the outer
    ones, so that it is exact for a normal forecast. With a point forecast (Q = 1) there is no spread and z is NaN.
    """
    quantiles = np.asarray(quantiles, dtype=np.float64)
    levels = np.asarray(levels, dtype=np.float64)
    value = np.broadcast_to(np.asarray(y, dtype=np.float64)[:, None], quantiles.shape[:2])
    median = quantiles[..., np.argmin(np.abs(levels - 0.5))]
    error = value - median
    if len(levels) == 1:
        return Surprise(error=error, z=np.full_like(error, np.nan))
    probit = np.array([NormalDist().inv_cdf(level) for level in levels])
    z = np.clip(_transform(value, quantiles, median, probit), -Z_LIMIT, Z_LIMIT)
    return Surprise(error=error, z=np.where(np.isfinite(error), z, np.nan))


def _transform(value: Floats, quantiles: Floats, median: Floats, probit: Floats) -> Floats:
    """Standard normal score of ``value`` under each row's quantiles: (n, Hk)."""
    last = len(probit) - 1
    below = (quantiles < value[..., None]).sum(axis=-1)
    up_to = (quantiles <= value[..., None]).sum(axis=-1)
    left = np.clip(below - 1, 0, last - 1)
    lower, upper = _pick(quantiles, left), _pick(quantiles, left + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = probit[left] + (value - lower) / (upper - lower) * (probit[left + 1] - probit[left])
    # Several quantiles on one value are an atom of the forecast: the value is as ordinary as the atom allows.
    atom = np.clip(0.0, probit[np.clip(below, 0, last)], probit[np.clip(up_to - 1, 0, last)])
    down, up = _outer_scales(quantiles, median, probit)
    under = probit[0] - (quantiles[..., 0] - value) / down
    over = probit[-1] + (value - quantiles[..., -1]) / up
    return np.select([up_to > below, below == 0, below == last + 1], [atom, under, over], default=between)


def _outer_scales(quantiles: Floats, median: Floats, probit: Floats) -> tuple[Floats, Floats]:
    """User's units per unit of z below the lowest and above the highest quantile, never zero: two of (n, Hk).

    The slope from the median to the outer quantile, unless it has (nearly) collapsed: then a part of the whole band's
    slope, at last the rounding of a float32 forecast.
    """
    whole = (quantiles[..., -1] - quantiles[..., 0]) / (probit[-1] - probit[0])
    floor = np.maximum(0.1 * whole, _FLOAT32_STEP * np.abs(median) + np.finfo(np.float32).tiny)
    down = (median - quantiles[..., 0]) / -probit[0]
    up = (quantiles[..., -1] - median) / probit[-1]
    return np.maximum(down, floor), np.maximum(up, floor)


def _pick(quantiles: Floats, index: NDArray[np.int64]) -> Floats:
    picked: Floats = np.take_along_axis(quantiles, index[..., None], axis=-1)[..., 0]
    return picked
