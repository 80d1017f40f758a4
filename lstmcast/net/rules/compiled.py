"""The rules over numba's kernels: single precision on a CPU. Their equations are told in ``rules.aten``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from lstmcast.net.rules import Frame, Homeward, Outward, Upstream
from lstmcast.net.rules import kernels as plain
from lstmcast.net.rules import kernels_special as special

Record = TypeVar("Record", Frame, Outward, Upstream, Homeward)
NOTHING = {axes: np.empty((0,) * axes, np.float32) for axes in (2, 3)}
TWO = ("mask", "modulating", "projection", "narrow", "carried", "direct", "arriving")
AXES = dict.fromkeys(TWO, 2)


def whole(record: Record) -> Record:
    """The record with an empty array for each None, as the kernels take it."""
    return type(record)(*(_filled(name, part) for name, part in zip(record._fields, record, strict=True)))


def _filled(name: str, part: Any) -> Any:
    if part is None:
        return NOTHING[AXES.get(name, 3)]
    return tuple([_filled(name, each) for each in part]) if type(part) is tuple else part


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

    def seen(self, tensor: Tensor) -> Any:
        return tensor.detach().numpy()

    def outward(self, frame: Frame, between: Outward) -> None:
        self._outward(whole(frame), whole(between))

    def homeward(self, frame: Frame, upstream: Upstream, between: Homeward) -> None:
        self._homeward(whole(frame), whole(upstream), whole(between))


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
