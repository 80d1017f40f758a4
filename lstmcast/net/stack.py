"""Layers of cells: depth, direction, residual paths and dropout between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net.cells import CELLS, Cell, State
from lstmcast.net.scan import scan, trace

Advance: TypeAlias = Callable[[Cell, Tensor, State], State]


class Stack(nn.Module):
    """``layers`` cells on top of each other, in one or both directions of time.

    Its state is the flat tuple of its cells' states, layer by layer, the forward cell's before the backward one's.
    ``residual`` adds the input of every layer but the first to its output.
    ``width`` is the width of its output: C, or 2C with both directions; ``state_widths`` that of each state tensor.
    """

    def __init__(
        self,
        cell: str,
        *,
        inputs: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.residual, self.dropout = residual, dropout
        self.width = hidden * (2 if bidirectional else 1)
        self.directions = 2 if bidirectional else 1
        build = CELLS.load(cell)
        widths = [inputs] + [self.width] * (layers - 1)
        self.cells = nn.ModuleList(
            build(width, hidden, generator=generator) for width in widths for _ in range(self.directions)
        )
        one_lane = self.initial_state(1)
        self.state_widths = tuple(part.shape[1] for part in one_lane)
        self._parts = len(one_lane) // len(self.cells)

    def initial_state(self, lanes: int) -> State:
        """The state of ``lanes`` sequences that have not begun."""
        return tuple(part for cells in self._layers() for cell in cells for part in cell.initial_state(lanes))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, T, F) from ``state``: outputs (B, T, width) and the state after the last step of each cell."""
        states = self._split(state)
        finals: list[State] = []
        for layer, (cell, *backward) in enumerate(self._layers()):
            below = self._between(x, layer)
            x, final = scan(cell, below, next(states))
            finals.append(final)
            for backward_cell in backward:
                reversed_x, final = scan(backward_cell, below.flip(1), next(states))
                x = torch.cat([x, reversed_x.flip(1)], -1)
                finals.append(final)
            x = self._above(x, below, layer)
        return x, tuple(part for final in finals for part in final)

    def trace(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As ``forward``, but with the state after every step, each tensor (B, T, ·). One direction only."""
        return self._upwards(trace, x, state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One further step, x (..., F). Broadcasts as the cells do. One direction only."""
        return self._upwards(lambda cell, below, before: cell.step(below, before)[1], x, state)

    def last(self, outputs: Tensor) -> Tensor:
        """Where each direction has read everything: outputs (B, T, width) -> (B, width)."""
        if self.directions == 1:
            return outputs[:, -1]
        half = self.width // 2
        return torch.cat([outputs[:, -1, :half], outputs[:, 0, half:]], -1)

    def _layers(self) -> list[list[Cell]]:
        cells = cast("list[Cell]", list(self.cells))
        return [cells[i : i + self.directions] for i in range(0, len(cells), self.directions)]

    def _split(self, state: State) -> Iterator[State]:
        return (state[i : i + self._parts] for i in range(0, len(state), self._parts))

    def _upwards(self, advance: Advance, x: Tensor, state: State) -> tuple[Tensor, State]:
        if self.directions == 2:
            raise UsageError(
                "a bidirectional network cannot continue from a carried state: its backward half reads from the end "
                "of a context that has not arrived yet",
                remedy="leave out --bidirectional",
            )
        states = self._split(state)
        kept: list[State] = []
        for layer, (cell,) in enumerate(self._layers()):
            below = self._between(x, layer)
            kept.append(advance(cell, below, next(states)))
            x = self._above(kept[-1][0], below, layer)
        return x, tuple(part for parts in kept for part in parts)

    def _between(self, x: Tensor, layer: int) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if layer else x

    def _above(self, h: Tensor, below: Tensor, layer: int) -> Tensor:
        return h + below if self.residual and layer else h
