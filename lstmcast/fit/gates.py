"""Gates: how far they stand open while a network learns, looked at on the same windows each time."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Split, Windows
from lstmcast.forecast.network import predicted
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.stack import Stack

_WINDOWS = 64  # training windows that are looked at, evenly spread


class Glance(NamedTuple):
    """Mean and spread over windows, steps and units of what a cell activates, at ``step`` of the training."""

    step: int
    part: str
    gate: str
    mean: float
    spread: float


class Watch:
    """Looks at the gates of ``network`` on a few windows of its training; at nothing where it has no stack of cells."""

    def __init__(self, panel: Panel, parts: Split, network: Forecaster) -> None:
        shape = network.architecture
        every = np.concatenate([np.arange(a, b + 1) for a, b in zip(parts.first, parts.last, strict=True)])
        places = np.unique(np.linspace(0, len(every) - 1, _WINDOWS).astype(np.int64))
        windows = Windows(panel, context=shape.reach, horizon=shape.horizon, spread=network.needs_spread)
        self._batch = windows.gather(torch.from_numpy(every[places])).to(network.device)

    def look(self, network: Forecaster, step: int) -> list[Glance]:
        """One row for each gate and candidate of each layer; changes nothing in the network."""
        stack = network.stack
        if not isinstance(stack, Stack):
            return []
        seen: list[tuple[Tensor, tuple[Tensor, ...]]] = []
        hook = stack.register_forward_pre_hook(lambda _, given: seen.append(given))
        was_training, batch = network.training, self._batch
        network.eval()
        with torch.no_grad():
            alone = torch.full_like(batch.series, -1)
            predicted(network, replace(batch, parents=alone))
            hook.remove()
            glances = [
                Glance(step, reading.part, gate, float(values.mean()), float(values.std(correction=0)))
                for reading in stack.readings(*seen[0])
                for gate, values in reading.cell.gates(reading.x, reading.before).items()
            ]
        network.train(was_training)
        return glances
