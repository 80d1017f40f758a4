"""Around a running level."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net import masked
from lstmcast.net.cells import State

SHORTEST_MEMORY = 500
"""In rows. A level that moved as fast as the series would hide from a network with carried state how old values compare
with new ones."""


class Causal:
    """Location: the running mean of the rows so far. Scale: their running deviation. Rows that are not observed move
    neither. A single row has no deviation: the scale is ``masked.TINY`` until the second.

    The first n rows weigh equally; from then on older ones fade with a memory of n rows, n the largest of ten
    contexts, three of the longest season and 500.
    State: rows counted, mean, variance and mean magnitude, each (B, D).
    """

    def __init__(self, *, context: int, seasons: tuple[int, ...]) -> None:
        self.memory = float(max(10 * context, 3 * max(seasons, default=0), SHORTEST_MEMORY))

    def initial_state(self, lanes: int, like: Tensor) -> State:
        zero = like.new_zeros(lanes, like.shape[-1])
        return zero, zero, zero, zero

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        del level
        location, scale, _ = self.stream(y, observed, self.initial_state(len(y), y))
        return location[:, -1:], scale[:, -1:]

    def stream(self, y: Tensor, observed: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        count, level, variance, magnitude = state
        levels, variances, magnitudes, known = [], [], [], []
        for y_t, seen in zip(y.unbind(1), observed.unbind(1), strict=True):
            count = torch.where(seen, (count + 1).clamp(max=self.memory), count)
            weight = torch.where(seen, 1 / count.clamp(min=1), 0.0)
            distance = y_t - level
            level = level + weight * distance  #                                  (1) m = m₋ + a(y − m₋)
            variance = (1 - weight) * (variance + weight * distance.square())  #  (2) v = (1−a)(v₋ + a(y − m₋)²)
            magnitude = magnitude + weight * (y_t.abs() - magnitude)
            levels.append(level)
            variances.append(variance)
            magnitudes.append(magnitude)
            known.append(count > 1)
        deviation = torch.stack(variances, 1).clamp(min=masked.TINY**2).sqrt()
        scale = masked.floored(deviation, torch.stack(magnitudes, 1))
        scale = torch.where(torch.stack(known, 1), scale, masked.TINY)
        return torch.stack(levels, 1), scale, (count, level, variance, magnitude)
