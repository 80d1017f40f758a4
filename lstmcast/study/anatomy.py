"""Anatomy: the parts of a network, what each holds and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import Cell
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.kinship import Kinship
from lstmcast.net.stack import Stack
from lstmcast.net.tree import WindowTree

_BYTES = 4  # of a float32


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a network.

    ``parameters`` are counted; ``formula`` says how many there should be, as written for its kind, and ``expected`` is
    its value; both are empty for a part that is one linear map. ``multiply_adds`` are those of the matrix products of
    one step, for one window; the part takes ``steps`` of them for one forecast. ``state_bytes`` is what it carries from
    step to step, for each window or lane.
    """

    name: str
    kind: str
    parameters: int
    formula: str
    expected: int | None
    multiply_adds: int
    steps: int
    state_bytes: int


Count = Callable[[Any], int]


def _gated(gates: int, more: int = 0) -> Count:
    """``gates`` blocks on inputs, output and one bias vector, and ``more`` vectors."""
    return lambda cell: gates * cell.hidden * (cell.hidden + cell.inputs + 1) + more * cell.hidden


def _projected(cell: Any) -> int:
    return int(4 * cell.memory * (cell.hidden + cell.inputs + 1) + cell.hidden * cell.memory + 4 * cell.memory)


def _multiplicative(cell: Any) -> int:
    more = cell.hidden + cell.inputs if cell.form == "product" else cell.hidden
    return _gated(4)(cell) + int(cell.hidden * more)


def _slstm(cell: Any) -> int:
    return int(4 * cell.hidden * (cell.hidden // cell.heads + cell.inputs + 1))


def _depth_gated(cell: Any) -> int:
    """F are the inputs without the memory of the layer below."""
    c, f = cell.hidden, cell.inputs - cell.hidden
    return int(4 * c * (c + f + 1) + 4 * c + c * (f + 3))


_FORMULAS: dict[str, tuple[str, Count]] = {
    "LSTM": ("4C(C+F+1) + 4C", _gated(4, 4)),
    "GRU": ("3C(C+F+1) + 3C", _gated(3, 3)),
    "RNN": ("C(C+F+1) + C", _gated(1, 1)),
    "Peephole": ("4C(C+F+1) + 3C", _gated(4, 3)),
    "Coupled": ("3C(C+F+1)", _gated(3)),
    "Projected": ("4C(R+F+1) + RC + 4C", _projected),
    "LayerNorm": ("4C(C+F+1) + 10C", _gated(4, 10)),
    "Multiplicative": ("4C(C+F+1) + C(C+F)", _multiplicative),
    "Highway": ("5C(C+F+1)", _gated(5)),
    "SLSTM": ("4C(C/heads+F+1)", _slstm),
    "DepthGated": ("4C(C+F+1) + 4C + C(F+3)", _depth_gated),
}


def formula(cell: Cell) -> tuple[str, int]:
    """How many parameters a cell should have, as a formula in F inputs, C cells and, where h is narrower, R outputs;
    and what it comes to. Where torch keeps a second bias vector, that is the last summand."""
    text, count = _FORMULAS[type(cell).__name__]
    if getattr(cell, "form", "product") == "additive":
        text = "4C(C+F+1) + C²"
    return text, count(cell)


def anatomy(network: Forecaster) -> tuple[Part, ...]:
    """The parts of ``network`` that hold weights, from the input to the output."""
    shape = network.architecture
    patches = -(-shape.context // shape.patch)
    reading = _reading(network, patches)
    embed = [] if network.embed is None else [_plain("embed", "linear", network.embed, steps=patches)]
    related = [] if network.kinship is None else [_kinship(network.kinship)]
    parts = [*embed, *reading, *related, *_writing(network, sum(part.multiply_adds for part in reading))]
    if network.attention is not None:
        horizon = -(-shape.horizon // shape.patch)
        parts.append(_plain("attention", shape.attention, network.attention, steps=horizon))
    if network.standing is not None:
        parts.append(_plain("static covariates", "learned vectors", network.standing, steps=0))
    if network.highway is not None:
        parts.append(_plain("highway", "linear", network.highway, steps=shape.targets))
    return tuple(parts)


def _reading(network: Forecaster, patches: int) -> list[Part]:
    """The encoder's parts; none where there is no encoder."""
    if isinstance(network.stack, Stack):
        return _layers(network.stack, patches)
    return [_tree(network.stack, patches)] if isinstance(network.stack, WindowTree) else []


def _layers(stack: Stack, patches: int) -> list[Part]:
    cells: list[Any] = list(stack.cells)
    own = len(cells) // stack.directions
    width = len(stack.state_widths) // (stack.layers * stack.directions)
    parts = []
    for place in range(stack.layers * stack.directions):
        layer, backward = divmod(place, stack.directions)
        cell = cells[place % len(cells)]
        kind = type(cell).__name__.lower()
        text, expected = formula(cell)
        parts.append(
            Part(
                name=f"layer {layer + 1}" + (" backward" if backward else ""),
                kind=kind if layer < own else f"{kind}, weights of layer 1",
                parameters=_count(cell) if layer < own else 0,
                formula=text if layer < own else "",
                expected=expected if layer < own else None,
                multiply_adds=_products(cell.parameters()),
                steps=patches,
                state_bytes=_BYTES * sum(stack.state_widths[place * width : (place + 1) * width]),
            )
        )
    return parts


def _tree(tree: WindowTree, patches: int) -> Part:
    """A leaf for every patch, and for every patch but the first a joint."""
    c, f = tree.width, tree.leaf.shape[1]
    joints = 10 * c * c
    return Part(
        name="tree",
        kind="window tree",
        parameters=_count(tree),
        formula="3C(F+1) + 5C(2C+1) + C",
        expected=3 * c * (f + 1) + 5 * c * (2 * c + 1) + c,
        multiply_adds=3 * c * f + joints,
        steps=patches,
        state_bytes=_BYTES * sum(tree.state_widths),
    )


def _kinship(kinship: Kinship) -> Part:
    """Each series once, on the way up and on the way down."""
    c, f, w = kinship.hidden, kinship.up.shape[1], kinship.tell.out_features
    return Part(
        name="relatives",
        kind="child-sum tree, up and down",
        parameters=_count(kinship),
        formula="4C(F+C+1) + 4C(2C+1) + W(2C+1)",
        expected=4 * c * (f + c + 1) + 4 * c * (2 * c + 1) + w * (2 * c + 1),
        multiply_adds=_products(kinship.parameters()),
        steps=1,
        state_bytes=_BYTES * 4 * c,
    )


def _writing(network: Forecaster, encoder: int) -> list[Part]:
    """The decoder, and apart from it the share of its last layer that weighs the methods of the base.

    A decoder that lets the encoder step on pays for those steps too.
    """
    shape, decoder = network.architecture, cast(Any, network.decoder)
    methods = network.base.methods if network.base.methods > 1 else 0
    gate = _count(decoder.write) * methods // network.width
    gating = _products(decoder.write.parameters()) * methods // network.width
    steps = 1 if shape.decoder == "direct" else -(-shape.horizon // shape.patch)
    onward = encoder if _steps_on(shape) else 0
    queries = {id(parameter) for name, parameter in decoder.named_parameters() if name == "position"}
    products = _products(p for p in decoder.parameters() if id(p) not in queries)
    found = _plain("decoder", shape.decoder, decoder, steps=steps)
    parts = [
        Part(
            name=found.name,
            kind=found.kind,
            parameters=found.parameters - gate,
            formula="",
            expected=None,
            multiply_adds=products - gating + onward,
            steps=steps,
            state_bytes=0,
        )
    ]
    if methods:
        parts.append(Part("gate", f"softmax of {methods} methods", gate, "", None, gating, steps, 0))
    return parts


def _steps_on(shape: Architecture) -> bool:
    return shape.decoder == "recursive" or (shape.decoder == "parallel" and not shape.bidirectional)


def _plain(name: str, kind: str, module: nn.Module, *, steps: int) -> Part:
    return Part(name, kind, _count(module), "", None, _products(module.parameters()), steps, 0)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _products(parameters: Iterable[nn.Parameter]) -> int:
    """Each entry of a matrix is multiplied once; vectors are added or scale what is there."""
    return sum(parameter.numel() for parameter in parameters if parameter.dim() > 1)
