"""Shrink: how far a forecast of a wandering series should leave the last value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Windows

Floats = NDArray[np.float64]

_LARGEST = 50.0  # in units of a series' own change: one absurd window decides nothing
_BLOCK = 2048


def trust_in(
    quantiles: Floats, actual: Floats, panel: Panel, cutoffs: NDArray[np.int64], unit: Floats, median: int
) -> float:
    """λ in [0, 1] of ``last + λ (forecast − last)``, by least squares over held-out windows.

    ``quantiles`` (V, H, D, Q) and ``actual`` (V, H, D), NaN where not observed, of the windows at ``cutoffs`` (V,);
    ``unit`` (N, D) is what each series is measured in. 1 where there is nothing to go by. The least is taken that is
    found when the windows of one origin are left out, for series that wander do so together, and one lucky stretch
    must not vouch for all; few origins vouch for less.
    """
    last = last_values(panel, cutoffs)[:, None]
    series = panel.series[panel.segment_of(cutoffs - 1)]
    scale = unit[series][:, None]
    moved = ((quantiles[..., median] - last) / scale).clip(-_LARGEST, _LARGEST)
    truth = ((actual - last) / scale).clip(-_LARGEST, _LARGEST)
    known = np.isfinite(moved) & np.isfinite(truth)
    gain = np.where(known, moved * truth, 0.0).sum(axis=(1, 2))
    square = np.where(known, moved**2, 0.0).sum(axis=(1, 2))
    origin = _origins(series)
    origins = int(origin.max(initial=-1)) + 1
    if square.sum() <= 0:
        return 1.0
    left_out = [origin != k for k in range(origins)] if origins > 1 else [origin >= 0]
    found = [gain[kept].sum() / max(square[kept].sum(), 1e-12) for kept in left_out]
    return float(np.clip(min(found), 0.0, 1.0)) * origins / (origins + 1)


def _origins(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many windows of the same series come after each (V,); those of a series lie in order of time."""
    after = np.zeros(len(series), dtype=np.int64)
    seen: dict[int, int] = {}
    for at in range(len(series) - 1, -1, -1):
        after[at] = seen.get(int(series[at]), 0)
        seen[int(series[at])] = int(after[at]) + 1
    return after


def last_values(panel: Panel, cutoffs: NDArray[np.int64]) -> Floats:
    """The newest observed value before each cutoff, float64 (V, D) in the user's units; NaN where there is none."""
    windows = Windows(panel, context=min(int(np.diff(panel.offsets).max()), 512), horizon=1)
    parts = []
    for batch in windows.batches(cutoffs, size=_BLOCK):
        values, seen = batch.context.numpy(), batch.observed.numpy()
        place = np.where(seen, np.arange(values.shape[1])[:, None], -1).max(axis=1)
        value = np.take_along_axis(values, np.maximum(place, 0)[:, None], axis=1)[:, 0].astype(np.float64)
        shift = panel.shift[batch.series.numpy()]
        parts.append(np.where(place >= 0, value + shift, np.nan))
    return np.concatenate(parts) if parts else np.empty((0, panel.values.shape[1]))
