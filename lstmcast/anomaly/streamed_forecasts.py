"""Forecasts of a stateful model for the rows of a delivery, read on from what it carried from the one before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.carried import Carried
from lstmcast.anomaly.sequences import BACKS, LEVELS
from lstmcast.artifact import Model
from lstmcast.data.panel import Panel
from lstmcast.forecast.intervals import at_levels
from lstmcast.forecast.memory import Memory
from lstmcast.forecast.network import Network
from lstmcast.forecast.resume import advanced, resumed
from lstmcast.forecast.standing import least_rows
from lstmcast.outcome import OnProgress, Progress

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_AHEAD = max(BACKS) - 1  # rows after the newest of which something was said before it


class _Targets(NamedTuple):
    """Rows to be forecast: those of the panel (R,), and behind them ``_AHEAD`` rows after each of its N series.

    int64 each: the ``segment`` they belong to and the ``row`` in it, counted from its first.
    """

    segment: NDArray[np.int64]
    row: NDArray[np.int64]


def forecast_stream(
    network: Network,
    panel: Panel,
    *,
    model: Model,
    unseen: Flags,
    new: Flags,
    shared: Flags,
    carried: Carried | None,
    carry: bool,
    on_progress: OnProgress,
) -> tuple[Floats, Carried | None]:
    """What the stateful ``network`` of ``model`` said of the ``new`` rows (R,) from each of ``BACKS`` rows before; with
    ``carry`` also what is to be carried to the next delivery.

    float64 (R, H, D, Q) at ``LEVELS`` in the user's units, NaN where it said nothing. Forecasts whose first row is not
    ``unseen`` (R,) are left out. Rows of the series ``shared`` (N,) are those of earlier deliveries, as far as these
    went. A series is read on from what was ``carried``, from the states in the model's folder, or from its start.
    """
    if carried is not None and carried.model != model.identity:
        carried = None
    states = [carried.memory if carried else None, model.state, model.trained_state]
    memories = [Memory.of(state, model.forecaster.initial_state) for state in states if state is not None]
    kept = memories[0] if carried else None
    targets = _targets(panel)
    told = np.full((len(targets.row), len(BACKS), panel.values.shape[1], len(LEVELS)), np.nan)
    if carried is not None and kept is not None:
        _lay(told, panel, carried.said, kept, shared)
    open_ = np.isnan(told).all(axis=(2, 3)) & _asked(network, panel, targets, unseen, new)
    target, back = np.nonzero(open_)
    first = targets.row[target] - np.array(BACKS)[back] + 1
    _forecast(network, panel, memories, told, targets, (target, back, first), shared, on_progress)
    if not carry:
        return told[: len(panel.values)], None
    now = advanced(network, panel, memories, shared=shared)
    said = _said(panel, now, told[len(panel.values) :], kept, carried)
    return told[: len(panel.values)], Carried(model.identity, now.arrays(), said)


def _targets(panel: Panel) -> _Targets:
    segment = np.repeat(np.arange(len(panel.ends)), np.diff(panel.offsets))
    last = panel.last_segment()
    after = (panel.ends - panel.offsets[:-1])[last][:, None] + np.arange(_AHEAD)
    row = np.arange(len(segment)) - panel.offsets[segment]
    return _Targets(np.r_[segment, np.repeat(last, _AHEAD)], np.r_[row, after.ravel()])


def _asked(network: Network, panel: Panel, targets: _Targets, unseen: Flags, new: Flags) -> Flags:
    """bool (targets, BACKS) which forecasts are wanted."""
    backs, rows = np.array(BACKS), len(panel.values)
    first = targets.row[:, None] - backs + 1
    place = np.clip(panel.offsets[targets.segment][:, None] + first, 0, rows - 1)
    wanted = np.r_[new & (np.arange(rows) < panel.ends[targets.segment[:rows]]), np.ones(len(targets.row) - rows, bool)]
    within = np.r_[
        np.full((rows, len(backs)), True), np.tile(np.arange(_AHEAD)[:, None] + 1 < backs, (len(panel.ids), 1))
    ]
    possible = within & (backs <= network.architecture.horizon) & ((first < 0) | unseen[place])
    return np.asarray(possible & wanted[:, None], dtype=np.bool_)


def _forecast(
    network: Network,
    panel: Panel,
    memories: list[Memory],
    told: Floats,
    targets: _Targets,
    asked: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    shared: Flags,
    on_progress: OnProgress,
) -> None:
    """Lay the forecasts ``asked`` for into ``told``: of each the target, the place in ``BACKS`` and the first row."""
    target, back, first = asked
    shape = network.architecture
    pairs = np.stack([targets.segment[target], first])
    unique, which = np.unique(pairs, axis=1, return_inverse=True)
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(unique.shape[1] + 1))
    least = least_rows(network, panel.schema.short)
    done = 0
    for places, values in resumed(network, panel, unique[0], unique[1], memories, least=least, shared=shared):
        made = at_levels(values, shape.quantiles, np.array(LEVELS))
        counts = bounds[places + 1] - bounds[places]
        source = np.repeat(np.arange(len(places)), counts)
        own = order[np.concatenate([np.arange(bounds[p], bounds[p + 1]) for p in places])]
        told[target[own], back[own]] = made[source, np.array(BACKS)[back[own]] - 1]
        done += len(places)
        on_progress(Progress("forecasting", done, unique.shape[1]))


def _lay(told: Floats, panel: Panel, said: Floats, memory: Memory, shared: Flags) -> None:
    """Lay what was ``said`` before into ``told``, where the rows it is of follow those that were read."""
    index = memory.places(panel)
    for n in np.flatnonzero((index >= 0) & shared):
        m = index[n]
        newest = memory.newest[m : m + 1]
        own = np.flatnonzero(panel.series == n)
        s = int(own[np.argmax(panel.times(panel.ends[own] - 1) > newest[0])])
        begin = panel.start[s : s + 1]
        back = int(panel.schema.frequency.locate(newest, np.maximum(begin, newest))[0][0])
        ahead = int(panel.schema.frequency.locate(begin, np.maximum(begin, newest))[0][0])
        if back - 1 > panel.schema.max_gap and panel.schema.gaps != "zero":
            continue
        position = np.arange(1, _AHEAD + 1) + ahead - back  # in the segment, of the rows spoken of
        length = int(panel.ends[s] - panel.offsets[s])
        inside = (position >= 0) & (position < length)
        told[panel.offsets[s] + position[inside]] = said[m, inside]
        if s == own[-1]:
            beyond = (position >= length) & (position < length + _AHEAD)
            told[len(panel.values) + n * _AHEAD + position[beyond] - length] = said[m, beyond]


def _said(panel: Panel, now: Memory, ahead: Floats, kept: Memory | None, carried: Carried | None) -> Floats:
    """What was said of the rows after the newest of each series of ``now``: in this delivery, or in the last."""
    by_series = ahead.reshape(len(panel.ids), _AHEAD, *ahead.shape[1:])
    said = np.full((len(now.ids), *by_series.shape[1:]), np.nan)
    if carried is not None and kept is not None:
        place = {name: n for n, name in enumerate(kept.ids)}
        for n, name in enumerate(now.ids):
            if name in place:
                said[n] = carried.said[place[name]]
    index = now.places(panel)
    last = panel.times(panel.ends[panel.last_segment()] - 1)
    here = np.flatnonzero((index >= 0) & (now.newest[index] == last))
    said[index[here]] = by_series[here]
    return said
