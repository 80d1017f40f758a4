"""Plan: every setting the user left open, derived from facts by a stated rule and told with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from lstmcast.config import Settings, TrainingSettings
from lstmcast.data.panel import Panel
from lstmcast.data.windows import Split, split
from lstmcast.errors import TooShortError, UsageError
from lstmcast.fit.facts import Facts, measure
from lstmcast.net.architecture import Architecture
from lstmcast.net.forecaster import architecture_faults

_GRID = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
_SHORT = 300  # rows up to which a series counts as short
_LONG = 5_000  # rows per series from which it counts as long
_DERIVED = ("horizon", "context", "hidden", "dropout", "patch", "transform", "normaliser", "base", "highway")

_PASSED = ("encoder", "memory", "heads", "form", "forget_bias", "shared_layers", "checkpointing", "variational",
           "weight_drop", "layer_drop", "zoneout")  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reason:
    """One setting, its value, and why: what ``--explain-plan`` prints."""

    key: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything training needs. ``settings`` are resolved: training needs no further decision.

    ``season`` is the main season in rows (1 where there is none): what seasonal naive repeats. ``median_length`` rows
    has a typical series. ``split`` says which
    rows train and which validate. ``steps`` optimiser steps. ``lanes`` of a stateful run, ``batch`` otherwise.
    """

    settings: Settings
    architecture: Architecture
    split: Split
    season: int
    median_length: int
    steps: int
    reasons: tuple[Reason, ...]


def make(panel: Panel, settings: Settings, *, hold_out: bool = True) -> Plan:
    """Derive the plan for ``panel``. Without ``hold_out`` all rows train, unless early stopping needs some to look at.

    Raises ``UsageError`` for combinations that cannot work (all at once), ``TooShortError`` with the arithmetic when no
    series is long enough for a single training window.
    """
    facts = measure(panel)
    book = _Book()
    architecture = _architecture(panel, settings, facts, book)
    faults = architecture_faults(architecture)
    if architecture.loss != "quantile" and "levels" in settings.network.model_fields_set:
        faults.append(f"loss {architecture.loss!r} forecasts one number and knows no levels; use loss quantile")
    if faults:
        raise UsageError("\n".join(faults), remedy="change one of the options named")
    folds = _folds(facts, architecture) if hold_out or settings.training.early_stop else 0
    minimum = 1 if architecture.stateful else min(architecture.patch + 1, architecture.context)
    parts = split(panel, context=architecture.context, horizon=architecture.horizon, folds=folds, minimum=minimum)
    if parts.windows == 0:
        raise _too_short(panel, architecture, minimum)
    if panel.schema.short == "error":
        _refuse_short(panel, parts, minimum + architecture.horizon)
    training = _training(settings, architecture, parts, book)
    network = settings.network.model_copy(update={key: getattr(architecture, key) for key in _DERIVED})
    resolved = settings.model_copy(update={"network": network, "training": training})
    return Plan(
        settings=resolved,
        architecture=architecture,
        split=parts,
        season=_season(facts, panel),
        median_length=facts.median_length,
        steps=training.max_steps or 1,
        reasons=tuple(book.reasons),
    )


class _Book:
    """Takes down each decision with its reason."""

    def __init__(self) -> None:
        self.reasons: list[Reason] = []

    def settle(self, key: str, given: T | None, derived: T, why: str) -> T:
        value = derived if given is None else given
        text = f"{value:g}" if isinstance(value, float) else str(value)
        self.reasons.append(Reason(key, text, why if given is None else "given"))
        return value


def _architecture(panel: Panel, settings: Settings, facts: Facts, book: _Book) -> Architecture:
    wish, schema = settings.network, panel.schema
    settle = book.settle
    horizon = settle(
        "horizon", wish.horizon, schema.frequency.default_horizon(), f"usual for frequency {schema.frequency.name}"
    )
    rules = _carried(settings) if settings.training.stateful else _windowed(settings, facts, horizon)
    chosen: dict[str, Any] = {key: settle(key, getattr(wish, key), *rule) for key, rule in rules.items()}
    return Architecture(
        horizon=horizon,
        targets=panel.values.shape[1],
        past=len(schema.past),
        future=len(schema.future),
        cell=wish.cell,
        hidden=settle("hidden", wish.hidden, _hidden(facts), f"{facts.rows:,} rows"),
        layers=wish.layers,
        bidirectional=wish.bidirectional,
        residual=wish.residual,
        dropout=settle("dropout", wish.dropout, 0.1, "usual for one layer"),
        transform=settle("transform", wish.transform, *_transform(facts, wish.loss)),
        seasons=tuple(season for season in facts.seasons if 2 * season <= chosen["context"]),
        decoder=wish.decoder,
        loss=wish.loss,
        quantiles=_quantiles(settings),
        stateful=settings.training.stateful,
        **{key: getattr(wish, key) for key in _PASSED},
        **chosen,
    )


def _windowed(settings: Settings, facts: Facts, horizon: int) -> dict[str, tuple[Any, str]]:
    """What goes in and around the network when it sees one window at a time."""
    season = facts.seasons[0] if facts.seasons else 1
    told = f"seasons {', '.join(map(str, facts.seasons))}" if facts.seasons else "no season found"
    rows = f"{facts.median_length:,} rows in the median series"
    short = facts.median_length <= _SHORT
    patch = _patch(season, facts.median_length)
    context = _context(max(facts.seasons, default=1), settings.network.patch or patch, horizon, facts)
    fits = 2 * season <= (settings.network.context or context)
    strong = season >= 7 and fits and not short and facts.median_length <= _LONG and facts.strength >= 0.5
    return {
        "patch": (patch, told),
        "context": (context, f"3 seasons, 2 horizons or 5 patches; {rows}"),
        "normaliser": ("season-mean", told) if strong else ("last", "the last value is the level"),
        "base": ("seasonal", told) if strong else ("none", f"{told}, {rows}"),
        "highway": (not short, rows),
    }


def _carried(settings: Settings) -> dict[str, tuple[Any, str]]:
    """What a carried state allows: a window statistic or a look-back of fixed length is not defined for it."""
    why = "the state is carried row by row"
    rows = settings.training.tbptt[0] if settings.training.tbptt else 48
    return {
        "patch": (1, why),
        "context": (rows, "rows per chunk (k1)"),
        "normaliser": ("causal", why),
        "base": ("none", why),
        "highway": (False, why),
    }


def _patch(season: int, length: int) -> int:
    if season == 1:
        return 1 if length < 100 else 2 if length <= _SHORT else 13
    if season <= 48:
        return season
    return min((p for p in range(2, 61) if season % p == 0), key=lambda p: abs(p - 24), default=24)


def _context(longest: int, patch: int, horizon: int, facts: Facts) -> int:
    wanted = max(3 * min(longest, 200), 5 * patch, 2 * horizon)
    affordable = int(0.6 * (facts.median_length - horizon))
    rows = min(wanted, 60 * patch, 1024, max(affordable, 2 * patch))
    return max(patch, rows // patch * patch)


def _transform(facts: Facts, loss: str) -> tuple[str, str]:
    if loss == "mse":
        return "none", "the mean of transformed values is not the transform of their mean"
    if facts.skewed and facts.positive:
        return "log", "positive, and the spread grows with the level or the maximum dwarfs the median"
    if facts.positive and facts.away_from_zero and _SHORT < facts.median_length <= _LONG:
        return "log", "positive and never near zero: changes are relative"
    if facts.skewed and facts.nonnegative:
        return "log1p", "zeros among positive values whose spread grows with the level"
    return "none", "the spread does not grow with the level" if facts.nonnegative else "negative values"


def _hidden(facts: Facts) -> int:
    return 32 if facts.rows < 3_000 or facts.median_length <= _SHORT else 64 if facts.rows < 2_000_000 else 128


def _quantiles(settings: Settings) -> tuple[float, ...]:
    """The grid every quantile network learns, with the ends of the intervals asked for; a point loss has the median."""
    if settings.network.loss != "quantile":
        return (0.5,)
    ends = [
        level for percent in settings.network.levels for level in ((1 - percent / 100) / 2, (1 + percent / 100) / 2)
    ]
    return tuple(sorted({*_GRID, *(round(level, 6) for level in ends)}))


def _folds(facts: Facts, architecture: Architecture) -> int:
    """Horizons held out per series: enough for some 64 windows, at most a fifth of the rows, at least one."""
    wanted = math.ceil(64 / max(facts.series, 1))
    return max(1, min(wanted, int(0.2 * facts.median_length / architecture.horizon)))


def main_season(panel: Panel) -> int:
    """The main season of ``panel`` in rows, 1 where there is none."""
    return _season(measure(panel), panel)


def _season(facts: Facts, panel: Panel) -> int:
    """What seasonal naive repeats: the season found, else the usual one of the frequency, else 1."""
    return facts.seasons[0] if facts.seasons else next(iter(panel.schema.frequency.seasons()), 1)


def _training(settings: Settings, shape: Architecture, parts: Split, book: _Book) -> TrainingSettings:
    wish = settings.training
    settle = book.settle
    if wish.stateful:
        tbptt = wish.tbptt or (shape.context, shape.context)
        rows = int(np.maximum(parts.limit - parts.first, 0).sum())
        batch = settle("batch", wish.batch, min(32, max(1, rows // (8 * tbptt[0]))), "lanes of at least 8 chunks")
        an_epoch = max(1, rows // (batch * tbptt[0]))
    else:
        tbptt = None
        batch = settle("batch", wish.batch, 256 if parts.windows >= 20_000 else 96, f"{parts.windows:,} windows")
        an_epoch = max(1, math.ceil(parts.windows / batch))
    steps = math.ceil(wish.epochs * an_epoch) if wish.epochs else min(1_500, max(400, 4 * an_epoch))
    steps = min(steps, wish.max_steps or steps)
    book.reasons.append(Reason("steps", str(steps), f"{an_epoch} steps see every training row once"))
    rate = settle("learning_rate", wish.learning_rate, 3e-3 * math.sqrt(64 / shape.hidden), f"{shape.hidden} units")
    return wish.model_copy(
        update={"tbptt": tbptt, "batch": batch, "max_steps": steps, "epochs": steps / an_epoch, "learning_rate": rate}
    )


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
