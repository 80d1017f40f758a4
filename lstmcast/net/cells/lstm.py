"""Long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import State


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) with forget gate (Gers, Schmidhuber & Cummins 2000).

    State (h, c), each (B, C).

    Variables, in the layout of ``torch.nn.LSTM`` with the gates in the order i, f, g, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4C, C) orthogonal per gate; ``bias_ih`` (4C,) zero but for the
        forget gate's +1, so that memories last until training says otherwise; ``bias_hh`` (4C,) zero.
    Together 4C(C+F+1), and 4C more because torch keeps two bias vectors.
    """

    def __init__(self, inputs: int, hidden: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(4, hidden, generator=generator)
        self.bias_ih = weights.zeros(4 * hidden)
        self.bias_hh = weights.zeros(4 * hidden)
        weights.fill(self.bias_ih[hidden : 2 * hidden], 1.0)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = (F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)).chunk(
            4, -1
        )
        i = torch.sigmoid(i)  # (1) input gate    i = σ(W_i x + U_i h₋ + b_i)
        f = torch.sigmoid(f)  # (2) forget gate   f = σ(W_f x + U_f h₋ + b_f)
        g = torch.tanh(g)  #    (3) candidate     g = tanh(W_g x + U_g h₋ + b_g)
        o = torch.sigmoid(o)  # (4) output gate   o = σ(W_o x + U_o h₋ + b_o)
        c = f * c + i * g  #    (5) cell          c = f⊙c₋ + i⊙g
        h = o * torch.tanh(c)  # (6) output       h = o⊙tanh c
        return h, (h, c)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = (part.unsqueeze(0) for part in state)
        variables = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        output, h, c = torch.lstm(x, (h, c), variables, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return output, (h[0], c[0])

    def trace(self, x: Tensor, state: State) -> State:
        """The state after every step. The fused kernel keeps the cells to itself, but given its outputs all gates
        follow at once, and only the sum (5) has to wait for the step before."""
        h, c = state
        outputs, _ = self.native(x, state)
        i, f, g, _ = self._sums(x, torch.cat([h.unsqueeze(1), outputs[:, :-1]], 1))
        gains = torch.sigmoid(i) * torch.tanh(g)
        cells = []
        for f_t, gain_t in zip(torch.sigmoid(f).unbind(1), gains.unbind(1), strict=True):
            c = torch.addcmul(gain_t, f_t, c)
            cells.append(c)
        return outputs, torch.stack(cells, 1)

    def _sums(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        sums = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = sums.chunk(4, -1)
        return i, f, g, o
