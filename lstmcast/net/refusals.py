"""Combinations that no network can be built for, each with its reason and remedy."""

from __future__ import annotations

from lstmcast.family import Family, nearest
from lstmcast.net.architecture import Architecture
from lstmcast.net.bases import BASES
from lstmcast.net.cells import CELLS
from lstmcast.net.decoder import DECODERS
from lstmcast.net.heads import CLASSES, LOSSES
from lstmcast.net.normalise import NORMALISERS
from lstmcast.net.transforms import TRANSFORMS

_OWN_INIT = ("xavier", "orthogonal", "same")


def architecture_faults(architecture: Architecture) -> list[str]:
    """Every reason why ``architecture`` cannot be built, one sentence each; empty if it can."""
    return [*_names(architecture), *_sizes(architecture), *_seasons(architecture), *_loss(architecture),
            *_statistics(architecture), *_directions(architecture), *_cell(architecture), *_layers(architecture),
            *_encoder(architecture), *_classes(architecture), *_stateful(architecture),
            *_attention(architecture)]  # fmt: skip


def _names(a: Architecture) -> list[str]:
    chosen: list[tuple[Family, str]] = [
        (CELLS, a.cell),
        (TRANSFORMS, a.transform),
        (NORMALISERS, a.normaliser),
        (BASES, a.base),
        (DECODERS, a.decoder),
        (LOSSES, a.loss),
    ]
    return [
        f"there is no {family.kind} called {name!r}; {nearest(name, family)}"
        for family, name in chosen
        if name not in family
    ]


def _sizes(a: Architecture) -> list[str]:
    faults = [
        f"{name} is {getattr(a, name)}; it must be at least 1"
        for name in ("context", "horizon", "targets", "hidden", "layers", "patch")
        if getattr(a, name) < 1
    ]
    faults += [f"{name} counts {getattr(a, name)} covariates" for name in ("past", "future") if getattr(a, name) < 0]
    faults += [
        f"{name} is {getattr(a, name):g}; it must be at least 0 and below 1"
        for name in ("dropout", "variational", "weight_drop", "layer_drop", "zoneout")
        if not 0 <= getattr(a, name) < 1
    ]
    if a.residual and a.layers < 2:
        faults.append("residual paths run between layers and there is only one; use layers 2 or leave out residual")
    return faults


def _seasons(a: Architecture) -> list[str]:
    needs = [f"base {a.base!r}"] * (a.base == "seasonal") + [f"normaliser {a.normaliser!r}"] * (
        a.normaliser == "season-mean"
    )
    faults = [
        f"{need} needs a season that fits into the context twice; choose another" for need in needs if not a.seasons
    ]
    faults += [f"season {season} is not a number of rows above 0" for season in a.seasons if season < 1]
    if a.base == "seasonal":
        faults += [
            f"season {season} does not fit into a context of {a.context} rows twice over, as base 'seasonal' compares "
            f"it with the season before; use a context above {season}, or leave that season out"
            for season in a.seasons
            if season >= a.context
        ]
    return faults


def _loss(a: Architecture) -> list[str]:
    faults: list[str] = []
    levels = a.quantiles
    if 0.5 not in levels or list(levels) != sorted(set(levels)) or not all(0 < level < 1 for level in levels):
        faults.append(f"quantiles {levels} must ascend between 0 and 1 and include 0.5")
    if a.loss in LOSSES and levels != (0.5,) and not LOSSES.load(a.loss).probabilistic:
        faults.append(f"loss {a.loss!r} forecasts one number, not quantiles {levels}; use quantiles (0.5,)")
    if a.loss == "negative_binomial" and a.transform == "log":
        faults.append(
            "loss 'negative_binomial' forecasts counts, and 0 has no logarithm; use transform 'log1p' or 'none'"
        )
    if a.loss == "mse" and a.transform != "none":
        faults.append(
            f"loss 'mse' forecasts a mean, and the mean of {a.transform} values is not the {a.transform} of their "
            "mean; use transform 'none' or loss 'mae'"
        )
    return faults


def _statistics(a: Architecture) -> list[str]:
    faults = []
    if a.measured_by_all and (a.transform != "none" or a.summarises or a.stateful):
        name = "spread 'history'" if a.spread == "history" else "normaliser 'series'"
        faults.append(f"{name} measures values as they are, in windows; use transform 'none' or another")
    if a.summarises and a.stateful:
        faults.append("a stateful network keeps no history to make statistics of; leave the statistical settings out")
    if a.base == "statistical" and a.decoder not in {"parallel", "direct"}:
        faults.append(f"decoder {a.decoder!r} cannot weigh the methods of base 'statistical'; use decoder 'parallel'")
    if not a.correction and a.base != "statistical":
        faults.append(f"without correction there is nothing left to learn on base {a.base!r}; use base 'statistical'")
    if a.facts and a.decoder != "parallel":
        faults.append(f"decoder {a.decoder!r} asks no queries that facts could go into; use decoder 'parallel'")
    if a.blend and not a.summarises:
        faults.append("blend mixes in Theta and Holt, which need statistics; use base 'statistical' or blend 0")
    return faults


def _classes(a: Architecture) -> list[str]:
    if (a.loss == CLASSES) != (a.classes > 0):
        return [
            f"loss {a.loss!r} forecasts numbers, and the target holds classes; use loss {CLASSES!r}"
            if a.classes
            else f"loss {CLASSES!r} forecasts classes, and the target holds numbers; name a column of words with "
            "--target, or have its numbers taken for names with --classes"
        ]
    if not a.classes:
        return []
    faults = [
        f"{name} is about numbers, and the target holds classes; leave it out"
        for name, given in (
            (f"transform {a.transform!r}", a.transform != "none"),
            (f"base {a.base!r}", a.base != "none"),
            ("error 'relative'", a.error == "relative"),
            ("measuring by the whole series", a.measured_by_all),
            ("facts", a.facts),
            ("deseasonalise", a.season > 1),
        )
        if given
    ]
    if a.targets > 1:
        faults.append(f"{a.targets} targets of classes cannot be forecast together; train a model for each")
    if a.stateful:
        faults.append("classes are forecast from windows, not from a carried state; leave out stateful")
    return faults


def _directions(a: Architecture) -> list[str]:
    if a.bidirectional and a.decoder == "recursive":
        return [
            "decoder 'recursive' continues the encoder row by row, and a bidirectional one would need the end of the "
            "forecast to begin it; use decoder 'parallel' or leave out bidirectional"
        ]
    return []


def _attention(a: Architecture) -> list[str]:
    if a.attention == "none":
        return []
    if a.attention not in {"additive", "dot"}:
        return [f"there is no attention called {a.attention!r}; choose one of: none, additive, dot"]
    faults = []
    if a.decoder == "direct":
        faults.append(
            "attention is asked by the steps of a decoder, and decoder 'direct' takes none; use decoder 'parallel'"
        )
    if a.encoder in {"tree", "none"}:
        faults.append(
            f"attention looks at what was said of every patch, and encoder {a.encoder!r} keeps no such sequence; "
            "use encoder 'stack'"
        )
    if a.stateful:
        faults.append(
            "attention looks back at the patches of a window, and a stateful network has none; leave out one of the two"
        )
    return faults


def _cell(a: Architecture) -> list[str]:
    """Options that only some cells understand."""
    faults = [
        f"{name} is an option of the cell {cell!r}, not of {a.cell!r}; leave it out or use cell {cell!r}"
        for name, cell, given in (
            ("memory", "projected", a.memory is not None),
            ("heads", "slstm", a.heads is not None),
            ("form", "multiplicative", a.form != "product"),
        )
        if given and a.cell in CELLS and a.cell != cell
    ]
    if a.cell == "slstm" and a.heads and a.hidden % a.heads:
        faults.append(
            f"{a.hidden} hidden units cannot be shared out among {a.heads} heads; use heads that divide {a.hidden}"
        )
    if a.cell == "multiplicative" and a.form == "additive" and a.bidirectional and a.layers > 1:
        faults.append(
            "the additive multiplicative cell needs as many inputs as hidden units, and above a bidirectional layer "
            "there are twice as many; use form 'product' or 1 layer"
        )
    if a.forget_bias != "one" and a.cell == "rnn":
        faults.append(f"cell 'rnn' has no gate that a bias {a.forget_bias!r} could be given to; use forget_bias 'one'")
    if a.candidate_init != "same" and a.cell == "rnn":
        faults.append("cell 'rnn' has no candidate that could be drawn apart; leave candidate_init out")
    return faults


def _layers(a: Architecture) -> list[str]:
    faults = [
        f"{name} is about the layers above the first and there is only one; use layers 2 or leave it out"
        for name, given in (
            ("shared_layers", a.shared_layers),
            ("layer_drop", a.layer_drop),
            ("depth_gate", a.depth_gate),
        )
        if given and a.layers < 2
    ]
    if a.depth_gate:
        faults += [
            f"depth_gate {why}; leave out one of the two"
            for why, given in (
                (f"is written for cell 'lstm', whose memory it adds to, not for {a.cell!r}", a.cell != "lstm"),
                ("joins layers step by step, and both directions of bidirectional do not keep step", a.bidirectional),
                ("gives the layers above the first a gate more, and shared_layers makes all alike", a.shared_layers),
                ("runs by the cell's own steps and keeps all of them, so checkpointing saves nothing", a.checkpointing),
            )
            if given
        ]
    if a.shared_layers and a.bidirectional:
        faults.append(
            "shared_layers give all layers the weights of the first, but above a bidirectional layer there are twice "
            "as many inputs; leave out one of the two"
        )
    return faults


def _encoder(a: Architecture) -> list[str]:
    known = {"tree": "one layer with a cell of its own", "none": "no encoder"}
    if a.encoder not in {"stack", "hierarchy", *known}:
        return [f"there is no encoder called {a.encoder!r}; choose one of: stack, tree, hierarchy, none"]
    if a.encoder == "hierarchy" and a.stateful:
        return [
            "a stateful network reads each series by itself, row by row, and a hierarchy joins all of them at one "
            "time; use encoder 'stack', or leave out stateful"
        ]
    if a.encoder in {"stack", "hierarchy"}:
        return []
    faults = [
        f"encoder {a.encoder!r} is {known[a.encoder]} and has no {name}; leave it out or use encoder 'stack'"
        for name, given in (
            ("choice of cell", a.cell != "lstm"),
            ("layers", a.layers > 1),
            ("bidirectional", a.bidirectional),
            ("checkpointing", a.checkpointing),
            ("bias of its own choice", a.forget_bias != "one"),
            ("choice of first weights", (a.input_init, a.recurrent_init, a.candidate_init) != _OWN_INIT),
            ("variational", a.variational),
            ("weight_drop", a.weight_drop),
            ("zoneout", a.zoneout),
        )
        if given
    ]
    if a.encoder == "none" and a.decoder not in {"parallel", "direct"}:
        faults.append(f"decoder {a.decoder!r} goes on from an encoder, and there is none; use decoder 'parallel'")
    if a.stateful and a.encoder == "none":
        faults.append("a stateful network carries the state of its encoder, and there is none; use encoder 'stack'")
    elif a.stateful:
        faults.append(
            "a stateful network cannot be a tree: its nodes are joined once the newest row is there; "
            "use encoder 'stack'"
        )
    return faults


def _stateful(a: Architecture) -> list[str]:
    if not a.stateful:
        return []
    faults: list[str] = []
    if a.bidirectional:
        faults.append(
            "a stateful network cannot be bidirectional: its backward half would have to read rows that have not "
            "arrived yet; leave out bidirectional or stateful"
        )
    if a.checkpointing:
        faults.append("a stateful network forecasts from every row and needs all its states; leave out checkpointing")
    if a.highway:
        faults.append("a stateful network keeps no window that a highway could start from; switch the highway off")
    if a.base != "none":
        faults.append(f"a stateful network keeps no window that base {a.base!r} could be taken from; use base 'none'")
    if a.normaliser != "causal":
        faults.append(
            f"normaliser {a.normaliser!r} measures a window, and a stateful network has none; use normaliser 'causal'"
        )
    return faults
