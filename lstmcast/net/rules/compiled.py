"""The rules over numba's kernels: single precision on a CPU. Their equations are told in ``rules.aten``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from lstmcast.net.rules import Frame, Homeward, Outward, Upstream
from lstmcast.net.rules import kernels as plain
from lstmcast.net.rules import kernels_special as special

NOTHING = {axes: np.empty((0,) * axes, np.float32) for axes in (2, 3)}
AXES = {name: 2 for name in ("mask", "modulating", "projection", "narrow", "carried", "direct")}


def arrays(record: Frame | Outward | Upstream | Homeward) -> Any:
    """The record over the same memory, as the kernels take it: what is None becomes empty."""
    return type(record)(*(_array(name, value) for name, value in zip(record._fields, record, strict=True)))


def _array(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_array(name, part) for part in value)
    if value is None:
        return NOTHING[AXES.get(name, 3)]
    tensor: Tensor = value
    return tensor.detach().numpy()


class Compiled:
    """A rule and its loop as two kernels."""

    def __init__(
        self,
        outward: Callable[..., None],
        homeward: Callable[..., None],
        *,
        blocks: int = 4,
        direct: bool = False,
        stash: tuple[tuple[int, int], ...] = (),
    ) -> None:
        self.scale, self.direct, self.stash = (1,) * blocks, direct, stash
        self._outward, self._homeward = outward, homeward

    def outward(self, frame: Frame, between: Outward) -> None:
        self._outward(arrays(frame), arrays(between))

    def homeward(self, frame: Frame, upstream: Upstream, between: Homeward) -> None:
        self._homeward(arrays(frame), arrays(upstream), arrays(between))


RULES = {
    "lstm": Compiled(plain.lstm_outward, plain.lstm_homeward),
    "peephole": Compiled(plain.peephole_outward, plain.peephole_homeward),
    "coupled": Compiled(plain.coupled_outward, plain.coupled_homeward, blocks=3),
    "highway": Compiled(plain.highway_outward, plain.highway_homeward, blocks=5, direct=True),
    "rnn": Compiled(plain.rnn_outward, plain.rnn_homeward, blocks=1),
    "gru": Compiled(plain.gru_outward, plain.gru_homeward, direct=True),
    "slstm": Compiled(special.slstm_outward, special.slstm_homeward, stash=((1, 0),)),
    "layernorm": Compiled(special.layernorm_outward, special.layernorm_homeward, stash=((4, 0), (0, 10))),
}
