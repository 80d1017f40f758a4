"""The detector's forecaster: a small recurrent network that is asked about single rows.

The context is folded into patches and read by the cell; each distance is a further step of the same cell, whose input
says how far ahead the row lies, what was observed near that time a day and a week before, and its phase.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.anomaly.lessons import DROPOUT, LARGEST_ERROR, LARGEST_PINBALL
from lstmcast.anomaly.sequences import BACKS, FACTS, LEVELS
from lstmcast.net import weights
from lstmcast.net.embed import Embed
from lstmcast.net.heads.quantile import QuantileHead
from lstmcast.net.stack import Stack

PATCH = 8


class Asked(NamedTuple):
    """``Questions`` as tensors."""

    context: Tensor
    known: Tensor
    facts: Tensor
    level: Tensor
    scale: Tensor


class RowForecaster(nn.Module):
    """Quantiles of a row from one, six and twenty-four rows before it, at ``LEVELS``.

    Weights are drawn from ``generator``; dropout in training draws from torch's own.
    """

    def __init__(self, *, cell: str, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embed = Embed(patch=PATCH, targets=1, covariates=0, hidden=hidden, generator=generator)
        self.stack = Stack(cell, inputs=hidden, hidden=hidden, generator=generator)
        self.position = weights.normal(len(BACKS), hidden, generator=generator)
        self.question = weights.linear(FACTS, hidden, generator=generator)
        self.head = QuantileHead(LEVELS)
        self.write = weights.linear(hidden, self.head.width, generator=generator)
        with torch.no_grad():
            self.position.mul_(0.5)
            self.question.weight.normal_(0, 0.5 / math.sqrt(FACTS), generator=generator)
            self.write.weight.normal_(0, 0.3 / math.sqrt(hidden), generator=generator)
            self.question.bias.zero_()
            self.write.bias.zero_()

    def forward(self, asked: Asked) -> Tensor:
        """Quantiles (B, H, Q), ascending, in the units of the questions."""
        rows = self.embed(asked.context[..., None], asked.known[..., None], asked.context[..., None][..., :0])
        _, state = self.stack(rows, self.stack.initial_state(len(rows)))
        step = self.position + self.question(asked.facts)
        read, _ = self.stack.step(step, tuple(part.unsqueeze(1) for part in state))
        raw = self.write(F.dropout(read, DROPOUT, self.training))
        return self.head.quantiles(raw, raw.new_zeros(raw.shape[:-1]))

    def loss(self, asked: Asked, answers: Tensor, counted: Tensor) -> Tensor:
        """Mean pinball loss of ``answers`` (B, H), where ``counted`` (B, H)."""
        error = ((answers - asked.level) / asked.scale).clamp(-LARGEST_ERROR, LARGEST_ERROR)
        error = error[..., None] - self(asked)
        level = error.new_tensor(LEVELS)
        pinball = 2 * torch.maximum(level * error, (level - 1) * error).clamp(max=LARGEST_PINBALL)
        return (pinball.mean(-1) * counted).sum() / counted.numel()
