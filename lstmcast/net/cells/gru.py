"""Gated recurrent unit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class GRU(nn.Module):
    """Gated recurrent unit (Cho et al. 2014) in the form of ``torch.nn.GRU``, the reset after the product U_n h₋.

    z keeps the old state here; in the paper it admits the new one, which is a matter of naming. State (h,), (B, C).

    Variables, in the layout of ``torch.nn.GRU`` with the gates in the order r, z, n:
        ``weight_ih`` (3C, F) Xavier; ``weight_hh`` (3C, C) orthogonal per gate; ``bias_ih``, ``bias_hh`` (3C,) zero but
        for z, the gate that keeps: +1, or with ``span`` chrono, as the forget gate's in ``lstm``.
    Together 3C(C+F+1), and 3C more because torch keeps two bias vectors.
    """

    rule: ClassVar[str] = "gru"
    candidate: ClassVar[str] = "n"

    def __init__(self, inputs: int, hidden: int, *, span: int | None = None, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.weight_ih = weights.xavier(3 * hidden, inputs, generator=generator)
        self.weight_hh = weights.orthogonal(3, hidden, generator=generator)
        self.bias_ih = weights.zeros(3 * hidden)
        self.bias_hh = weights.zeros(3 * hidden)
        weights.remember(self.bias_ih, forget=1, admit=None, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        return (self.weight_hh.new_zeros(lanes, self.hidden),)

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        (h,) = state
        x_r, x_z, x_n = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h if mask is None else h * mask, self.weight_hh, self.bias_hh).chunk(3, -1)
        r = torch.sigmoid(x_r + h_r)  #    (1) reset gate   r = σ(W_r x + U_r h₋ + b_r)
        z = torch.sigmoid(x_z + h_z)  #    (2) update gate  z = σ(W_z x + U_z h₋ + b_z)
        n = torch.tanh(x_n + r * h_n)  #   (3) candidate    n = tanh(W_n x + b_n + r⊙(U_n h₋ + b_un))
        return {"r": r, "z": z, "n": n}

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        _, z, n = self.gates(x, state, mask=mask).values()
        h = (1 - z) * n + z * state[0]  #  (4) output       h = (1−z)⊙n + z⊙h₋
        return h, (h,)

    def packed(self, x: Tensor) -> Packed:
        """Four blocks, r, z, and the two summands of n apart: the reset falls between them."""
        two = 2 * self.hidden
        bias = self.bias_ih + self.bias_hh
        gates = weights.stacked(self.weight_hh[:two], self.weight_ih[:two], bias[:two])
        nothing_h, nothing_x = torch.zeros_like(self.weight_hh[two:]), torch.zeros_like(self.weight_ih[two:])
        outer = weights.stacked(nothing_h, self.weight_ih[two:], self.bias_ih[two:])
        inner = weights.stacked(self.weight_hh[two:], nothing_x, self.bias_hh[two:])
        return Packed(torch.cat([gates, outer, inner]), x)

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        variables = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        output, h = torch.gru(x, state[0].unsqueeze(0), variables, True, 1, 0.0, torch.is_grad_enabled(), False, True)
        return output, (h[0],)
