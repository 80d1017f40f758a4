"""The joint between encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.cells import Cell, State
from lstmcast.net.smoothing import METHODS

FACTS = 4 + 2 * len(METHODS)
"""Numbers per target that describe a history: log length, log spread over level, seasonal or not, level, and the first
and last step of each classical method."""


class Encoding(NamedTuple):
    """What a decoder knows when it starts to write. J = ⌈H/p⌉ patches, O = p·D·width numbers each.

    ``outputs``  (B, W) the encoder's output where it has read everything
    ``state``    the encoder's state at the cutoff
    ``step``     one further step of the encoder: (..., C), state -> (..., C), state
    ``newest``   (B, C) the embedded last patch of the context
    ``future``   (B, J, p·(Kf+E)) covariates known ahead, standardised, and the E numbers of static ones
    ``facts``    (B, FACTS·D) what is known of the history as a whole, or None
    ``feedback`` raw numbers (B, O) of patch j, and j -> (B, C) that patch's median, embedded like a patch of context
    ``look``     h (B, C) or (B, J, C) -> the same with what attention finds in the encoder's outputs
    """

    outputs: Tensor
    state: State
    step: Callable[[Tensor, State], tuple[Tensor, State]]
    newest: Tensor
    future: Tensor
    facts: Tensor | None
    feedback: Callable[[Tensor, int], Tensor]
    look: Callable[[Tensor], Tensor]


class Bridge(nn.Module):
    """Carries an encoder's state over to another cell by one linear map from all of its parts."""

    def __init__(self, state_widths: tuple[int, ...], cell: Cell, *, generator: torch.Generator) -> None:
        super().__init__()
        self.widths = [part.shape[1] for part in cell.initial_state(1)]
        self.linear = weights.linear(sum(state_widths), sum(self.widths), generator=generator)

    def forward(self, state: State) -> State:
        return torch.split(self.linear(torch.cat(state, -1)), self.widths, -1)
