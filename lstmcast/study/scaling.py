"""Scaling: what a training step of a cell costs as steps T, lanes B and cells C grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lstmcast.net.cells import CELLS
from lstmcast.net.scan import scan

INPUTS = 16
_MIDDLE = {"T": 48, "C": 64, "B": 32}
_FACTORS = (0.5, 1.0, 2.0)
_WARM, _TIMES = 2, 9


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one forward and backward pass of ``cell`` over (B, T, INPUTS)."""

    cell: str
    T: int
    C: int
    B: int
    seconds: float

    @property
    def work(self) -> float:
        """T·B·(C² + C·F): what the time should be proportional to."""
        return float(self.T * self.B * (self.C**2 + self.C * INPUTS))


@dataclass(frozen=True, slots=True)
class Law:
    """seconds ≈ ``k`` · work. ``deviation`` is the typical factor off, less one; ``growth`` the power of T, C and B
    that the timings follow, which are 1, a little under 2, and 1 where nothing but the products costs time."""

    cell: str
    k: float
    deviation: float
    growth: dict[str, float]


def sizes() -> list[dict[str, int]]:
    """The middle size, and each of T, C and B halved and doubled."""
    found = [dict(_MIDDLE)]
    for axis in _MIDDLE:
        found += [_MIDDLE | {axis: int(_MIDDLE[axis] * factor)} for factor in _FACTORS if factor != 1.0]
    return found


def measure(cell: str, *, on_done: Callable[[], None]) -> list[Timing]:
    """The fastest of a few passes at each of ``sizes``; what else the machine does can only slow a pass down."""
    timings = []
    for size in sizes():
        timings.append(Timing(cell, **size, seconds=_seconds(cell, **size)))
        on_done()
    return timings


def fitted(timings: Sequence[Timing]) -> Law:
    """k by least squares of the logarithms: every size counts alike."""
    off = np.log([timing.seconds / timing.work for timing in timings])
    deviation = float(np.exp(np.sqrt(np.mean((off - off.mean()) ** 2))) - 1)
    growth = {axis: _growth(timings, axis) for axis in _MIDDLE}
    return Law(timings[0].cell, float(np.exp(off.mean())), deviation, growth)


def _growth(timings: Sequence[Timing], axis: str) -> float:
    others = [name for name in _MIDDLE if name != axis]
    along = [timing for timing in timings if all(getattr(timing, name) == _MIDDLE[name] for name in others)]
    lengths = np.log([getattr(timing, axis) for timing in along])
    return float(np.polyfit(lengths, np.log([timing.seconds for timing in along]), 1)[0])


def _seconds(name: str, *, T: int, C: int, B: int) -> float:
    generator = torch.Generator().manual_seed(0)
    cell = CELLS.load(name)(INPUTS, C, generator=generator)
    x, state = torch.randn(B, T, INPUTS, generator=generator), cell.initial_state(B)
    times = []
    for _ in range(_WARM + _TIMES):
        began = time.perf_counter()
        h, _ = scan(cell, x, state)
        torch.autograd.backward(h.square().mean())
        times.append(time.perf_counter() - began)
    return min(times[_WARM:])
