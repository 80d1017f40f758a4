"""All patches of the horizon at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS, Cell
from lstmcast.net.encoding import FACTS, Bridge, Encoding
from lstmcast.net.stack import Stack


class Parallel(nn.Module):
    """One step of the encoder from its final state on each query, q_j = position j + future covariates of patch j +
    facts about the history (Lin et al. 2023, SegRNN). The steps do not wait for each other and errors do not add up
    along the horizon.

    A bidirectional encoder has read the context to both ends: there a cell of the decoder's own takes the step, from
    a bridged state.
    """

    def __init__(self, architecture: Architecture, stack: Stack, *, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        a = architecture
        self.position = weights.normal(-(-a.horizon // a.patch), a.hidden, generator=generator)
        self.future = weights.linear(a.patch * a.ahead, a.hidden, generator=generator) if a.ahead else None
        self.facts = weights.linear(FACTS * a.targets, a.hidden, generator=generator) if a.facts else None
        self.dropout = nn.Dropout(a.dropout)
        self.write = weights.linear(a.hidden, outputs, generator=generator)
        self.relay = _Relay(a, stack, generator=generator) if a.bidirectional else None

    def forward(self, encoding: Encoding) -> Tensor:
        queries: Tensor = self.position  # (J, C): the cell's products with it are shared by all lanes
        if self.future is not None:
            queries = queries + self.future(encoding.future)  # (B, J, C)
        if self.facts is not None and encoding.facts is not None:
            queries = queries + torch.relu(self.facts(encoding.facts)).unsqueeze(1)
        step, state = encoding.step, encoding.state
        if self.relay is not None:
            step, state = self.relay.cell.step, self.relay.bridge(state)
        h, _ = step(queries, tuple(part.unsqueeze(1) for part in state))
        raw: Tensor = self.write(self.dropout(encoding.look(h)))
        return raw


class _Relay(nn.Module):
    def __init__(self, architecture: Architecture, stack: Stack, *, generator: torch.Generator) -> None:
        super().__init__()
        width = architecture.hidden
        self.cell: Cell = CELLS.load(architecture.cell)(width, width, generator=generator)
        self.bridge = Bridge(stack.state_widths, self.cell, generator=generator)
