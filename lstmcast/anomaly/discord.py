"""Discord: how unlike any earlier stretch the newest stretch is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POINTS = 24  # means that a stretch is described by
_NEIGHBOUR = 3
_BLOCK = 200  # rows judged by the same memory
_MEMORY = 1500  # earlier stretches compared with, about


def discord(y: Floats, *, day: int, warm_up: int, first: int = 0) -> Floats:
    """Distance of the quarter day that ends in each row to the third nearest one at least half a day earlier.

    ``y`` (n,) without gaps in its counting; ``day`` in rows. Stretches are compared as block means less their mean, in
    units of the warm-up's spread. 0 before a third of the warm-up; rows before ``first`` are not computed anew and
    left 0. The memory grows with the rows so far, never with those to come.
    """
    width = max(6, day // 4)
    begin = max(width, warm_up // 3)
    out = np.zeros(len(y))
    if len(y) <= max(begin, first):
        return out
    shapes = _shapes(y, width)
    shapes = shapes / (shapes[:warm_up].std() + 1e-9)
    square = (shapes**2).sum(1)
    for at in range(begin + max(0, first - begin) // _BLOCK * _BLOCK, len(y), _BLOCK):
        stop = min(len(y), at + _BLOCK)
        last = max(at - max(width, day // 2), width + 5)
        memory = np.arange(width, last, max(1, at // _MEMORY) if last - width > 300 else 1)
        memory = memory[memory < at]
        if not len(memory):
            continue
        asked = np.zeros((_BLOCK, shapes.shape[1]))  # always a whole block: equal shapes give equal bits
        asked[: stop - at] = shapes[at:stop]
        squared = (asked**2).sum(1)[:, None] + square[memory] - 2 * asked @ shapes[memory].T
        rank = min(_NEIGHBOUR, len(memory)) - 1
        out[at:stop] = np.sqrt(np.maximum(np.partition(squared, rank, axis=1)[: stop - at, rank], 0))
    return out


def _shapes(y: Floats, width: int) -> Floats:
    """float64 (n, 24) block means of the ``width`` rows that end in each row, less their mean."""
    size = max(1, width // _POINTS)
    count = max(2, width // size)
    padded = np.concatenate([np.full(size * count - 1, y[0]), y])
    stretches = np.lib.stride_tricks.sliding_window_view(padded, size * count)
    means = stretches.reshape(len(y), count, size).mean(2)
    result: Floats = means - means.mean(1, keepdims=True)
    return result
