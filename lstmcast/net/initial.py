"""Initial: first weights of a cell other than those it draws by itself (Xavier on W, orthogonal per gate on U)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn

from lstmcast.net.cells import Cell

Draw: TypeAlias = Literal["xavier", "orthogonal", "uniform", "normal"]


class Initial(NamedTuple):
    """What to draw anew; the defaults draw nothing.

    ``inputs`` and ``recurrent`` weights: "xavier" uniform (Glorot & Bengio 2010; the recurrent ones gate by gate),
    "orthogonal" per gate (Saxe et al. 2014), "uniform" within ±1/√C as ``torch.nn`` has it, or "normal" N(0, 1/C).
    ``candidate`` "normal" draws both weights of what the gates let in from N(0, 1/C), so that its sums begin with
    variance one. ``forget`` "zero" lets the forget gate begin half open.
    """

    inputs: Draw = "xavier"
    recurrent: Draw = "orthogonal"
    candidate: Literal["same", "normal"] = "same"
    forget: Literal["one", "zero", "chrono"] = "one"


PLAIN = Initial()


def redraw(cell: Cell, initial: Initial, *, generator: torch.Generator) -> None:
    """Give the weights of ``cell`` first values as ``initial`` says, drawn from ``generator``."""
    if initial == PLAIN:
        return
    parts: Any = cell
    gates = list(cell.gates(torch.zeros(1, cell.inputs), cell.initial_state(1))) or [""]
    on_x, on_h = (_blocks(weight, len(gates)) for weight in (parts.weight_ih, parts.weight_hh))
    if initial.inputs != PLAIN.inputs:
        _fill(on_x.flatten(0, 1).unsqueeze(0), initial.inputs, cell.hidden, generator)
    if initial.recurrent != PLAIN.recurrent:
        _fill(on_h, initial.recurrent, cell.hidden, generator)
    if initial.candidate == "normal":
        place = gates.index(cell.candidate)
        for blocks in (on_x, on_h):
            _fill(blocks[place].unsqueeze(0), "normal", cell.hidden, generator)
    if initial.forget == "zero":
        bias = cast(nn.Parameter, parts.bias if hasattr(parts, "bias") else parts.bias_ih)
        _blocks(bias, len(gates))[gates.index("f" if "f" in gates else "z")] = 0.0


def _blocks(weight: Tensor, gates: int) -> Tensor:
    """(gates·w, ·) or, in heads, (gates·heads, ·, ·) as a view gate by gate."""
    return torch.unflatten(weight.detach(), 0, (gates, -1))


def _fill(matrices: Tensor, draw: Draw, hidden: int, generator: torch.Generator) -> None:
    """Matrices (..., rows, columns), each for itself."""
    for matrix in matrices.view(-1, *matrices.shape[-2:]):
        if draw == "xavier":
            nn.init.xavier_uniform_(matrix, generator=generator)
        elif draw == "orthogonal":
            nn.init.orthogonal_(matrix, generator=generator)
        elif draw == "uniform":
            nn.init.uniform_(matrix, -(hidden**-0.5), hidden**-0.5, generator=generator)
        else:
            nn.init.normal_(matrix, std=hidden**-0.5, generator=generator)
