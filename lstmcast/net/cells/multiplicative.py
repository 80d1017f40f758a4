"""LSTM with input-dependent transitions."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import weights
from lstmcast.net.cells import Packed, State

Form = Literal["product", "additive"]


class Multiplicative(nn.Module):
    """LSTM whose recurrent transition depends on the input (Krause et al. 2016). State (h, c), each (B, C).

    ``form`` "product": m = (W_m x)⊙(U_m h₋) takes the place of h₋ in all gates. "additive": the forget gate gains the
    summand W_mf(h₋⊙x), which needs F = C.

    Variables, gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, C) orthogonal per gate; ``bias`` (4C,) zero but for f, see
        ``lstm``; product: ``weight_mx`` (C, F) Xavier, ``weight_mh`` (C, C) orthogonal; additive: ``weight_mf`` (C, C)
        Xavier.
    Together 4C(C+F+1) + C(C+F) or, additive, 4C(C+F+1) + C².
    """

    rule: ClassVar[str] = "lstm"
    candidate: ClassVar[str] = "g"

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        form: Form = "product",
        span: int | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if form == "additive" and inputs != hidden:
            raise UsageError(
                f"the additive multiplicative cell multiplies its {inputs} inputs with its {hidden} hidden units one "
                "by one and needs as many of both",
                remedy="use the form 'product'",
            )
        self.inputs, self.hidden, self.form = inputs, hidden, form
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias = weights.zeros(4 * hidden)
        if form == "product":
            self.weight_mx = weights.xavier(hidden, inputs, generator=generator)
            self.weight_mh = weights.orthogonal(1, hidden, generator=generator)
        else:
            self.weight_mf = weights.xavier(hidden, hidden, generator=generator)
        weights.remember(self.bias, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, _ = state
        h = h if mask is None else h * mask
        m = h
        if self.form == "product":
            m = F.linear(x, self.weight_mx) * F.linear(h, self.weight_mh)  # (1) m = (W_m x)⊙(U_m h₋), else m = h₋
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(m, self.weight_hh)).chunk(4, -1)
        if self.form == "additive":
            f = f + F.linear(h * x, self.weight_mf)
        return {
            "i": torch.sigmoid(i),  # (2) input gate    i = σ(W_i x + U_i m + b_i)
            "f": torch.sigmoid(f),  # (3) forget gate   f = σ(W_f x + U_f m + b_f), additive: + W_mf(h₋⊙x)
            "g": torch.tanh(g),  #    (4) candidate     g = tanh(W_g x + U_g m + b_g)
            "o": torch.sigmoid(o),  # (5) output gate   o = σ(W_o x + U_o m + b_o)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, g, o = self.gates(x, state, mask=mask).values()
        c = f * state[1] + i * g  # (6) cell     c = f⊙c₋ + i⊙g
        h = o * torch.tanh(c)  #    (7) output   h = o⊙tanh c
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        if self.form == "product":
            weight = weights.stacked(self.weight_hh, self.weight_ih, self.bias)
            return Packed(weight, x, modulator=F.linear(x, self.weight_mx), modulating=self.weight_mh)
        crossing = F.pad(self.weight_mf, (0, 0, self.hidden, 2 * self.hidden))  # in the forget gate's rows alone
        weight = torch.cat([self.weight_hh, crossing, self.weight_ih, self.bias.unsqueeze(1)], 1)
        return Packed(weight, x, crossed=True)
