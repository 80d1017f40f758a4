"""The window as a tree: an encoder that may stand where a stack stands."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import weights
from lstmcast.net.cells import State


class WindowTree(nn.Module):
    """Binary Tree-LSTM over the patches of a window (Tai, Socher & Manning 2015): leaves are patches, and pairs of
    older and newer neighbours are joined, level by level, so that P patches take ⌈log₂P⌉ sequential products.

    Pairs are formed from the newest patch backwards; an oldest node without a partner rises unchanged, as if the
    window had been filled up to a power of two with patches that say nothing. Read out are the nodes above the newest
    patch, the right spine, each with a learned weight; they are all there is to see of the newest rows. State (h, c):
    read-out and the root's cell. A further step joins the whole tree, as the older half, with one new leaf.

    Variables:
        ``leaf`` (3C, F) Xavier with ``leaf_bias`` (3C,), gates in the order i, g, o; ``older``, ``newer`` (5C, C)
        orthogonal per gate with ``bias`` (5C,), gates in the order i, f_older, f_newer, g, o; biases zero but for +1 on
        both forget gates; ``attention`` (C,) zero.
    Together 3C(F+1) + 5C(2C+1) + C.
    """

    directions: ClassVar[int] = 1

    def __init__(self, *, inputs: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width, self.state_widths = hidden, (hidden, hidden)
        self.leaf = weights.xavier(3 * hidden, inputs, generator=generator)
        self.leaf_bias = weights.zeros(3 * hidden)
        self.older = weights.orthogonal(5, hidden, generator=generator)
        self.newer = weights.orthogonal(5, hidden, generator=generator)
        self.bias = weights.zeros(5 * hidden)
        self.attention = weights.zeros(hidden)
        for forget in (1, 2):
            weights.remember(self.bias, forget=forget, admit=None, hidden=hidden, span=None, generator=generator)

    def initial_state(self, lanes: int) -> State:
        """What a tree over nothing would show."""
        zero = self.leaf.new_zeros(lanes, self.width)
        return zero, zero

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: ARG002
        """x (B, P, F): the right spine (B, ⌈log₂P⌉+1, C), newest leaf first, and the state. The state handed in is that
        of a beginning, since a tree does not continue."""
        nodes = self._leaf(x)
        spine = [nodes[0][:, -1]]
        while nodes[0].shape[1] > 1:
            nodes = self._level(nodes)
            spine.append(nodes[0][:, -1])
        outputs = torch.stack(spine, 1)
        return outputs, (self.last(outputs), nodes[1][:, 0])

    def last(self, outputs: Tensor) -> Tensor:
        """The read-out: the spine (B, ·, C) -> (B, C)."""
        shares = torch.softmax(outputs @ self.attention, 1)
        return (shares.unsqueeze(2) * outputs).sum(1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The tree joined with one more leaf x (..., F)."""
        h, c = self._join(state, self._leaf(x))
        return h, (h, c)

    def trace(self, x: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: ARG002
        """Refused: a tree is built once its last patch has arrived."""
        raise UsageError(
            "a tree over the window cannot be carried from row to row: its nodes are joined once the newest "
            "row is there",
            remedy="use encoder 'stack', or leave out --stateful",
        )

    def _level(self, nodes: State) -> State:
        alone = nodes[0].shape[1] % 2
        pairs = [torch.unflatten(part[:, alone:], 1, (-1, 2)) for part in nodes]
        joined = self._join((pairs[0][:, :, 0], pairs[1][:, :, 0]), (pairs[0][:, :, 1], pairs[1][:, :, 1]))
        return tuple(torch.cat([part[:, :alone], new], 1) for part, new in zip(nodes, joined, strict=True))

    def _leaf(self, x: Tensor) -> State:
        i, g, o = F.linear(x, self.leaf, self.leaf_bias).chunk(3, -1)
        c = torch.sigmoid(i) * torch.tanh(g)  #        (1) c = i⊙g of x alone
        return torch.sigmoid(o) * torch.tanh(c), c  #  (2) h = o⊙tanh c

    def _join(self, older: State, newer: State) -> State:
        sums = F.linear(older[0], self.older, self.bias) + F.linear(newer[0], self.newer)  # U_o h_o + U_n h_n + b
        i, f_older, f_newer, g, o = sums.chunk(5, -1)
        kept = torch.sigmoid(f_older) * older[1] + torch.sigmoid(f_newer) * newer[1]
        c = torch.sigmoid(i) * torch.tanh(g) + kept  # (3) c = i⊙g + f_o⊙c_o + f_n⊙c_n
        return torch.sigmoid(o) * torch.tanh(c), c  #  (4) h = o⊙tanh c
