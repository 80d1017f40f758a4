"""Long short-term memory."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000).

    State (h, c), each (B, C).

    Variables, in the layout of ``torch.nn.LSTM`` with the gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, C) orthogonal per gate; ``bias_ih`` (4C,) zero but for the
        forget gate's +1, so that memories last until training says otherwise; ``bias_hh`` (4C,) zero. With ``span``
        the gates start with memories of all lengths up to so many steps (chrono, Tallec & Ollivier 2018).
    Together 4C(C+F+1), and 4C more because torch keeps two bias vectors.
    """

    rule: ClassVar[str] = "lstm"
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias_ih = weights.zeros(4 * hidden)
        self.bias_hh = weights.zeros(4 * hidden)
        weights.remember(self.bias_ih, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, _ = state
        h = h if mask is None else h * mask
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)).chunk(
            4, -1
        )
        return {
            "i": torch.sigmoid(i),  # (1) input gate    i = σ(W_i x + U_i h₋ + b_i)
            "f": torch.sigmoid(f),  # (2) forget gate   f = σ(W_f x + U_f h₋ + b_f)
            "g": torch.tanh(g),  #    (3) candidate     g = tanh(W_g x + U_g h₋ + b_g)
            "o": torch.sigmoid(o),  # (4) output gate   o = σ(W_o x + U_o h₋ + b_o)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, g, o = self.gates(x, state, mask=mask).values()
        c = f * state[1] + i * g  # (5) cell     c = f⊙c₋ + i⊙g
        h = o * torch.tanh(c)  #    (6) output   h = o⊙tanh c
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self.weight_hh, self.weight_ih, self.bias_ih + self.bias_hh), x)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = (part.unsqueeze(0) for part in state)
        variables = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        output, h, c = torch.lstm(x, (h, c), variables, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return output, (h[0], c[0])
