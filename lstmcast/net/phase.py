"""Phase: how a carried state meets a chunk of rows, row by row or patch by patch.

With patches of p rows the cells take a step when a patch is whole; the rows of the patch that is not are carried along
with the state. A forecast may begin at any row. It begins from one further step, over the rows of the patch so far,
padded on the left as a window is, from the state before that patch; the recurrence itself never sees that step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lstmcast.net.cells import State
from lstmcast.net.embed import Embed
from lstmcast.net.stack import Stack


class Departure(NamedTuple):
    """Where forecasts start, V of them: the encoder's ``outputs`` (V, W), its ``state``, each tensor (V, ·), and
    ``newest`` (V, C), what it read last."""

    outputs: Tensor
    state: State
    newest: Tensor


class Phase:
    """The rows of a patch that is not whole, and the way past them.

    State, where p > 1: those rows (B, (p−1)·F), the newest last, and their number (B, 1), from 0 to p−1.
    """

    def __init__(self, patch: int, *, width: int) -> None:
        self.patch, self.width = patch, width
        self.parts = 0 if patch == 1 else 2

    def initial_state(self, lanes: int, like: Tensor) -> State:
        """No row is waiting."""
        if not self.parts:
            return ()
        return like.new_zeros(lanes, (self.patch - 1) * self.width), like.new_zeros(lanes, 1)

    def stream(
        self, stack: Stack, embed: Embed, rows: Tensor, waiting: State, state: State, origins: Tensor | None
    ) -> tuple[Departure, State, State]:
        """Read rows (B, T, F); where forecasts start, at each row or at ``origins`` (places lane·T + row), the rows
        waiting afterwards and the state after the last whole patch."""
        if not self.parts:
            newest = embed.fold(rows.unsqueeze(2))
            outputs, states = stack.trace(newest, state)
            flat = [part.flatten(0, 1) for part in (outputs, newest, *states)]
            outputs, newest, *started = flat if origins is None else [part[origins] for part in flat]
            return Departure(outputs, tuple(started), newest), (), tuple(part[:, -1] for part in states)
        folded = self._folded(rows, waiting)
        states = self._states(stack, embed, folded, state)
        if origins is None:
            origins = torch.arange(rows.shape[0] * rows.shape[1], device=rows.device)
        lane, row = origins // rows.shape[1], origins % rows.shape[1]
        begun = folded.held[lane] + row  # rows read before this one that no whole patch before the chunk has taken
        within = torch.arange(self.patch, device=rows.device)
        known = within >= self.patch - 1 - begun[:, None] % self.patch
        newest = embed.fold(folded.rows[lane[:, None], row[:, None] + within] * known.unsqueeze(-1))
        outputs, started_state = stack.step(newest, tuple(part[lane, begun // self.patch] for part in states))
        return Departure(outputs, started_state, newest), *self._after(rows.shape[1], folded, states)

    def carry(self, stack: Stack, embed: Embed, rows: Tensor, waiting: State, state: State) -> tuple[State, State]:
        """As ``stream``, without a place to start from."""
        if not self.parts:
            return (), stack(embed.fold(rows.unsqueeze(2)), state)[1]
        folded = self._folded(rows, waiting)
        return self._after(rows.shape[1], folded, self._states(stack, embed, folded, state))

    def _folded(self, rows: Tensor, waiting: State) -> _Folded:
        held, count = waiting
        held = torch.unflatten(held, -1, (self.patch - 1, self.width))
        return _Folded(torch.cat([held, rows], 1), count[:, 0].long())

    def _states(self, stack: Stack, embed: Embed, folded: _Folded, state: State) -> State:
        """The state after 0, 1, … whole patches, each tensor (B, 1 + N, ·); beyond those of a lane it means nothing."""
        place = torch.arange(folded.rows.shape[1] // self.patch * self.patch, device=folded.rows.device)
        place = (self.patch - 1 - folded.held[:, None] + place).clamp(max=folded.rows.shape[1] - 1)
        lane = torch.arange(len(place), device=place.device)[:, None]
        patches = torch.unflatten(folded.rows[lane, place], 1, (-1, self.patch))
        _, states = stack.trace(embed.fold(patches), state)
        return tuple(torch.cat([first.unsqueeze(1), part], 1) for first, part in zip(state, states, strict=True))

    def _after(self, length: int, folded: _Folded, states: State) -> tuple[State, State]:
        read = folded.held + length
        left = read % self.patch
        lane = torch.arange(len(read), device=read.device)
        place = torch.arange(self.patch - 1, device=read.device)
        held = folded.rows[:, length:] * (place >= self.patch - 1 - left[:, None]).unsqueeze(-1)
        waiting = held.flatten(1), left[:, None].to(held.dtype)
        return waiting, tuple(part[lane, read // self.patch] for part in states)


class _Folded(NamedTuple):
    """``rows`` (B, p−1+T, F): those waiting, the last ``held`` (B,) of the first p−1, and those of the chunk."""

    rows: Tensor
    held: Tensor
