"""Truncated back-propagation through time with a carried state, BPTT(k1, k2).

Williams & Peng (1990): every k1 rows, the errors of those rows are propagated back through the last k2 rows. The state
that enters a chunk is the one that left the chunk before; values flow on for ever, gradients stop k2 rows back.

With k2 > k1 the graph must reach behind the current chunk. The states at the starts of the last ceil(k2 / k1) chunks
are kept (detached), and those chunks run again with gradient, so the cost of a step is k2 / k1 chunks.
With k2 < k1 the first k1 - k2 rows of a chunk only carry the state and give no loss: no gradient could reach them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Batch, Lanes, Split, deal
from lstmcast.fit.objective import Loss
from lstmcast.net.forecaster import Forecaster

State = tuple[Tensor, ...]


class StreamObjective:
    """Contiguous lanes, state carried from chunk to chunk, every row a forecast origin."""

    def __init__(self, panel: Panel, parts: Split, network: Forecaster, *, lanes: int, k1: int, k2: int) -> None:
        dealt = deal(panel, parts.limit, lanes=lanes, rows=k1)
        self._lanes = Lanes(panel, dealt, rows=k1, horizon=network.architecture.horizon)
        self._k1, self._k2 = k1, k2
        self._reach = math.ceil(k2 / k1)
        self._position = 0
        self._entering: list[State] = []

    def next_loss(self, network: Forecaster) -> Loss:
        if self._position == self._lanes.chunks or not self._entering:
            self._position, self._entering = 0, [network.initial_state(self._lanes.lanes)]
        batches = [
            self._lanes.chunk(index).to(network.device)
            for index in range(self._position - len(self._entering) + 1, self._position + 1)
        ]
        state = tuple(part.to(network.device) for part in self._entering[0])
        without = max(0, len(batches) * self._k1 - self._k2)
        if without:
            head, batches[0] = _divide(batches[0], without)
            with torch.no_grad():
                state = network.carry(head.context, head.observed, head.past, state, head.starts)
        for batch in batches[:-1]:
            state = network.carry(batch.context, batch.observed, batch.past, state, batch.starts)
        now = batches[-1]
        prediction, state = network.stream(now.context, now.observed, now.past, now.future, state, now.starts)
        loss = network.loss(prediction, now.target, now.target_observed)
        self._position += 1
        self._entering = [*self._entering, tuple(part.detach() for part in state)][-self._reach :]
        return Loss(loss, now)

    def state(self) -> dict[str, Any]:
        return {"position": self._position, "entering": list(self._entering)}

    def restore(self, state: dict[str, Any]) -> None:
        self._position, self._entering = state["position"], list(state["entering"])


def _divide(batch: Batch, rows: int) -> tuple[Batch, Batch]:
    """Split a chunk after ``rows`` rows; the second half continues the first, so it starts no lane."""
    over_time = ("context", "observed", "past", "target", "target_observed")
    head = replace(batch, **{name: getattr(batch, name)[:, :rows] for name in over_time})
    rest = {name: getattr(batch, name)[:, rows:] for name in over_time}
    return head, replace(batch, **rest, starts=torch.zeros_like(batch.starts), cutoff=batch.cutoff + rows)
