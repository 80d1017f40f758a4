"""Forecasts of a trained model for the rows it has not seen, in place of the detector's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.sequences import BACKS, LEVELS
from lstmcast.anomaly.surprise import surprise
from lstmcast.anomaly.watch import Channel
from lstmcast.artifact import Model, seen_until
from lstmcast.data.calendar_features import extended
from lstmcast.data.panel import Panel
from lstmcast.forecast.intervals import at_levels
from lstmcast.forecast.network import Network
from lstmcast.forecast.predict import quantiles_at
from lstmcast.forecast.standing import least_rows
from lstmcast.outcome import OnProgress, Progress

_BLOCK = 4096  # cutoffs forecast at once: bounds memory
_MEDIAN, _LOW, _HIGH = LEVELS.index(0.5), LEVELS.index(0.1), LEVELS.index(0.9)

Rows = NDArray[np.bool_]


def unseen(panel: Panel, model: Model) -> Rows:
    """bool (R,) rows later than anything ``model`` saw; a series it never saw is new from its first row."""
    until = seen_until(model, panel)
    times = panel.times(np.arange(len(panel.values)))
    later: Rows = times > until[np.repeat(panel.series, np.diff(panel.offsets))]
    return later


def forecast_by(network: Network, panel: Panel, rows: Rows, *, on_progress: OnProgress) -> NDArray[np.float64]:
    """What ``network``, which reads windows, said of the ``rows`` (R,) from each of ``BACKS`` rows before, within its
    horizon.

    float64 (R, H, D, Q) at ``LEVELS`` in the user's units, NaN where it said nothing.
    """
    shape = network.architecture
    out = np.full((len(panel.values), len(BACKS), panel.values.shape[1], len(LEVELS)), np.nan)
    segment = np.repeat(np.arange(len(panel.ends)), np.diff(panel.offsets))
    row = np.arange(len(rows))
    enough = row - panel.offsets[segment] >= least_rows(network, panel.schema.short)
    backs = [(k, back) for k, back in enumerate(BACKS) if back <= shape.horizon]
    wanted = np.zeros_like(rows)
    for _, back in backs:  # the forecast for row t made `back` rows before has its first target at t - back + 1
        origin = np.maximum(row[rows] - back + 1, 0)
        wanted[origin] |= segment[origin] == segment[rows]
    cutoffs = np.flatnonzero(wanted & enough)
    ahead = extended(panel, shape.horizon)  # the newest rows are forecast with the calendar of those still to come
    moved = row + (ahead.offsets - panel.offsets)[segment]
    for block in range(0, len(cutoffs), _BLOCK):
        chosen = cutoffs[block : block + _BLOCK]
        made = at_levels(quantiles_at(network, ahead, moved[chosen]), shape.quantiles, np.array(LEVELS))
        for k, back in backs:
            target = chosen + back - 1
            fits = (target < panel.ends[segment[chosen]]) & rows[np.minimum(target, len(rows) - 1)]
            out[target[fits], k] = made[fits, back - 1]
        on_progress(Progress("forecasting", block + len(chosen), len(cutoffs)))
    return out


def judged_by(channels: Sequence[Channel], quantiles: Sequence[NDArray[np.float64]]) -> list[Channel]:
    """``channels`` with the forecasts ``quantiles`` (n, H, Q) of each where there are any.

    A distance that the model does not reach is answered by its nearest one.
    """
    return [_judged(channel, told) for channel, told in zip(channels, quantiles, strict=True)]


def _judged(channel: Channel, told: NDArray[np.float64]) -> Channel:
    told = told.copy()
    for k in range(1, told.shape[1]):
        absent = np.isnan(told[:, k, 0])
        told[absent, k] = told[absent, k - 1]
    there = np.isfinite(told[:, 0, 0])
    found = surprise(channel.y, told, np.array(LEVELS))
    said = {
        "expected": told[:, 0, _MEDIAN],
        "lower": told[:, 0, _LOW],
        "upper": told[:, 0, _HIGH],
        "error": found.error,
        "z": found.z,
    }
    columns: dict[str, Any] = {}
    for name, values in said.items():
        old = getattr(channel, name)
        keep = there if old.ndim == 1 else there[:, None]
        columns[name] = np.where(keep, values, old)
    return replace(channel, **columns)
