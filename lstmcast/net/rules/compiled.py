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
TWO = {"mask", "modulating", "projection", "narrow", "carried", "direct", "arriving"}
SOME = {"keep", "fresh", "above", "carried"}
EMPTY = {
    kind: tuple(np.empty((0,) * (2 if name in TWO else 3), np.float32) for name in kind._fields)
    for kind in (Frame, Outward, Upstream, Homeward)
}
"""For each field what stands there for None; of ``SOME`` each element may be None."""
PLACES = {kind: [kind._fields.index(name) for name in kind._fields if name in SOME] for kind in EMPTY}


def whole(record: Record) -> Record:
    """The record with an empty array for each None, as the kernels take it."""
    empty = EMPTY[type(record)]
    parts: list[Any] = [nothing if part is None else part for part, nothing in zip(record, empty, strict=True)]
    for place in PLACES[type(record)]:
        parts[place] = tuple([empty[place] if part is None else part for part in parts[place]])
    return type(record)(*parts)


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
