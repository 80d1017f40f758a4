"""A cell along the time axis, and the choice of the fastest road for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from lstmcast.net.cells import Cell, NativeCell, State
from lstmcast.net.loop import run
from lstmcast.net.outward import Course, Given
from lstmcast.net.rules import Rule
from lstmcast.net.rules.aten_special import RULES as ATEN

Road: TypeAlias = Literal["readable", "native", "aten", "compiled"]


class Noise(NamedTuple):
    """Regularisation of one run. ``mask`` (B, R) multiplies h where it is read; ``keep`` says for each state tensor
    what stays of its value before: (B, T, ·) of 0 and 1, a fraction, or None."""

    mask: Tensor | None = None
    keep: tuple[Tensor | float | None, ...] = ()


QUIET = Noise()


def scan(
    cell: Cell, x: Tensor, state: State, *, noise: Noise = QUIET, checkpoint: bool = False, road: Road | None = None
) -> tuple[Tensor, State]:
    """Run ``cell`` over x (B, T, F) from ``state``: h (B, T, C) and the state after the last step.

    ``checkpoint`` keeps the state every √T steps only and computes the rest again backwards. The road is the fastest
    there is: "native", torch's own fused kernel; "compiled", the shared loop with numba; "aten", the same with torch
    alone; "readable", the cell's own equations, which have derivatives of every order.
    """
    road = road or _fastest(cell, x, noise, checkpoint)
    if road == "native":
        return cast(NativeCell, cell).native(x, state)
    if road == "readable":
        states = _readable(cell, x, state, noise)
        return states[0], tuple(part[:, -1] for part in states)
    segment = 1 + int((x.shape[1] - 1) ** 0.5) if checkpoint else None
    h, *final = _looped(cell, x, state, noise, road=road, segment=segment, traced=False)
    return h.transpose(0, 1), tuple(final)


def trace(cell: Cell, x: Tensor, state: State, *, noise: Noise = QUIET, road: Road | None = None) -> State:
    """The state after every step: each state tensor gains the time axis, (B, T, ·). Tensor 0 is the output h."""
    road = road or _fastest(cell, x, noise, checkpoint=False)
    if road == "native" and len(state) == 1:
        return (cast(NativeCell, cell).native(x, state)[0],)
    if road == "native":  # the kernel keeps the cells to itself
        road = _loop_road(x)
    if road == "readable":
        return _readable(cell, x, state, noise)
    return tuple(part.transpose(0, 1) for part in _looped(cell, x, state, noise, road=road, segment=None, traced=True))


def mix(new: State, before: State, keep: tuple[Tensor | float | None, ...]) -> State:
    """Zoneout (Krueger et al. 2017): of each state tensor the share ``keep`` stays as it was before."""
    return tuple(
        after if share is None else share * old + (1 - share) * after
        for after, old, share in zip(new, before, keep or (None,) * len(new), strict=True)
    )


@cache
def rules(road: Road) -> Mapping[str, Rule]:
    """The pointwise rules of a road; those of numba are imported when they are asked for."""
    if road == "aten":
        return ATEN
    return cast("Mapping[str, Rule]", import_module("lstmcast.net.rules.compiled").RULES)


@cache
def numba_is_there() -> bool:
    """Whether the extra [fast] is installed and can keep what it compiles."""
    if find_spec("numba") is None:
        return False
    try:
        rules("compiled")
    except (ImportError, RuntimeError):  # built for another numpy; no folder that can be written to
        return False
    return True


def _fastest(cell: Cell, x: Tensor, noise: Noise, checkpoint: bool) -> Road:
    plain = noise.mask is None and all(share is None for share in noise.keep) and not checkpoint
    if plain and isinstance(cell, NativeCell) and _native_is_faster(cell, x):
        return "native"
    if x.device.type not in {"cpu", "cuda"}:
        return "native" if plain and isinstance(cell, NativeCell) else "readable"
    return _loop_road(x)


def _native_is_faster(cell: Cell, x: Tensor) -> bool:
    """On a CPU torch fuses the LSTM alone; training of the others is faster in the loop."""
    return x.device.type != "cpu" or cell.rule == "lstm" or not torch.is_grad_enabled()


def _loop_road(x: Tensor) -> Road:
    single = x.dtype in {torch.float32, torch.bfloat16, torch.float16}
    return "compiled" if x.device.type == "cpu" and single and numba_is_there() else "aten"


def _readable(cell: Cell, x: Tensor, state: State, noise: Noise) -> State:
    states = []
    for t, x_t in enumerate(x.unbind(1)):
        _, new = cell.step(x_t, state, mask=noise.mask)
        keep = tuple(share[:, t] if isinstance(share, Tensor) else share for share in noise.keep)
        state = mix(new, state, keep)
        states.append(state)
    return tuple(torch.stack(parts, 1) for parts in zip(*states, strict=True))


def _looped(
    cell: Cell, x: Tensor, state: State, noise: Noise, *, road: Road, segment: int | None, traced: bool
) -> tuple[Tensor, ...]:
    """The shared loop, in the precision of the state whatever autocast asks of products."""
    place = x.device.type
    with torch.autocast(place, enabled=False) if torch.is_autocast_enabled(place) else nullcontext():
        packed = cell.packed(x.to(state[0].dtype).transpose(0, 1))
        given = Given(packed.x, packed.weight, packed.arriving, packed.modulator, packed.modulating, packed.projection)
        course = Course(
            rule=rules(road)[cell.rule],
            parameters=len(packed.parameters),
            segment=segment,
            crossed=packed.crossed,
            traced=traced,
            mask=noise.mask,
            keep=tuple(share.transpose(0, 1) if isinstance(share, Tensor) else share for share in noise.keep),
        )
        return run(course, given, packed.parameters, state)
