"""Shrink: how far a forecast of a wandering series should leave the last value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Windows

Floats = NDArray[np.float64]

_LARGEST = 50.0  # in units of a series' own change: one absurd window decides nothing
_DOUBT = 10  # windows at which what they say is believed by half
_BLOCK = 2048


def trust_in(
    quantiles: Floats, actual: Floats, panel: Panel, cutoffs: NDArray[np.int64], unit: Floats, median: int
) -> float:
    """λ in [0, 1] of ``last + λ (forecast − last)``, by least squares over held-out windows.

    ``quantiles`` (V, H, D, Q) and ``actual`` (V, H, D), NaN where not observed, of the windows at ``cutoffs`` (V,);
    ``unit`` (N, D) is what each series is measured in. 1 where there is nothing to go by.
    """
    last = last_values(panel, cutoffs)[:, None]
    segment = panel.segment_of(cutoffs - 1)
    scale = unit[panel.series[segment]][:, None]
    moved = ((quantiles[..., median] - last) / scale).clip(-_LARGEST, _LARGEST)
    truth = ((actual - last) / scale).clip(-_LARGEST, _LARGEST)
    known = np.isfinite(moved) & np.isfinite(truth)
    square = float((moved[known] ** 2).sum())
    if not len(cutoffs) or square <= 0:
        return 1.0
    best = float(np.clip((moved[known] * truth[known]).sum() / square, 0.0, 1.0))
    belief = len(cutoffs) / (len(cutoffs) + _DOUBT)
    return 1 - belief * (1 - best)


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
