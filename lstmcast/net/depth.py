"""Depth: a cell whose memory also takes in the memory of the layer below, through a gate of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class DepthGated(nn.Module):
    """LSTM above the first layer of a stack, with a depth gate (Yao et al. 2015; highway LSTM of Zhang et al. 2016).

    It reads [x | c'], x the output and c' the memory of the layer below at the same step. State (h, c), each (B, C).

    Variables: those of ``lstm`` and, for the depth gate, ``weight_d`` (C, C) Xavier, ``look_d`` (2, C) on c₋ and c' and
    ``bias_d`` (C,), zero: the gate begins half open. Together 4C(C+F+1) + 4C and C(F+3) more.
    """

    rule: ClassVar[str] = ""
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs + hidden, hidden
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias_ih = weights.zeros(4 * hidden)
        self.bias_hh = weights.zeros(4 * hidden)
        self.weight_d = weights.xavier(hidden, inputs, generator=generator)
        self.look_d = weights.zeros(2, hidden)
        self.bias_d = weights.zeros(hidden)
        weights.remember(self.bias_ih, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, c = state
        h = h if mask is None else h * mask
        x, below = x[..., : -self.hidden], x[..., -self.hidden :]
        sums = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = sums.chunk(4, -1)
        d = F.linear(x, self.weight_d, self.bias_d) + self.look_d[0] * c + self.look_d[1] * below
        return {
            "i": torch.sigmoid(i),  # (1) input gate    i = σ(W_i x + U_i h₋ + b_i)
            "f": torch.sigmoid(f),  # (2) forget gate   f = σ(W_f x + U_f h₋ + b_f)
            "g": torch.tanh(g),  #    (3) candidate     g = tanh(W_g x + U_g h₋ + b_g)
            "o": torch.sigmoid(o),  # (4) output gate   o = σ(W_o x + U_o h₋ + b_o)
            "d": torch.sigmoid(d),  # (5) depth gate    d = σ(W_d x + v⊙c₋ + u⊙c' + b_d)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, g, o, d = self.gates(x, state, mask=mask).values()
        c = d * x[..., -self.hidden :] + f * state[1] + i * g  # (6) cell   c = d⊙c' + f⊙c₋ + i⊙g
        h = o * torch.tanh(c)  #                                 (7) output h = o⊙tanh c
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:  # noqa: ARG002
        """Refused: the shared loop knows nothing of layers."""
        raise UsageError("a depth gate has no fast road", remedy="run it by its own steps")
