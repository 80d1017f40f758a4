"""Kinship: what a series learns from those it is part of, and from those that are part of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights
from lstmcast.net.cells import State


class Kinship(nn.Module):
    """Child-Sum Tree-LSTM (Tai, Socher & Manning 2015) upward over the encodings of related series, and an LSTM step
    downward from each parent to its children. What both say is added to the encoding and to the state of each series.

    All series of one height, or one depth, are taken at once. Order and number of children do not matter; a series
    without relatives is a tree of its own, in which h̃ = 0 and nothing is kept.

    Variables, F wide the encoding, C wide the tree:
        ``up`` (4C, F) Xavier with ``up_bias`` (4C,), ``up_h`` (4C, C) orthogonal per gate, gates i, f, u, o;
        ``down`` (4C, C) Xavier with ``down_bias`` (4C,), ``down_h`` (4C, C) orthogonal per gate, gates i, f, g, o;
        biases zero but for +1 on both forget gates; ``tell`` (W, 2C) with a bias, zero, for the W numbers of encoding
        and state together: at the start every series stands for itself.
    Together 4C(F+C+1) + 4C(2C+1) + W(2C+1).
    """

    def __init__(self, *, inputs: int, hidden: int, state_widths: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.hidden, self._widths = hidden, (inputs, *state_widths)
        self.up = weights.xavier(4 * hidden, inputs, generator=generator)
        self.up_bias = weights.zeros(4 * hidden)
        self.up_h = weights.orthogonal(4, hidden, generator=generator)
        self.down = weights.xavier(4 * hidden, hidden, generator=generator)
        self.down_bias = weights.zeros(4 * hidden)
        self.down_h = weights.orthogonal(4, hidden, generator=generator)
        self.tell = weights.silent_linear(2 * hidden, sum(self._widths))
        for bias in (self.up_bias, self.down_bias):
            weights.remember(bias, forget=1, admit=None, hidden=hidden, span=None, generator=generator)

    def forward(self, x: Tensor, state: State, parents: Tensor | None) -> tuple[Tensor, State]:
        """Encodings x (B, F) and states, each (B, ·), with what relatives add to them. ``parents`` int64 (B,) is the
        lane of each one's parent, -1 where it has none; None: nobody has."""
        levels = _levels(parents, len(x), x.device)
        above = x.new_full((len(x),), -1, dtype=torch.int64) if parents is None else parents
        h, _ = self.upward(x, above, levels)
        told = self.tell(torch.cat([h, self.downward(h, above, levels)], -1))
        more, *parts = torch.split(told, list(self._widths), -1)
        return x + more, tuple(own + part for own, part in zip(state, parts, strict=True))

    def upward(self, x: Tensor, parents: Tensor, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """h and c (B, C) of every node, deepest ``levels`` first, one product for each level."""
        own = F.linear(x, self.up, self.up_bias)
        on_sum, on_each = self._split(self.up_h)
        sums = x.new_zeros(len(x), self.hidden)  # h̃_j of the children that are done
        kept = torch.zeros_like(sums)  # Σ_k f_jk⊙c_k
        done, places = [], []
        for depth in range(len(levels) - 1, -1, -1):
            at = levels[depth]
            told = torch.unflatten(own[at], -1, (4, -1))
            i, u, o = (told[:, [0, 2, 3]] + torch.unflatten(F.linear(sums[at], on_sum), -1, (3, -1))).unbind(1)
            c = torch.sigmoid(i) * torch.tanh(u) + kept[at]
            h = torch.sigmoid(o) * torch.tanh(c)
            done.append((h, c))
            places.append(at)
            if depth:
                above = parents[at]
                f = torch.sigmoid(torch.unflatten(own[above], -1, (4, -1))[:, 1] + F.linear(h, on_each))
                sums, kept = sums.index_add(0, above, h), kept.index_add(0, above, f * c)
        order = torch.cat(places).argsort()
        return torch.cat([h for h, _ in done])[order], torch.cat([c for _, c in done])[order]

    def downward(self, h: Tensor, parents: Tensor, levels: list[Tensor]) -> Tensor:
        """What each node has heard from above, (B, C): an LSTM step on its own h from the state of its parent."""
        own = F.linear(h, self.down, self.down_bias)
        g, d = torch.zeros_like(h), torch.zeros_like(h)
        for depth, at in enumerate(levels):
            before = (g[parents[at]], d[parents[at]]) if depth else (g[at], d[at])
            new_g, new_d = self._heard(own[at], before)
            g, d = g.index_copy(0, at, new_g), d.index_copy(0, at, new_d)
        return g

    def node(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One node as in the paper: its encoding x (F,) and the h and c (K, C) of its K children; h and c (C,)."""
        i, f, u, o = F.linear(x, self.up, self.up_bias).chunk(4)  #        W x + b
        u_i, u_f, u_u, u_o = self.up_h.chunk(4)
        total = h.sum(0)  #                                                 (2) h̃_j = Σ_k h_k
        i = torch.sigmoid(i + u_i @ total)  #                               (3)
        forget = torch.sigmoid(f + h @ u_f.T)  #                            (4) f_jk, one for each child
        o = torch.sigmoid(o + u_o @ total)  #                               (5)
        u = torch.tanh(u + u_u @ total)  #                                  (6)
        c = i * u + (forget * c).sum(0)  #                                  (7) c_j = i⊙u + Σ_k f_jk⊙c_k
        return o * torch.tanh(c), c  #                                      (8)

    def _heard(self, own: Tensor, before: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        i, f, g, o = (own + F.linear(before[0], self.down_h)).chunk(4, -1)
        c = torch.sigmoid(f) * before[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def _split(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of h̃ for i, u, o (3C, C), and those of each child's h for its forget gate (C, C)."""
        i, f, u, o = weight.chunk(4)
        return torch.cat([i, u, o]), f


def _levels(parents: Tensor | None, lanes: int, device: torch.device) -> list[Tensor]:
    """The lanes by their distance from the root, roots first."""
    if parents is None:
        return [torch.arange(lanes, device=device)]
    depth = torch.where(parents < 0, 0, -1)
    levels = [(depth == 0).nonzero()[:, 0]]
    while True:
        below = (parents >= 0) & (depth < 0) & (depth[parents.clamp(min=0)] == len(levels) - 1)
        found = below.nonzero()[:, 0]
        if not len(found):
            return levels
        depth = torch.where(below, len(levels), depth)
        levels.append(found)
