"""Self-attention over the patches of the context."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lstmcast.errors import UsageError
from lstmcast.net.architecture import Architecture
from lstmcast.net.forecaster import Forecaster
from lstmcast.study import UNASKED

State = tuple[Tensor, ...]
_HEADS = (4, 2, 1)
_WIDER = 4  # the feed-forward layers, as in the paper


class Transformer:
    """The encoder of Vaswani et al. (2017), torch's own, over the same patches with learned positions.

    Every patch sees every other at once: the path between two of them has length one, and the memory for it grows with
    the square of their number. The horizon is written by one linear layer from the newest patch.
    """

    def architecture(self, given: Architecture) -> Architecture:
        if given.stateful:
            raise UsageError(
                "comparator 'transformer' reads whole windows and carries no state from row to row",
                remedy="leave it out of --cells, or leave out --stateful",
            )
        plain = {"cell": "rnn", "layers": 1, "residual": False, "bidirectional": False, "decoder": "direct"}
        return replace(given, facts=False, **plain, **UNASKED)  # type: ignore[arg-type]  # the values fit their fields

    def move_into(self, network: Forecaster, *, generator: torch.Generator) -> None:
        shape = network.architecture
        patches = -(-shape.context // shape.patch)
        network.add_module(
            "stack", SelfAttention(patches, shape.hidden, layers=1, dropout=shape.dropout, generator=generator)
        )


class SelfAttention(nn.Module):
    """``layers`` blocks over x (B, P, C), normalised before each part; takes the place of a stack of cells."""

    state_widths: tuple[int, ...] = ()

    def __init__(self, patches: int, hidden: int, *, layers: int, dropout: float, generator: torch.Generator) -> None:
        super().__init__()
        heads = next(count for count in _HEADS if hidden % count == 0)
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(seed)
            block = nn.TransformerEncoderLayer(
                hidden, heads, dim_feedforward=_WIDER * hidden, dropout=dropout, batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(block, layers, norm=nn.LayerNorm(hidden), enable_nested_tensor=False)
            self.position = nn.Parameter(0.02 * torch.randn(patches, hidden))
        self.width = hidden

    def initial_state(self, lanes: int) -> State:  # noqa: ARG002  # it has none, however many lanes there are
        return ()

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        read: Tensor = self.blocks(x + self.position)
        return read, state

    def last(self, outputs: Tensor) -> Tensor:
        return outputs[:, -1]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: ARG002  # what a stack promises
        raise UsageError("self-attention has no next step to take", remedy="use decoder direct")
