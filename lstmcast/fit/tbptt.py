"""Truncated back-propagation through time with a carried state, BPTT(k1, k2).

Williams & Peng (1990): every k1 rows, the errors of those rows are propagated back through the last k2 rows. The state
that enters a chunk is the one that left the chunk before; values flow on for ever, gradients stop k2 rows back.

With k2 > k1 the graph must reach behind the current chunk. The states at the starts of the last ceil(k2 / k1) chunks
are kept (detached), and those chunks run again with gradient, so the cost of a step is k2 / k1 chunks.
With k2 < k1 the first k1 - k2 rows of a chunk only carry the state and give no loss: no gradient could reach them.

Every row is a forecast origin. In patches of p rows, every row that ends a patch is, and one of the others, drawn anew
each time: forecasts begin within a patch too, and neighbours teach much the same. Row by row, a decoder that takes many
steps for each origin would cost several times what the reading costs; there one row of two to four is drawn.
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
from lstmcast.forecast.network import carried, predicted_along
from lstmcast.net.architecture import Architecture
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.teacher import draw

State = tuple[Tensor, ...]

_STEPS, _FARTHEST = 8, 4  # decoded steps from which rows are left out; rows apart at most


class StreamObjective:
    """Contiguous lanes, state carried from chunk to chunk, every row a forecast origin."""

    def __init__(
        self, panel: Panel, parts: Split, network: Forecaster, *, lanes: int, k1: int, k2: int, seed: int
    ) -> None:
        dealt = deal(panel, parts.limit, lanes=lanes, rows=k1)
        self._lanes = Lanes(panel, dealt, rows=k1, horizon=network.architecture.horizon)
        self._k1, self._k2 = k1, k2
        self._reach = math.ceil(k2 / k1)
        self._position = 0
        self._entering: list[State] = []
        self._generator = torch.Generator().manual_seed(seed)

    def next_loss(self, network: Forecaster, *, told: float = 0.0) -> Loss:
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
                state = carried(network, head, state)
        for batch in batches[:-1]:
            state = carried(network, batch, state)
        now = batches[-1]
        shape = network.architecture
        origins = self._origins(now, shape)
        target, observed = now.target.flatten(0, 1)[origins], now.target_observed.flatten(0, 1)[origins]
        teacher = draw(target, observed, patch=shape.patch, share=told, generator=self._generator)
        prediction, state = predicted_along(network, now, state, origins=origins, teacher=teacher)
        loss = network.loss(prediction, target, observed)
        self._position += 1
        self._entering = [*self._entering, tuple(part.detach() for part in state)][-self._reach :]
        return Loss(loss, now)

    def _origins(self, chunk: Batch, shape: Architecture) -> Tensor:
        """int64 (V,) places lane·T + row of a chunk, which ends with a whole patch."""
        patch, (lanes, rows) = shape.patch, chunk.context.shape[:2]
        if patch > 1:
            ends = torch.arange(rows - 1, -1, -patch)
            others = ends - 1 - torch.randint(patch - 1, (lanes, len(ends)), generator=self._generator)
            places = torch.cat([ends.expand(lanes, -1), others], 1)
        elif (apart := _rows_apart(shape)) > 1:
            groups = torch.arange(0, rows, apart)
            places = groups + torch.randint(apart, (lanes, len(groups)), generator=self._generator)
        else:
            places = torch.arange(rows).expand(lanes, -1)
        inside = (places >= 0) & (places < rows)
        return (places + rows * torch.arange(lanes)[:, None])[inside].to(chunk.context.device)

    def state(self) -> dict[str, Any]:
        return {
            "position": self._position,
            "entering": list(self._entering),
            "generator": self._generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._position, self._entering = state["position"], list(state["entering"])
        self._generator.set_state(state["generator"])


def _rows_apart(shape: Architecture) -> int:
    """How many rows share an origin, where reading row by row."""
    return 1 if shape.decoder == "direct" else min(max(shape.horizon // _STEPS, 1), _FARTHEST)


def _divide(batch: Batch, rows: int) -> tuple[Batch, Batch]:
    """Split a chunk after ``rows`` rows; the second half continues the first, so it starts no lane."""
    over_time = ("context", "observed", "past", "target", "target_observed")
    head = replace(batch, **{name: getattr(batch, name)[:, :rows] for name in over_time})
    rest = {name: getattr(batch, name)[:, rows:] for name in over_time}
    return head, replace(batch, **rest, starts=torch.zeros_like(batch.starts), cutoff=batch.cutoff + rows)
