"""The pointwise rules over numba's kernels: single precision on a CPU. Their equations are told in ``rules.aten``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from lstmcast.net.rules import Advance, Frame, Upstream
from lstmcast.net.rules import kernels as plain
from lstmcast.net.rules import kernels_special as special

Backward = tuple[Advance, Callable[[], None]]


def bound(kernel: Callable[..., Any], *tensors: Tensor) -> Advance:
    """``kernel`` over the memory of these tensors, waiting for the step alone."""
    arrays = [tensor.detach().numpy() for tensor in tensors]

    def take(t: int) -> None:
        kernel(*arrays, t)

    return take


def settled() -> None:
    """The kernels sum up the gradients of parameters step by step."""


class LSTM:
    """As ``aten.LSTM``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.lstm_forward, f.gates, *f.memory, *f.after, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        return bound(plain.lstm_backward, f.gates, *f.memory, *f.after, u.output, *u.memory, u.gates), settled


class Peephole:
    """As ``aten.Peephole``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.peephole_forward, f.gates, *f.memory, *f.after, f.output, *f.parameters)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        tensors = (f.gates, *f.memory, *f.after, u.output, *u.memory, u.gates, *f.parameters, *u.parameters)
        return bound(plain.peephole_backward, *tensors), settled


class Coupled:
    """As ``aten.Coupled``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.coupled_forward, f.gates, *f.memory, *f.after, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        return bound(plain.coupled_backward, f.gates, *f.memory, *f.after, u.output, *u.memory, u.gates), settled


class Highway:
    """As ``aten.Highway``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1, 1)
    direct: ClassVar[bool] = True
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.highway_forward, f.gates, *f.memory, *f.after, f.h, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        tensors = (f.gates, *f.memory, *f.after, f.h, u.output, *u.memory, u.gates, u.h)
        return bound(plain.highway_backward, *tensors), settled


class RNN:
    """As ``aten_special.RNN``."""

    scale: ClassVar[tuple[int, ...]] = (1,)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.rnn_forward, f.gates, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        return bound(plain.rnn_backward, f.gates, u.output, u.gates), settled


class GRU:
    """As ``aten_special.GRU``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = True
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, f: Frame) -> Advance:
        return bound(plain.gru_forward, f.gates, f.h, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        return bound(plain.gru_backward, f.gates, f.h, u.output, u.gates, u.h), settled


class SLSTM:
    """As ``aten_special.SLSTM``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ((1, 0),)

    def forward(self, f: Frame) -> Advance:
        return bound(special.slstm_forward, f.gates, *f.memory, *f.after, *f.stash, f.output)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        tensors = (f.gates, *f.memory[:2], *f.after[:2], *f.stash, u.output, *u.memory, u.gates)
        return bound(special.slstm_backward, *tensors), settled


class LayerNorm:
    """As ``aten_special.LayerNorm``."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ((4, 0), (1, 0), (0, 5))

    def forward(self, f: Frame) -> Advance:
        added = (f.added,) if f.added is not None else ()
        return bound(special.layernorm_forward, f.gates, *added, *f.memory, *f.after, f.output, *f.stash, *f.parameters)

    def backward(self, f: Frame, u: Upstream) -> Backward:
        added = (u.added,) if u.added is not None else ()
        tensors = (f.gates, *f.memory, *f.stash, u.output, *u.memory, u.gates, *added, *f.parameters, *u.parameters)
        return bound(special.layernorm_backward, *tensors), settled


RULES = {
    "lstm": LSTM(),
    "peephole": Peephole(),
    "coupled": Coupled(),
    "highway": Highway(),
    "rnn": RNN(),
    "gru": GRU(),
    "slstm": SLSTM(),
    "layernorm": LayerNorm(),
}
