"""Ablation: the first network of a plan once more without its recurrent encoder, to tell what the encoder is worth."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

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
    return Encoder(_held_out_error(whole), _held_out_error(bare), measure)


def _held_out_error(fitted: Fitted) -> float:
    """That of the weights that were kept: the last ones, or with early stopping the best."""
    errors = np.array([row[3] for row in fitted.history])
    return float(np.nanmin(errors)) if np.isfinite(errors).any() else float("nan")
