"""Sketch: a checksum of rows that grows with them and forgives nothing but rounding.

Each entry of a column is multiplied by a number drawn from its time, and the products are added up, as in a random
projection: a changed, moved, added or missing entry changes the sum. Sums of later rows are simply added. An exact hash
would not do: where the level of a series is taken off before the cast to float32, every new row moves that level, and
the last digits of the older values with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel

_EXACT = 1e-11  # of the magnitudes: what the order of a float64 sum may change
_ROUNDED = 2.0**-21  # of the root sum of squares: eight roundings to float32


def sketch(
    panel: Panel, first: NDArray[np.int64], stop: NDArray[np.int64], *, shift: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Checksums (V, 2(D+K)) of the flat rows ``first`` .. ``stop`` - 1 (V,), and by how much rounding may move them.

    Targets are taken less ``shift`` (V, D), by default that of the panel. The columns: targets, covariates, and which
    of the two are there.
    """
    segment = panel.segment_of(np.minimum(first, stop - 1))
    own = panel.shift[panel.series[segment]]
    moved = np.zeros_like(own) if shift is None else own - shift
    shifted = (own != 0) | (moved != 0)
    of = np.repeat(np.arange(len(first)), stop - first)
    rows = np.repeat(first - np.r_[0, np.cumsum(stop - first)[:-1]], stop - first) + np.arange(len(of))
    times = panel.times(rows)
    targets = panel.values.shape[1]
    sums: list[NDArray[Any]] = []
    slack: list[NDArray[Any]] = []
    for column in range(targets + panel.covariates.shape[1]):
        there, value = _column(panel, rows, column)
        rounding = np.zeros(len(first))
        if column < targets:
            value = np.where(there, value + moved[of, column], 0)
            rounding = np.where(shifted[:, column], _ROUNDED, 0)
        weight = _weights(times, 2 * column)
        square = np.bincount(of, weights=value * value, minlength=len(first))
        size = np.bincount(of, weights=np.abs(value), minlength=len(first))
        sums.append(np.bincount(of, weights=weight * value, minlength=len(first)))
        slack.append(_EXACT * size + rounding * np.sqrt(square))
        sums.append(np.bincount(of, weights=_weights(times, 2 * column + 1) * there, minlength=len(first)))
        slack.append(_EXACT * (stop - first))
    return np.stack(sums, 1).astype(np.float64), np.stack(slack, 1).astype(np.float64)  # no rows: numpy counts in int64


def differs(one: NDArray[np.float64], other: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool (V,) the checksums that are not of the same rows."""
    return np.asarray((np.abs(one - other) > tolerance).any(axis=1), dtype=np.bool_)


def _column(panel: Panel, rows: NDArray[np.int64], column: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    targets = panel.values.shape[1]
    if column < targets:
        return panel.observed[rows, column], panel.values[rows, column].astype(np.float64)
    value = panel.covariates[rows, column - targets].astype(np.float64)
    there = ~np.isnan(value)
    return there, np.where(there, value, 0)


def _weights(times: NDArray[np.int64], stream: int) -> NDArray[np.float64]:
    """float64 in [0.5, 1.5), drawn from each time by splitmix64 (Steele, Lea & Flood 2014)."""
    with np.errstate(over="ignore"):
        z = times.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(stream + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return 0.5 + (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
