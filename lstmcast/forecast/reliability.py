"""Reliability: how large the errors of each series are, as far as held-out windows can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast.backtest import scales
from lstmcast.forecast.coherent import Coherent, Forest

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Mean square errors in units of the mean square seasonal change: ``pooled`` (D,) over all series, and of each one
    where it was measured. What few origins say of one series is believed by origins / (origins + 1)."""

    pooled: Floats
    own: Mapping[str, Floats]
    origins: int

    @classmethod
    def measured(
        cls,
        panel: Panel,
        cutoffs: NDArray[np.int64],
        median: Floats,
        actual: Floats,
        *,
        limit: NDArray[np.int64],
        season: int,
        origins: int,
    ) -> Reliability:
        """From the medians and the actuals (V, H, D) after the held-out rows ``cutoffs`` (V,) of ``panel``.

        The seasonal change is that of the rows before ``limit`` (S,) of each segment.
        """
        series = panel.series[panel.segment_of(cutoffs - 1)]
        _, unit = scales(panel, limit, season=season)
        square = ((median - actual) / unit[series][:, None]) ** 2
        there = np.isfinite(square)
        total, count = np.zeros((2, len(panel.ids), square.shape[2]))
        np.add.at(total, series, np.where(there, square, 0).sum(axis=1))
        np.add.at(count, series, there.sum(axis=1))
        each = total / np.where(count > 0, count, np.nan)
        several = (count > 0).sum(axis=0)
        pooled = np.where(several > 0, np.nansum(each, axis=0) / np.maximum(several, 1), 1.0)
        own = {name: row for name, row in zip(panel.ids, each, strict=True) if np.isfinite(row).all()}
        return cls(pooled, own, origins)

    @classmethod
    def read(cls, stored: Mapping[str, Any], *, targets: int) -> Reliability:
        """What ``facts`` said; of an empty mapping, that all series are equally hard to forecast."""
        pooled = np.array(stored.get("pooled", [1.0] * targets), dtype=np.float64)
        own = {name: np.array(row, dtype=np.float64) for name, row in stored.get("series", {}).items()}
        return cls(pooled, own, int(stored.get("origins", 0)))

    def facts(self) -> dict[str, Any]:
        """Plain JSON values."""
        series = {name: row.round(6).tolist() for name, row in self.own.items()}
        return {"pooled": self.pooled.round(6).tolist(), "series": series, "origins": self.origins}

    def variance(self, panel: Panel, limit: NDArray[np.int64], *, season: int) -> Floats:
        """float64 (N, D) expected square error in the user's units; 0 for a series that never changes."""
        trust = self.origins / (self.origins + 1)
        share = np.array([self.own.get(name, self.pooled) for name in panel.ids])
        _, unit = scales(panel, limit, season=season)
        return np.asarray(np.nan_to_num(unit) ** 2 * (trust * share + (1 - trust) * self.pooled))


def cross_coherent(
    panel: Panel,
    cutoffs: NDArray[np.int64],
    quantiles: Floats,
    actual: Floats,
    *,
    limit: NDArray[np.int64],
    season: int,
    middle: int,
    how: str,
) -> Coherent:
    """``quantiles`` (V, H, D, Q) after held-out rows ``cutoffs`` (V,), whole horizons from the ends of their series,
    that add up; what they are weighed by is learned from the other horizons, so that no window vouches for itself."""
    segment = panel.segment_of(cutoffs - 1)
    series = panel.series[segment]
    rounds = (panel.ends[segment] - cutoffs) // quantiles.shape[1] - 1
    variance = np.zeros((len(cutoffs), quantiles.shape[2]))
    every = np.unique(rounds)
    for number in every:
        others = rounds != number
        learned = Reliability.measured(
            panel,
            cutoffs[others],
            quantiles[others, ..., middle],
            actual[others],
            limit=limit,
            season=season,
            origins=len(every) - 1,
        )
        variance[~others] = learned.variance(panel, limit, season=season)[series[~others]]
    forest = Forest.of(panel, series, panel.times(cutoffs - 1), rounds)
    return forest.reconciled(quantiles, middle=middle, variance=variance, how=how)
