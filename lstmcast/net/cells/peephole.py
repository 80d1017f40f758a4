"""LSTM with peepholes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class Peephole(nn.Module):
    """LSTM whose gates see the cell (Gers & Schmidhuber 2000): i and f the old one, o the new one. State (h, c).

    Variables, gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, C) orthogonal per gate; ``bias`` (4C,) zero but for f, see
        ``lstm``; ``peepholes`` (3, C) of i, f, o, zero, so that it starts as an ``lstm``.
    Together 4C(C+F+1) + 3C.
    """

    rule: ClassVar[str] = "peephole"
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias = weights.zeros(4 * hidden)
        self.peepholes = weights.zeros(3, hidden)
        weights.remember(self.bias, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        i, f, g, o, _ = self._activated(x, state, mask)
        return {"i": i, "f": f, "g": g, "o": o}

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        _, _, _, o, c = self._activated(x, state, mask)
        h = o * torch.tanh(c)  #          (6) output        h = o⊙tanh c
        return h, (h, c)

    def _activated(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """i, f, g, o, and the new cell, which o has to see."""
        h, c = state
        h = h if mask is None else h * mask
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self.weight_hh)).chunk(4, -1)
        v_i, v_f, v_o = self.peepholes
        i = torch.sigmoid(i + v_i * c)  # (1) input gate    i = σ(W_i x + U_i h₋ + V_i⊙c₋ + b_i)
        f = torch.sigmoid(f + v_f * c)  # (2) forget gate   f = σ(W_f x + U_f h₋ + V_f⊙c₋ + b_f)
        g = torch.tanh(g)  #              (3) candidate     g = tanh(W_g x + U_g h₋ + b_g)
        c = f * c + i * g  #              (4) cell          c = f⊙c₋ + i⊙g
        o = torch.sigmoid(o + v_o * c)  # (5) output gate   o = σ(W_o x + U_o h₋ + V_o⊙c + b_o)
        return i, f, g, o, c

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self.weight_hh, self.weight_ih, self.bias), x, parameters=(self.peepholes,))
