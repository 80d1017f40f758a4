"""Rows: which of a panel train and which are held out to judge by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Split, split
from lstmcast.errors import TooShortError
from lstmcast.fit.facts import Facts
from lstmcast.fit.rules import Regime
from lstmcast.net.architecture import Architecture

_JUDGED, _FEWEST_JUDGED = 10_000, 500  # held-out windows: the last digits of a verdict need no more
_JUDGED_VALUES = 4_000_000  # forecast in all of them: bounds memory


def training_windows(panel: Panel, horizon: int, season: int) -> int:
    """Roughly how many training windows short series make: cutoffs with two seasons before and a horizon after them."""
    room = panel.ends - panel.offsets[:-1] - horizon - max(5, 2 * season) + 1
    return int(room.clip(0, _recent(season)).sum())


def _recent(season: int) -> int:
    """The last cutoffs of a short series that train: what is older tells little of what comes."""
    return 60 if season == 1 else season * max(6, 48 // season)


def folds_to_hold_out(facts: Facts, shape: Architecture) -> int:
    """Horizons held out per series: enough for some 64 windows, at most a fifth of the rows, at least one."""
    wanted = math.ceil(64 / max(facts.series, 1))
    return max(1, min(wanted, int(0.2 * facts.median_length / shape.horizon)))


def divide(panel: Panel, shape: Architecture, way: Regime, *, folds: int, seed: int) -> Split:
    """Which rows of ``panel`` train, and ``folds`` horizons of each series to judge by, as many as judging can use.

    Raises ``TooShortError`` with the arithmetic when no series is long enough for a single training window, or when one
    is not and the schema has those refused.
    """
    minimum = _minimum(panel, shape, way)
    context, recent = (minimum, _recent(shape.season)) if way == "short" else (shape.context, None)
    parts = split(panel, context=context, horizon=shape.horizon, folds=folds, minimum=minimum, recent=recent)
    if parts.windows == 0:
        raise _too_short(panel, shape, minimum)
    if panel.schema.short == "error":
        _refuse_short(panel, parts, minimum + shape.horizon)
    return _judged(parts, values=shape.horizon * shape.targets, seed=seed)


def _minimum(panel: Panel, shape: Architecture, way: Regime) -> int:
    """Rows of history that a training window needs; fewer where the longest series has no more."""
    if way == "short":
        longest = int((panel.ends - panel.offsets[:-1]).max())
        return min(max(5, 2 * shape.season), max(2, longest - shape.horizon))
    return 1 if shape.stateful else min(shape.patch + 1, shape.context)


def _judged(parts: Split, *, values: int, seed: int) -> Split:
    """The split with as many of its held-out windows, of ``values`` forecast values each, as judging can use.

    Of more a sample is drawn, the same for the same seed. What is held out stays held out.
    """
    most = max(_FEWEST_JUDGED, min(_JUDGED, _JUDGED_VALUES // values))
    if len(parts.validation) <= most:
        return parts
    drawn = np.random.default_rng(seed).choice(len(parts.validation), most, replace=False)
    return replace(parts, validation=parts.validation[np.sort(drawn)])


def _refuse_short(panel: Panel, parts: Split, need: int) -> None:
    trains = np.bincount(panel.series, weights=parts.last >= parts.first, minlength=len(panel.ids)) > 0
    if not trains.all():
        name = panel.ids[int(np.argmin(trains))]
        raise TooShortError(
            f"{int((~trains).sum())} series are too short to train on, first {name}: {need} rows are needed",
            remedy="leave out --short error, or give more history",
        )


def _too_short(panel: Panel, shape: Architecture, minimum: int) -> TooShortError:
    lengths = panel.ends - panel.offsets[:-1]
    longest = int(np.argmax(lengths))
    need = minimum + shape.horizon
    return TooShortError(
        f"no series is long enough: history {minimum} + horizon {shape.horizon} = {need} rows are needed; "
        f"the longest, {panel.ids[int(panel.series[longest])]}, has {int(lengths[longest])}",
        remedy=f"use --horizon {max(1, int(lengths[longest]) // 3)}, or give more history",
    )
