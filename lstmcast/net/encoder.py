"""Which recurrent encoder an architecture asks for."""

from __future__ import annotations

from typing import Any

import torch

from lstmcast.net.absent import Absent
from lstmcast.net.architecture import Architecture
from lstmcast.net.initial import Initial
from lstmcast.net.kinship import Kinship
from lstmcast.net.stack import Regularisation, Stack
from lstmcast.net.tree import WindowTree


def build(a: Architecture, *, generator: torch.Generator) -> Stack | WindowTree | Absent:
    """The encoder of ``a``, C inputs wide. Its weights are drawn from ``generator``."""
    if a.encoder == "none":
        return Absent(hidden=a.hidden)
    if a.encoder == "tree":
        return WindowTree(inputs=a.hidden, hidden=a.hidden, generator=generator)
    return Stack(
        a.cell,
        inputs=a.hidden,
        hidden=a.hidden,
        layers=a.layers,
        bidirectional=a.bidirectional,
        residual=a.residual,
        shared=a.shared_layers,
        checkpoint=a.checkpointing,
        depth_gate=a.depth_gate,
        initial=Initial(a.input_init, a.recurrent_init, a.candidate_init, a.forget_bias),  # type: ignore[arg-type]
        regularisation=Regularisation(a.dropout, a.variational, a.weight_drop, a.layer_drop, a.zoneout),
        options=_options(a),
        generator=generator,
    )


def kinship(a: Architecture, stack: Stack | WindowTree | Absent, *, generator: torch.Generator) -> Kinship | None:
    """What joins the encodings of related series, where ``a`` asks for it."""
    if a.encoder != "hierarchy":
        return None
    return Kinship(inputs=stack.width, hidden=a.hidden, state_widths=stack.state_widths, generator=generator)


def _options(a: Architecture) -> dict[str, Any]:
    """What the cell is told beyond its size. ``architecture_faults`` has seen that it understands it."""
    options: dict[str, Any] = {}
    if a.memory is not None:
        options["memory"] = a.memory
    if a.heads is not None:
        options["heads"] = a.heads
    if a.form != "product":
        options["form"] = a.form
    if a.forget_bias == "chrono":
        options["span"] = -(-a.context // a.patch)
    return options
