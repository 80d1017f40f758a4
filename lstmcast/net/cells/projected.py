"""LSTM with a projected output."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class Projected(nn.Module):
    """LSTM that reads and shows a projection of its memory (LSTMP, Sak, Senior & Beaufays 2014): much is remembered
    while the recurrent product stays small. ``hidden`` R is the width of h, ``memory`` C that of the cell, 2R if not
    given. State (h, c), (B, R) and (B, C).

    Variables, in the layout of ``torch.nn.LSTM`` with ``proj_size``, gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, R) orthogonal per gate; ``weight_hr`` (R, C) Xavier;
        ``bias_ih``, ``bias_hh`` (4C,) zero but for f, see ``lstm``.
    Together 4C(R+F+1) + RC, and 4C more because torch keeps two bias vectors.
    """

    rule: ClassVar[str] = "lstm"
    candidate: ClassVar[str] = "g"

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        memory: int | None = None,
        span: int | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.inputs, self.hidden, self.memory = inputs, hidden, memory or 2 * hidden
        self.weight_ih = weights.xavier(4 * self.memory, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, self.memory, hidden, generator=generator)
        self.weight_hr = weights.xavier(hidden, self.memory, generator=generator)
        self.bias_ih = weights.zeros(4 * self.memory)
        self.bias_hh = weights.zeros(4 * self.memory)
        weights.remember(self.bias_ih, forget=1, admit=0, hidden=self.memory, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        return self.weight_hh.new_zeros(lanes, self.hidden), self.weight_hh.new_zeros(lanes, self.memory)

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
        c = f * state[1] + i * g  # (5) cell                        c = f⊙c₋ + i⊙g
        h = F.linear(o * torch.tanh(c), self.weight_hr)  # (6) output  h = W_p(o⊙tanh c)
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        weight = weights.stacked(self.weight_hh, self.weight_ih, self.bias_ih + self.bias_hh)
        return Packed(weight, x, projection=self.weight_hr)
