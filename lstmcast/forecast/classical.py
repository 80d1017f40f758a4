"""Classical: what textbook statistics make of held-out windows, and which method does best there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Windows
from lstmcast.net.smoothing import METHODS, summarise

Floats = NDArray[np.float64]

_NAMES = {
    "naive": "the last value", "ses": "simple exponential smoothing", "theta": "Theta",
    "holt": "damped Holt", "drift": "the drift",
}  # fmt: skip
_HISTORIES = 4_000  # smoothed at most, windows times targets: a second of work
_ROWS = 512  # of each, at most


@dataclass(frozen=True, slots=True)
class Rival:
    """The best of ``tried`` classical methods, chosen with hindsight: the comparison favours it.

    ``name`` as in a sentence; ``mase`` its scaled error and ``model`` that of the model on the same ``windows``.
    """

    name: str
    mase: float
    model: float
    windows: int
    tried: int

    @property
    def skill(self) -> float:
        """1 − MASE of the model / MASE of the method."""
        return 1 - self.model / self.mase


def best_classical(
    panel: Panel, cutoffs: NDArray[np.int64], median: Floats, actual: Floats, *, unit: Floats, season: int
) -> Rival | None:
    """The method of ``net.smoothing`` with the least error at ``cutoffs`` (V,); None where nothing can be scaled.

    ``median`` and ``actual`` (V, H, D) are the model's forecast and what came true, ``unit`` (N, D) what errors are
    divided by. The methods know the last rows before each cutoff, their season taken out where it passes its test. Of
    very many windows some are looked at, evenly chosen.
    """
    targets = actual.shape[2]
    count = min(len(cutoffs), max(1, _HISTORIES // targets))
    if not count:
        return None
    chosen = np.unique(np.linspace(0, len(cutoffs) - 1, count).astype(np.int64))
    rows = min(_ROWS, int(np.diff(panel.offsets).max()))
    batch = Windows(panel, context=rows, horizon=1).gather(torch.from_numpy(cutoffs[chosen]))
    horizon = actual.shape[1]
    summary = summarise(batch.context, batch.observed, horizon=horizon, season=season)
    ahead = summary.forecasts * summary.factor[:, -horizon:, :, None] + summary.offset[:, -horizon:, :, None]
    series = batch.series.numpy()
    shift, scale = panel.shift[series][:, None], unit[series][:, None]

    def mase(forecast: Floats) -> float:
        error = np.abs(forecast - actual[chosen]) / scale
        return float(np.nanmean(error)) if np.isfinite(error).any() else float("nan")

    errors = [mase(part + shift) for part in np.moveaxis(ahead.double().numpy(), -1, 0)]
    if not np.isfinite(errors).all() or min(errors) <= 0:
        return None
    best = int(np.argmin(errors))
    return Rival(_NAMES[METHODS[best]], errors[best], mase(median[chosen]), len(chosen), len(METHODS))
