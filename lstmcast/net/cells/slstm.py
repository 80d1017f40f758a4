"""LSTM with exponential gates."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import weights
from lstmcast.net.cells import Packed, State


class SLSTM(nn.Module):
    """LSTM with an exponential input gate and a normalised memory (Beck et al. 2024): a new value can outweigh
    everything remembered. State (h, c, n, m), each (B, C): output, cell, normaliser and stabiliser.

    It begins as if one zero had been seen (n = 1, m = 0), which keeps n ≥ 1 and c/n defined; states handed in from
    elsewhere are read with n not below 1. Units of a head see each other; ``heads`` is 4 where that divides C, else 1.

    Variables, blocks in the order i, f, z, o:
        ``weight_ih`` (4C, F) Xavier; ``weight_hh`` (4·heads, C/heads, C/heads) orthogonal blocks; ``bias`` (4C,) zero
        but for f, see ``lstm``.
    Together 4C(C/heads+F+1).
    """

    rule: ClassVar[str] = "slstm"
    candidate: ClassVar[str] = "z"

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        heads: int | None = None,
        span: int | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.heads = heads or (4 if hidden % 4 == 0 else 1)
        if hidden % self.heads:
            raise UsageError(
                f"{hidden} hidden units cannot be shared out among {self.heads} heads", remedy="use --heads 1"
            )
        self.inputs, self.hidden = inputs, hidden
        width = hidden // self.heads
        self.weight_ih = weights.xavier(4 * hidden, inputs, generator=generator)
        blocks = weights.orthogonal(4 * self.heads, width, generator=generator)
        self.weight_hh = nn.Parameter(torch.unflatten(blocks.detach(), 0, (4 * self.heads, width)))
        self.bias = weights.zeros(4 * hidden)
        weights.remember(self.bias, forget=1, admit=0, hidden=hidden, span=span, generator=generator)

    def initial_state(self, lanes: int) -> State:
        zero = self.weight_hh.new_zeros(lanes, self.hidden)
        return zero, zero, torch.ones_like(zero), zero

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        i, f, z, o, _ = self._activated(x, state, mask)
        return {"i": i, "f": f, "z": z, "o": o}

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        i, f, z, o, m = self._activated(x, state, mask)
        _, c, n, _ = state
        c = f * c + i * z  #              (6) cell           c = f'⊙c₋ + i'⊙z
        n = f * n + i  #                  (7) normaliser     n = f'⊙n₋ + i'
        h = o * c / n.clamp(min=1)  #     (8) output         h = o⊙c/n
        return h, (h, c, n, m)

    def _activated(self, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """i', f', z, o and the stabiliser m."""
        h, _, _, m = state
        h = h if mask is None else h * mask
        i, f, z, o = (F.linear(x, self.weight_ih, self.bias) + F.linear(h, self._recurrent())).chunk(4, -1)
        z = torch.tanh(z)  #              (1) candidate      z = tanh(W_z x + U_z h₋ + b_z)
        o = torch.sigmoid(o)  #           (2) output gate    o = σ(W_o x + U_o h₋ + b_o)
        reach = F.logsigmoid(f) + m
        m = torch.maximum(reach, i)  #    (3) stabiliser     m = max(log σ(f̃) + m₋, ĩ)
        i = torch.exp(i - m)  #           (4) input gate     i' = exp(ĩ − m)
        f = torch.exp(reach - m)  #       (5) forget gate    f' = exp(log σ(f̃) + m₋ − m)
        return i, f, z, o, m

    def packed(self, x: Tensor) -> Packed:
        return Packed(weights.stacked(self._recurrent(), self.weight_ih, self.bias), x)

    def _recurrent(self) -> Tensor:
        """(4C, C) with the heads' blocks on the diagonal of each gate."""
        gates = torch.unflatten(self.weight_hh, 0, (4, self.heads))
        return torch.diag_embed(gates.permute(0, 2, 3, 1), dim1=1, dim2=3).reshape(4 * self.hidden, self.hidden)
