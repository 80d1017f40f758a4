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
from lstmcast.forecast.intervals import significant

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """``variance`` (D,) is the expected square error of each series in the user's units, 0 for one that never changes;
    ``pooled`` (D,) the mean over all series in units of their mean square seasonal change."""

    pooled: Floats
    variance: Mapping[str, Floats]

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

        The seasonal change is that of the rows before ``limit`` (S,) of each segment. What ``origins`` say of a single
        series is believed by origins / (origins + 1); the rest is what they say of all series.
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
        trust = np.where(count > 0, origins / (origins + 1), 0.0)
        variance = np.nan_to_num(unit) ** 2 * (trust * np.nan_to_num(each) + (1 - trust) * pooled)
        return cls(pooled, dict(zip(panel.ids, variance, strict=True)))

    @classmethod
    def read(cls, stored: Mapping[str, Any], *, targets: int) -> Reliability:
        """What ``facts`` said; of an empty mapping, that all series are equally hard to forecast."""
        pooled = np.array(stored.get("pooled", [1.0] * targets), dtype=np.float64)
        return cls(pooled, {name: np.array(row, np.float64) for name, row in stored.get("variance", {}).items()})

    def facts(self) -> dict[str, Any]:
        """Plain JSON values."""
        variance = {name: significant(row).tolist() for name, row in self.variance.items()}
        return {"pooled": significant(self.pooled).tolist(), "variance": variance}

    def of(self, panel: Panel, *, season: int) -> Floats:
        """float64 (N, D) the variances of the series of ``panel``.

        One that was not there when errors were measured is taken for as hard to forecast as all, for its own seasonal
        change. What is known of the others does not depend on how much of their history is at hand.
        """
        if all(name in self.variance for name in panel.ids):
            return np.array([self.variance[name] for name in panel.ids])
        _, unit = scales(panel, panel.ends, season=season)
        usual = np.nan_to_num(unit) ** 2 * self.pooled
        return np.array([self.variance.get(name, row) for name, row in zip(panel.ids, usual, strict=True)])


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
        variance[~others] = learned.of(panel, season=season)[series[~others]]
    forest = Forest.of(panel, series, panel.times(cutoffs - 1), rounds)
    return forest.reconciled(quantiles, middle=middle, variance=variance, how=how)
