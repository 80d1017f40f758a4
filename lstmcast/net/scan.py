"""A cell along the time axis."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net.cells import Cell, NativeCell, State, TracingCell


def scan(cell: Cell, x: Tensor, state: State, *, readable: bool = False) -> tuple[Tensor, State]:
    """Run ``cell`` over x (B, T, F) from ``state``: h (B, T, C) and the state after the last step.

    Takes torch's fused kernel where the cell has one; ``readable`` insists on the cell's own equations.
    """
    if isinstance(cell, NativeCell) and not readable:
        return cell.native(x, state)
    outputs = []
    for x_t in x.unbind(1):
        h, state = cell.step(x_t, state)
        outputs.append(h)
    return torch.stack(outputs, 1), state


def trace(cell: Cell, x: Tensor, state: State, *, readable: bool = False) -> State:
    """The state after every step: each state tensor gains the time axis, (B, T, ·). Tensor 0 is the output h."""
    if isinstance(cell, TracingCell) and not readable:
        return cell.trace(x, state)
    if len(state) == 1:
        return (scan(cell, x, state, readable=readable)[0],)
    states = []
    for x_t in x.unbind(1):
        _, state = cell.step(x_t, state)
        states.append(state)
    return tuple(torch.stack(parts, 1) for parts in zip(*states, strict=True))
