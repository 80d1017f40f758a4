"""The place of the recurrent encoder where there is none."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lstmcast.errors import UsageError
from lstmcast.net.cells import State


class Absent(nn.Module):
    """Reads nothing and has no weights: what is left of a forecast without recurrence.

    Its state is zero, and a step passes its input on through tanh, so that a decoder's queries (positions, covariates
    known ahead, facts about the history) still reach what it writes.
    """

    directions: ClassVar[int] = 1

    def __init__(self, *, hidden: int) -> None:
        super().__init__()
        self.width, self.state_widths = hidden, (hidden,)

    def initial_state(self, lanes: int) -> State:
        """Zero, now and for ever."""
        return (torch.zeros(lanes, self.width),)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, T, C): zero outputs and the state as it was."""
        return torch.zeros_like(x), tuple(part.to(x) for part in state)

    def last(self, outputs: Tensor) -> Tensor:
        """(B, T, C) -> (B, C)."""
        return outputs[:, -1]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (..., C) through tanh; the state only lends its lanes."""
        return torch.tanh(x + state[0]), state

    def trace(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: ARG002
        """Refused: there is no state to carry."""
        raise UsageError(
            "a network without an encoder carries no state from row to row",
            remedy="use encoder 'stack', or leave out --stateful",
        )
