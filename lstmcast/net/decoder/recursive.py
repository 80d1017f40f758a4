"""Patch after patch, by the encoder itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.encoding import Encoding
from lstmcast.net.stack import Stack


class Recursive(nn.Module):
    """Writes one patch from the encoder's output, feeds the median back as if it had been observed, and goes on from
    the encoder's own state. Future covariates of a patch are added to the output it is written from."""

    def __init__(self, architecture: Architecture, stack: Stack, *, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        a = architecture
        self.patches = -(-a.horizon // a.patch)
        self.dropout = nn.Dropout(a.dropout)
        self.write = weights.linear(stack.width, outputs, generator=generator)
        self.future = weights.linear(a.patch * a.ahead, stack.width, generator=generator) if a.ahead else None

    def forward(self, encoding: Encoding) -> Tensor:
        h, state = encoding.outputs, encoding.state
        written: list[Tensor] = []
        for j in range(self.patches):
            if j:
                h, state = encoding.step(encoding.feedback(written[-1], j - 1), state)
            seen = encoding.look(h)
            seen = seen if self.future is None else seen + self.future(encoding.future[:, j])
            written.append(self.write(self.dropout(seen)))
        return torch.stack(written, 1)
