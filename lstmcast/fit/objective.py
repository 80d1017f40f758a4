"""Objectives: where the next loss comes from. Either independent windows, or a stream with carried state."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Batch, Sampler, Split, Windows
from lstmcast.net.forecaster import Forecaster


class Loss(NamedTuple):
    """A scalar with its graph, and the batch it came from (to name the culprit when it is not finite)."""

    value: Tensor
    batch: Batch


class Objective(Protocol):
    """Yields the loss of the next optimiser step; its position can be saved and restored exactly."""

    def next_loss(self, network: Forecaster) -> Loss: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class WindowObjective:
    """Windows drawn at random: a series uniformly, then one of its windows uniformly."""

    def __init__(self, panel: Panel, parts: Split, network: Forecaster, *, batch: int, seed: int) -> None:
        shape = network.architecture
        self._windows = Windows(panel, context=shape.context, horizon=shape.horizon)
        self._sampler = Sampler(panel, parts)
        self._batch = batch
        self._generator = torch.Generator().manual_seed(seed)

    def next_loss(self, network: Forecaster) -> Loss:
        cutoff = self._sampler.draw(self._batch, self._generator)
        batch = self._windows.gather(cutoff).to(network.device)
        prediction = network(batch.context, batch.observed, batch.past, batch.future)
        return Loss(network.loss(prediction, batch.target, batch.target_observed), batch)

    def state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
