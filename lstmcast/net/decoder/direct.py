"""The whole horizon from one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.architecture import Architecture
from lstmcast.net.encoding import Encoding
from lstmcast.net.stack import Stack


class Direct(nn.Module):
    """A linear layer from the encoder's last output to every step, plus one from each patch's future covariates."""

    def __init__(self, architecture: Architecture, stack: Stack, *, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        a = architecture
        self.outputs = outputs
        self.dropout = nn.Dropout(a.dropout)
        self.write = weights.linear(stack.width, -(-a.horizon // a.patch) * outputs, generator=generator)
        self.future = weights.linear(a.patch * a.ahead, outputs, generator=generator) if a.ahead else None

    def forward(self, encoding: Encoding) -> Tensor:
        raw = torch.unflatten(self.write(self.dropout(encoding.outputs)), -1, (-1, self.outputs))
        return raw if self.future is None else raw + self.future(encoding.future)
