"""Plain recurrence."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class RNN(nn.Module):
    """Simple recurrent network (Elman 1990): what the gates of the other cells repair. State (h,), (B, C).

    Variables, in the layout of ``torch.nn.RNN``:
        ``weight_ih`` (C, F) Xavier; ``weight_hh`` (C, C) orthogonal; ``bias_ih``, ``bias_hh`` (C,) zero.
    Together C(C+F+1), and C more because torch keeps two bias vectors.
    """

    rule: ClassVar[str] = "rnn"
    candidate: ClassVar[str] = ""

    def __init__(self, inputs: int, hidden: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(1, hidden, generator=generator)
        self.bias_ih = weights.zeros(hidden)
        self.bias_hh = weights.zeros(hidden)

    def initial_state(self, lanes: int) -> State:
        return (self.weight_hh.new_zeros(lanes, self.hidden),)

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """It has none."""
        return {}

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        (h,) = state
        h = h if mask is None else h * mask
        h = torch.tanh(  # (1) h = tanh(W x + U h₋ + b)
            F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        )
        return h, (h,)

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self.weight_hh, self.weight_ih, self.bias_ih + self.bias_hh), x)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        variables = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        train = torch.is_grad_enabled()
        output, h = torch.rnn_tanh(x, state[0].unsqueeze(0), variables, True, 1, 0.0, train, False, True)
        return output, (h[0],)
