"""Layers of cells: depth, direction, residual paths, and what keeps them from learning by heart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.errors import UsageError
from lstmcast.net import draws
from lstmcast.net.cells import CELLS, Cell, State
from lstmcast.net.depth import DepthGated
from lstmcast.net.initial import PLAIN, Initial, redraw
from lstmcast.net.scan import QUIET, Noise, mix, scan, trace

Advance: TypeAlias = Callable[[Cell, Tensor, State], State]


class Regularisation(NamedTuple):
    """Shares, each at least 0 and below 1. All but zoneout act in training only.

    ``dropout``      of what passes from layer to layer
    ``variational``  of the inputs and of h where it is read, one mask per sequence (Gal & Ghahramani 2016)
    ``weight_drop``  of the recurrent weights, one mask per sequence of steps (Merity et al. 2017)
    ``layer_drop``   of whole layers above the first, which are then passed by (Huang et al. 2016)
    ``zoneout``      of h and of the memory that stay as they were (Krueger et al. 2017); used up evenly otherwise
    """

    dropout: float = 0.0
    variational: float = 0.0
    weight_drop: float = 0.0
    layer_drop: float = 0.0
    zoneout: float = 0.0


class Reading(NamedTuple):
    """What one cell of a stack read, in its own direction of time: x (B, T, F) and the states before and after each
    step, each tensor (B, T, ·)."""

    layer: int
    backward: bool
    cell: Cell
    x: Tensor
    before: State
    after: State

    @property
    def part(self) -> str:
        """The layer, by its name for a person."""
        return f"layer {self.layer + 1}" + (" backward" if self.backward else "")


class Stack(nn.Module):
    """``layers`` cells on top of each other, in one or both directions of time.

    Its state is the flat tuple of its cells' states, layer by layer, the forward cell's before the backward one's.
    ``residual`` adds the input of every layer but the first to its output; ``shared`` gives all layers the weights of
    the first; ``checkpoint`` keeps every √T-th state in training and computes the rest again. ``depth_gate`` lets the
    memory of each layer into that of the next.
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
        shared: bool = False,
        checkpoint: bool = False,
        dropout: float = 0.0,
        regularisation: Regularisation | None = None,
        depth_gate: bool = False,
        initial: Initial = PLAIN,
        options: Mapping[str, Any] | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.residual, self.checkpoint, self.layers, self.depth_gate = residual, checkpoint, layers, depth_gate
        self.regularisation = regularisation or Regularisation(dropout=dropout)
        self.width = hidden * (2 if bidirectional else 1)
        self.directions = 2 if bidirectional else 1
        first = CELLS.load(cell)
        above = DepthGated if depth_gate else first
        builds = [first] + [above] * (0 if shared else layers - 1)
        self.cells = nn.ModuleList(
            build(self.width if layer else inputs, hidden, generator=generator, **(options or {}))
            for layer, build in enumerate(builds)
            for _ in range(self.directions)
        )
        for built in cast("list[Cell]", list(self.cells)):
            redraw(built, initial, generator=generator)
        one_lane = self.initial_state(1)
        self.state_widths = tuple(part.shape[1] for part in one_lane)
        self._parts = len(one_lane) // (self.layers * self.directions)

    def initial_state(self, lanes: int) -> State:
        """The state of ``lanes`` sequences that have not begun."""
        return tuple(part for cells in self._layers() for cell in cells for part in cell.initial_state(lanes))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, T, F) from ``state``: outputs (B, T, width) and the state after the last step of each cell."""
        if self.depth_gate:
            x, every = self.trace(x, state)
            return x, tuple(part[:, -1] for part in every)
        states = self._split(state)
        finals: list[State] = []
        for layer, (cell, *backward) in enumerate(self._layers()):
            below = self._between(x, layer)
            x, final = self._run(scan, cell, below, next(states), checkpoint=self.checkpoint and self.training)
            finals.append(final)
            for backward_cell in backward:
                back, final = self._run(
                    scan, backward_cell, below.flip(1), next(states), checkpoint=self.checkpoint and self.training
                )
                x = torch.cat([x, back.flip(1)], -1)
                finals.append(final)
            x = self._above(x, below, layer)
        return x, tuple(part for final in finals for part in final)

    def trace(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As ``forward``, but with the state after every step, each tensor (B, T, ·). One direction only."""
        return self._upwards(lambda cell, below, before: self._run(trace, cell, below, before), x, state)

    def readings(self, x: Tensor, state: State) -> tuple[Reading, ...]:
        """What each cell reads and does while the stack runs over x (B, T, F) from ``state``, lowest layer first."""
        states = self._split(state)
        found: list[Reading] = []
        for layer, cells in enumerate(self._layers()):
            below = self._between(x, layer)
            outputs = []
            for cell, backward in zip(cells, (False, True), strict=False):  # one of them where only forward is read
                read = below.flip(1) if backward else self._fed(below, found[-1].after if layer else ())
                start = next(states)
                after: State = self._run(trace, cell, read, start)
                before = tuple(
                    torch.cat([first.unsqueeze(1), part[:, :-1]], 1) for first, part in zip(start, after, strict=True)
                )
                found.append(Reading(layer, backward, cell, read, before, after))
                outputs.append(after[0].flip(1) if backward else after[0])
            x = self._above(torch.cat(outputs, -1), below, layer)
        return tuple(found)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One further step, x (..., F). Broadcasts as the cells do. One direction only."""
        return self._upwards(self._step, x, state)

    def last(self, outputs: Tensor) -> Tensor:
        """Where each direction has read everything: outputs (B, T, width) -> (B, width)."""
        if self.directions == 1:
            return outputs[:, -1]
        half = self.width // 2
        return torch.cat([outputs[:, -1, :half], outputs[:, 0, half:]], -1)

    def _layers(self) -> list[list[Cell]]:
        cells = cast("list[Cell]", list(self.cells))
        own = [cells[i : i + self.directions] for i in range(0, len(cells), self.directions)]
        return own * (self.layers // len(own))

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
            kept.append(advance(cell, self._fed(below, kept[-1] if layer else ()), next(states)))
            x = self._above(kept[-1][0], below, layer)
        return x, tuple(part for parts in kept for part in parts)

    def _fed(self, below: Tensor, beneath: State) -> Tensor:
        """What a layer reads: the output of the one below and, with depth gates, its memory."""
        return torch.cat([below, beneath[1]], -1) if self.depth_gate and beneath else below

    def _step(self, cell: Cell, below: Tensor, before: State) -> State:
        _, after = cell.step(below, before)
        return mix(after, before, self._kept([part.shape for part in after], before[0]))

    def _run(self, road: Callable[..., Any], cell: Cell, x: Tensor, state: State, **options: Any) -> Any:
        """``scan`` or ``trace`` with this sequence's noise."""
        options["noise"] = self._noise(x, state)
        if isinstance(cell, DepthGated):
            options["road"] = "readable"
        share = self.regularisation.weight_drop if self.training else 0.0
        if not share:
            return road(cell, x, state, **options)
        dropped = {"cell.weight_hh": F.dropout(cast(Tensor, cast(nn.Module, cell).weight_hh), share)}
        return torch.func.functional_call(_Along(road, cell), dropped, (x, state), options)

    def _noise(self, x: Tensor, state: State) -> Noise:
        share = self.regularisation.variational if self.training else 0.0
        mask = F.dropout(torch.ones_like(state[0]), share) if share else None
        keep = self._kept([torch.Size((*x.shape[:2], part.shape[1])) for part in state], state[0])
        return QUIET if mask is None and not keep else Noise(mask, keep)

    def _kept(self, shapes: list[torch.Size], like: Tensor) -> tuple[Tensor | float | None, ...]:
        """Zoneout: drawn in training, its expectation otherwise."""
        share = self.regularisation.zoneout
        if not share:
            return ()
        if not self.training:
            return (share,) * len(shapes)
        memory = {shape: draws.ones(shape, share, like=like) for shape in shapes[1:]}  # one for all of a unit
        return draws.ones(shapes[0], share, like=like), *(memory[shape] for shape in shapes[1:])

    def _between(self, x: Tensor, layer: int) -> Tensor:
        share = self.regularisation.variational
        if share and self.training and x.dim() > 2:
            x = x * F.dropout(x.new_ones(len(x), 1, x.shape[-1]), share)
        elif share:
            x = F.dropout(x, share, self.training)
        return F.dropout(x, self.regularisation.dropout, self.training) if layer else x

    def _above(self, h: Tensor, below: Tensor, layer: int) -> Tensor:
        share = self.regularisation.layer_drop
        if layer and share and self.training and torch.rand(()) < share:
            return below
        return h + below if self.residual and layer else h


class _Along(nn.Module):
    """A road as a module, so that a cell's weights can be replaced for one run."""

    def __init__(self, road: Callable[..., Any], cell: Cell) -> None:
        super().__init__()
        self.road, self.cell = road, cell

    def forward(self, x: Tensor, state: State, **options: Any) -> Any:
        return self.road(self.cell, x, state, **options)
