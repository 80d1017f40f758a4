"""Ablation: the first network of a plan once more without its recurrent encoder, to tell what the encoder is worth."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from lstmcast.fit.loop import Fitted
from lstmcast.fit.plan import Plan
from lstmcast.forecast.verdict import Encoder

_ITS_OWN = ("cell", "layers", "bidirectional", "residual", "memory", "heads", "form", "forget_bias", "shared_layers",
            "checkpointing", "variational", "weight_drop", "layer_drop", "zoneout", "attention", "encoder")  # fmt: skip


def without_encoder(plan: Plan) -> Plan | None:
    """The plan of the first member alone, everything as it was but for the encoder; None where that is no network.

    Nothing to compare with, or nothing to switch off, is None too.
    """
    shape = plan.architecture
    if shape.stateful or shape.encoder == "none" or shape.decoder not in {"parallel", "direct"}:
        return None
    if not plan.split.validation.size:
        return None
    plain: dict[str, Any] = {field.name: field.default for field in fields(shape) if field.name in _ITS_OWN}
    first = plan.alone(0)
    bare = replace(first.architecture, **plain | {"encoder": "none"})
    return replace(first, architecture=bare, members=(replace(first.members[0], architecture=bare),))


def compared(whole: Fitted, bare: Fitted) -> Encoder:
    """What both made of the same held-out windows, trained alike."""
    measure = "log loss" if whole.forecaster.architecture.classes else "MASE"
    return Encoder(whole.held_out_error, bare.held_out_error, measure)
