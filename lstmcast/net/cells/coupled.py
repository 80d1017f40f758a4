"""LSTM with coupled input and forget gates."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class Coupled(nn.Module):
    """LSTM that takes in what it forgets, i = 1 − f (CIFG, Greff et al. 2015): an exponential smoother whose factor
    is learned and depends on what is seen. State (h, c), each (B, C).

    Variables, blocks in the order f, g, o:
        ``weight_ih`` (3C, F) Xavier; ``weight_hh`` (3C, C) orthogonal per block; ``bias`` (3C,) zero but for f: +1, or
        chrono with ``span``, see ``lstm``.
    Together 3C(C+F+1).
    """

    rule: ClassVar[str] = "coupled"
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(3 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(3, hidden, generator=generator)
        self.bias = weights.zeros(3 * hidden)
        weights.remember(self.bias, forget=0, admit=None, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, _ = state
        h = h if mask is None else h * mask
        f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(3, -1)
        return {
            "f": torch.sigmoid(f),  # (1) forget gate   f = σ(W_f x + U_f h₋ + b_f)
            "g": torch.tanh(g),  #    (2) candidate     g = tanh(W_g x + U_g h₋ + b_g)
            "o": torch.sigmoid(o),  # (3) output gate   o = σ(W_o x + U_o h₋ + b_o)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        f, g, o = self.gates(x, state, mask=mask).values()
        c = f * state[1] + (1 - f) * g  # (4) cell     c = f⊙c₋ + (1−f)⊙g
        h = o * torch.tanh(c)  #          (5) output   h = o⊙tanh c
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self.weight_hh, self.weight_ih, self.bias), x)
