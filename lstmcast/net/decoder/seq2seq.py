"""Patch after patch, by a second cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS
from lstmcast.net.encoding import Bridge, Encoding
from lstmcast.net.stack import Stack


class Seq2Seq(nn.Module):
    """Sequence to sequence (Sutskever, Vinyals & Le 2014): a cell of its own, begun from the bridged state of the
    encoder, reads the patch before, first the last of the context, then its own medians, and writes the next.
    Future covariates of a patch are added to the input it is written from."""

    def __init__(self, architecture: Architecture, stack: Stack, *, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        a = architecture
        self.patches = -(-a.horizon // a.patch)
        self.cell = CELLS.load(a.cell)(a.hidden, a.hidden, generator=generator)
        self.bridge = Bridge(stack.state_widths, self.cell, generator=generator)
        self.future = weights.linear(a.patch * a.ahead, a.hidden, generator=generator) if a.ahead else None
        self.dropout = nn.Dropout(a.dropout)
        self.write = weights.linear(a.hidden, outputs, generator=generator)

    def forward(self, encoding: Encoding) -> Tensor:
        state = self.bridge(encoding.state)
        written: list[Tensor] = []
        for j in range(self.patches):
            before = encoding.feedback(written[-1], j - 1) if j else encoding.newest
            x = before if self.future is None else before + self.future(encoding.future[:, j])
            h, state = self.cell.step(x, state)
            written.append(self.write(self.dropout(encoding.look(h))))
        return torch.stack(written, 1)
