"""LSTM with a highway past each step."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class Highway(nn.Module):
    """LSTM with a fifth gate that decides how much of the old output stays (after Zilly et al. 2017, and Zhang et al.
    2016): where T is shut, h passes unchanged through any number of steps. State (h, c), each (B, C).

    Variables, gates in the order i, f, g, o, T:
        ``weight_ih`` (5C, F) Xavier; ``weight_hh`` (5C, C) orthogonal per gate; ``bias`` (5C,) zero but for f, see
        ``lstm``, and +1 on T, so that it starts close to an ``lstm``.
    Together 5C(C+F+1).
    """

    rule: ClassVar[str] = "highway"
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(5 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(5, hidden, generator=generator)
        self.bias = weights.zeros(5 * hidden)
        weights.remember(self.bias, forget=1, admit=0, hidden=hidden, span=span, generator=generator)
        weights.remember(self.bias, forget=4, admit=None, hidden=hidden, span=None, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, _ = state
        h = h if mask is None else h * mask
        i, f, g, o, T = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(5, -1)
        return {
            "i": torch.sigmoid(i),  # (1) input gate       i = σ(W_i x + U_i h₋ + b_i)
            "f": torch.sigmoid(f),  # (2) forget gate      f = σ(W_f x + U_f h₋ + b_f)
            "g": torch.tanh(g),  #    (3) candidate        g = tanh(W_g x + U_g h₋ + b_g)
            "o": torch.sigmoid(o),  # (4) output gate      o = σ(W_o x + U_o h₋ + b_o)
            "T": torch.sigmoid(T),  # (5) transform gate   T = σ(W_T x + U_T h₋ + b_T)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, g, o, T = self.gates(x, state, mask=mask).values()
        before, c = state
        c = f * c + i * g  # (6) cell                           c = f⊙c₋ + i⊙g
        h = T * (o * torch.tanh(c)) + (1 - T) * before  # (7)   h = T⊙(o⊙tanh c) + (1−T)⊙h₋
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self.weight_hh, self.weight_ih, self.bias), x)
