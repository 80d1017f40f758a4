"""LSTM with layer normalisation."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class LayerNorm(nn.Module):
    """LSTM whose sums and cell are standardised over the units of each gate (Ba, Kiros & Hinton 2016), so that neither
    depends on the scale of inputs or weights. State (h, c), each (B, C).

    Variables, gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, C) orthogonal per gate; ``bias`` (4C,) zero but for f, see
        ``lstm``; ``gain_ih``, ``gain_hh`` (4C,) and ``gain_c`` (C,) one; ``bias_c`` (C,) zero.
    Together 4C(C+F+1) + 10C.
    """

    rule: ClassVar[str] = "layernorm"
    candidate: ClassVar[str] = "g"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias = weights.zeros(4 * hidden)
        self.gain_ih = weights.ones(4 * hidden)
        self.gain_hh = weights.ones(4 * hidden)
        self.gain_c = weights.ones(hidden)
        self.bias_c = weights.zeros(hidden)
        weights.remember(self.bias, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        h, _ = state
        h = h if mask is None else h * mask
        recurrent = self._standardised(F.linear(h, self.weight_hh)) * self.gain_hh
        i, f, g, o = (self._arriving(x) + recurrent).chunk(4, -1)
        return {
            "i": torch.sigmoid(i),  # (1) input gate    i = σ(LN(W_i x) + LN(U_i h₋) + b_i)
            "f": torch.sigmoid(f),  # (2) forget gate   f = σ(LN(W_f x) + LN(U_f h₋) + b_f)
            "g": torch.tanh(g),  #    (3) candidate     g = tanh(LN(W_g x) + LN(U_g h₋) + b_g)
            "o": torch.sigmoid(o),  # (4) output gate   o = σ(LN(W_o x) + LN(U_o h₋) + b_o)
        }

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, g, o = self.gates(x, state, mask=mask).values()
        c = f * state[1] + i * g  # (5) cell   c = f⊙c₋ + i⊙g
        h = o * torch.tanh(F.layer_norm(c, (self.hidden,), self.gain_c, self.bias_c))  # (6) h = o⊙tanh LN(c)
        return h, (h, c)

    def packed(self, x: Tensor) -> Packed:
        """Weights are centred over the units of each gate, so that no sum has a mean to be taken away."""
        recurrent, arriving = (weight.flatten(0, 1) for weight in map(self._centred, (self.weight_hh, self.weight_ih)))
        parameters = (self.gain_hh, self.gain_ih, self.bias, self.gain_c, self.bias_c)
        return Packed(recurrent, x, arriving=arriving, parameters=parameters)

    def _centred(self, weight: Tensor) -> Tensor:
        gates = torch.unflatten(weight, 0, (4, self.hidden))
        return gates - gates.mean(1, keepdim=True)

    def _arriving(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, self._standardised(F.linear(x, self.weight_ih)), self.gain_ih)

    def _standardised(self, sums: Tensor) -> Tensor:
        gates = torch.unflatten(sums, -1, (4, self.hidden))
        return F.layer_norm(gates, (self.hidden,)).flatten(-2)
