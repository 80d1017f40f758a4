"""Plan: every setting the user left open, derived from facts by a stated rule and told with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

from lstmcast.config import Settings, TrainingSettings
from lstmcast.data.panel import Panel
from lstmcast.data.relatives import Relatives
from lstmcast.data.windows import Split
from lstmcast.errors import UsageError
from lstmcast.fit.facts import Facts, measure, tails
from lstmcast.fit.members import differences
from lstmcast.fit.rows import divide, folds_to_hold_out, training_windows
from lstmcast.fit.rules import Regime, hidden, network_rules, regime, transform
from lstmcast.net.architecture import Architecture
from lstmcast.net.forecaster import architecture_faults
from lstmcast.net.heads import CLASSES, is_probabilistic
from lstmcast.net.transforms.boxcox import guerrero

_GRID = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
_DERIVED = (
    *("horizon", "context", "hidden", "dropout", "patch", "transform", "normaliser", "spread", "base", "highway"),
    *("history", "correction", "facts", "error", "blend"),
)

_RELATIVES = 2048  # series of a tree that are read at once
_PASSED = ("encoder", "memory", "heads", "form", "forget_bias", "shared_layers", "checkpointing", "variational",
           "weight_drop", "layer_drop", "zoneout", "attention", "depth_gate", "input_init",
           "recurrent_init", "candidate_init")  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reason:
    """One setting, its value, and why: what ``--explain-plan`` prints."""

    key: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Member:
    """One network of an ensemble: its architecture and how it is trained."""

    architecture: Architecture
    training: TrainingSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything training needs. ``settings`` are resolved: training needs no further decision.

    ``architecture`` and ``steps`` are those of the first of the ``members`` whose forecasts are averaged; ``alone``
    gives the plan of each, and the first ``tried`` of them show on held-out rows what the plan is worth. ``season`` is
    the main season in rows (1 where there is none): what seasonal naive repeats. ``median_length`` rows has a typical
    series. ``split`` says which rows train and which
    validate, from ``origins`` points of each series at most; ``steps_given`` whether the user set the steps.
    """

    settings: Settings
    architecture: Architecture
    split: Split
    season: int
    median_length: int
    steps: int
    reasons: tuple[Reason, ...]
    members: tuple[Member, ...]
    regime: Regime
    origins: int
    tried: int
    steps_given: bool

    def because(self, reason: Reason) -> Plan:
        """The same plan with one ``reason`` more."""
        return replace(self, reasons=(*self.reasons, reason))

    def first(self, number: int) -> Plan:
        """The plan of the first ``number`` members."""
        return replace(self, members=self.members[:number])

    def shortened(self, share: float, *, least: int) -> Plan:
        """The same plan with a ``share`` of its steps, ``least`` at least."""
        steps = max(min(least, self.steps), int(share * self.steps))
        members = tuple(
            replace(member, training=member.training.model_copy(update={"max_steps": steps})) for member in self.members
        )
        training = self.settings.training.model_copy(update={"max_steps": steps})
        settings = self.settings.model_copy(update={"training": training})
        return replace(self, settings=settings, steps=steps, members=members)

    def alone(self, number: int) -> Plan:
        """The plan of one member, as if there were no other."""
        member = self.members[number]
        settings = self.settings.model_copy(update={"training": member.training})
        steps = member.training.max_steps or 1
        return replace(self, settings=settings, architecture=member.architecture, steps=steps, members=(member,))


def make(panel: Panel, settings: Settings, *, hold_out: bool = True) -> Plan:
    """Derive the plan for ``panel``. Without ``hold_out`` all rows train, unless early stopping needs some to look at.

    Raises ``UsageError`` for combinations that cannot work (all at once), ``TooShortError`` with the arithmetic when no
    series is long enough for a single training window.
    """
    settings = _told_of_classes(settings, panel)
    facts = measure(panel)
    book = _Book()
    way, why = regime(settings, facts)
    book.reasons.append(Reason("regime", way, why))
    season = _season(facts, panel)
    shapes = [_architecture(panel, settings, facts, way, season, book, {})]
    others = differences(way, settings, facts, shapes[0])
    shapes += [_architecture(panel, settings, facts, way, season, _Book(), difference) for difference in others[1:]]
    book.settle("members", settings.training.members, len(shapes), "networks that differ err differently")
    for number, difference in enumerate(others[1:], start=2):
        told = ", ".join(f"{key} {value}" for key, value in difference.items()) or "its own seed"
        book.reasons.append(Reason(f"member {number}", told, "as the first but for this"))
    architecture = shapes[0]
    faults = list(dict.fromkeys(fault for shape in shapes for fault in architecture_faults(shape)))
    if architecture.classes:
        faults += _about_numbers(settings)
    elif not is_probabilistic(architecture.loss) and "levels" in settings.network.model_fields_set:
        faults.append(f"loss {architecture.loss!r} forecasts one number and knows no levels; use loss quantile")
    if architecture.loss == "negative_binomial" and not facts.nonnegative:
        faults.append("loss 'negative_binomial' counts, and there are negative values; use loss quantile")
    if architecture.loss == "smape_mase" and panel.shift.any():
        faults.append("loss 'smape_mase' needs the level of the values, which dwarfs their spread; use loss quantile")
    if settings.training.teacher_forcing and architecture.decoder not in {"recursive", "seq2seq"}:
        faults.append(
            f"teacher_forcing tells a decoder what it should have written, and decoder {architecture.decoder!r} reads "
            "nothing of its own; use decoder 'recursive' or 'seq2seq'"
        )
    if architecture.stateful and (rows := _chunk(settings, architecture)[0]) % architecture.patch:
        faults.append(
            f"a chunk of {rows} rows ends in the middle of a patch of {architecture.patch}; "
            f"use --tbptt with a multiple of {architecture.patch}"
        )
    faults += _relatives(panel, architecture)
    if faults:
        raise UsageError("\n".join(faults), remedy="change one of the options named")
    holds_out = hold_out or settings.training.early_stop
    folds = folds_to_hold_out(facts, architecture) if holds_out else 0
    parts = divide(panel, architecture, way, folds=folds, seed=settings.training.seed)
    training = _training(settings, architecture, way, parts, book)
    members = [
        Member(shape, training.model_copy(update={"seed": (training.seed + 1_000_003 * k) % 2**31}))
        for k, shape in enumerate(shapes)
    ]
    derived = {key: getattr(architecture, key) for key in _DERIVED} | {"coherent": _coherent(panel, settings, book)}
    network = settings.network.model_copy(update=derived)
    resolved = settings.model_copy(update={"network": network, "training": training})
    return Plan(
        settings=resolved,
        architecture=architecture,
        split=parts,
        season=season,
        median_length=facts.median_length,
        steps=training.max_steps or 1,
        reasons=tuple(book.reasons),
        members=tuple(members),
        regime=way,
        origins=max(folds, 1),
        tried=len(members),
        steps_given=settings.training.max_steps is not None or settings.training.epochs is not None,
    )


def _relatives(panel: Panel, shape: Architecture) -> list[str]:
    """Why the series of ``panel`` cannot be read with their relatives, if that is asked for."""
    if shape.encoder != "hierarchy":
        return []
    if not panel.schema.parents:
        return ["encoder 'hierarchy' reads series with their relatives; name the column of parents with --parent"]
    if (size := Relatives(panel).largest) > _RELATIVES:
        return [
            f"encoder 'hierarchy' reads a tree of series at once, and the largest has {size:,}, more than "
            f"{_RELATIVES:,}; use encoder 'stack', whose forecasts add up as well"
        ]
    return []


def _coherent(panel: Panel, settings: Settings, book: _Book) -> Literal["mint", "bottom-up", "none"] | None:
    """How forecasts are made to add up; None where no series is part of another."""
    wish, schema = settings.network.coherent, panel.schema
    if not schema.parents:
        if wish not in {None, "none"}:
            raise UsageError(
                f"--coherent {wish} makes forecasts add up, and nothing says which series is part of which",
                remedy="name the column of parents with --parent",
            )
        return wish
    why = "the history adds up" if schema.additive else "the history does not add up"
    return book.settle("coherent", wish, "mint" if schema.additive else "none", why)


def _told_of_classes(settings: Settings, panel: Panel) -> Settings:
    """The settings with the loss for classes, where the target holds some and no other loss was asked for."""
    if not panel.schema.classes or "loss" in settings.network.model_fields_set:
        return settings
    return settings.model_copy(update={"network": settings.network.model_copy(update={"loss": CLASSES})})


def _about_numbers(settings: Settings) -> list[str]:
    given = settings.network.model_fields_set & {"levels", "minimum", "maximum", "integer"}
    return [f"{key} is about numbers, and the target holds classes; leave it out" for key in sorted(given)]


class _Book:
    """Takes down each decision with its reason."""

    def __init__(self) -> None:
        self.reasons: list[Reason] = []

    def settle(self, key: str, given: T | None, derived: T, why: str) -> T:
        value = derived if given is None else given
        text = f"{value:g}" if isinstance(value, float) else str(value)
        self.reasons.append(Reason(key, text, why if given is None else "given"))
        return value


def _architecture(
    panel: Panel,
    settings: Settings,
    facts: Facts,
    way: Regime,
    season: int,
    book: _Book,
    difference: dict[str, Any],
) -> Architecture:
    wish, schema = settings.network, panel.schema
    settle = book.settle
    horizon = settle(
        "horizon", wish.horizon, schema.frequency.default_horizon(), f"usual for frequency {schema.frequency.name}"
    )
    windows = training_windows(panel, horizon, season)
    rules = network_rules(way, settings, facts, horizon=horizon, usual_season=season, windows=windows)
    rules["hidden"] = (hidden(facts), f"{facts.rows:,} rows")
    rules["dropout"] = (0.1, "usual for one layer")
    rules["transform"] = transform(facts, wish.loss, wish.normaliser)
    rules |= {key: (value, "another member") for key, value in difference.items() if key in rules}
    chosen: dict[str, Any] = {key: settle(key, getattr(wish, key), *rule) for key, rule in rules.items()}
    seasonal = chosen.pop("deseasonalise")
    return Architecture(
        horizon=horizon,
        targets=panel.values.shape[1],
        past=len(schema.past),
        future=len(schema.known_ahead),
        static=schema.static_words,
        classes=len(schema.classes),
        cell=wish.cell,
        layers=wish.layers,
        bidirectional=wish.bidirectional,
        residual=wish.residual,
        seasons=tuple(season for season in facts.seasons if 2 * season <= chosen["context"]),
        season=season if seasonal else 1,
        decoder=wish.decoder,
        loss=wish.loss,
        quantiles=_quantiles(settings),
        stateful=settings.training.stateful,
        transform_parameter=guerrero(tails(panel), season=season) if chosen["transform"] == "boxcox" else 0.0,
        **{key: getattr(wish, key) for key in _PASSED},
        **chosen,
    )


def _quantiles(settings: Settings) -> tuple[float, ...]:
    """The grid every quantile network learns, with the ends of the intervals asked for; one without a
    distribution has the median."""
    if not is_probabilistic(settings.network.loss):
        return (0.5,)
    ends = [
        level for percent in settings.network.levels for level in ((1 - percent / 100) / 2, (1 + percent / 100) / 2)
    ]
    return tuple(sorted({*_GRID, *(round(level, 6) for level in ends)}))


def main_season(panel: Panel) -> int:
    """The main season of ``panel`` in rows, 1 where there is none."""
    return _season(measure(panel), panel)


def _season(facts: Facts, panel: Panel) -> int:
    """What seasonal naive repeats: the season found, else the usual one of the frequency, else 1."""
    return facts.seasons[0] if facts.seasons else next(iter(panel.schema.frequency.seasons()), 1)


def _training(settings: Settings, shape: Architecture, way: Regime, parts: Split, book: _Book) -> TrainingSettings:
    wish = settings.training
    settle = book.settle
    if wish.stateful:
        tbptt = _chunk(settings, shape)
        rows = int(np.maximum(parts.limit - parts.first, 0).sum())
        batch = settle("batch", wish.batch, min(32, max(1, rows // (8 * tbptt[0]))), "lanes of at least 8 chunks")
        an_epoch = max(1, rows // (batch * tbptt[0]))
    else:
        tbptt = None
        batch = settle("batch", wish.batch, *_batch(way, parts))
        an_epoch = max(1, math.ceil(parts.windows / batch))
    usual_steps = _steps(way, an_epoch) // (2 if wish.budget == "fast" else 1)
    steps = math.ceil(wish.epochs * an_epoch) if wish.epochs else usual_steps
    steps = min(steps, wish.max_steps or steps)
    book.reasons.append(Reason("steps", str(steps), f"{an_epoch} steps see every training row once"))
    rate = settle("learning_rate", wish.learning_rate, 3e-3 * math.sqrt(64 / shape.hidden), f"{shape.hidden} units")
    return wish.model_copy(
        update={"tbptt": tbptt, "batch": batch, "max_steps": steps, "epochs": steps / an_epoch, "learning_rate": rate}
    )


def _chunk(settings: Settings, shape: Architecture) -> tuple[int, int]:
    """BPTT(k1, k2) of a stateful network."""
    return settings.training.tbptt or (shape.context, shape.context)


def _steps(way: Regime, an_epoch: int) -> int:
    """A few passes over the windows, but neither fewer steps than learning takes nor more than it gains from."""
    if way == "short":
        return min(25 * an_epoch, max(400, min(10 * an_epoch, 800)))
    if way == "long":
        return min(700, max(300, 2 * an_epoch))
    return min(800, max(400, 4 * an_epoch))


def _batch(way: Regime, parts: Split) -> tuple[int, str]:
    return (256 if way == "long" else 128 if way == "short" else 96), f"{parts.windows:,} windows"
