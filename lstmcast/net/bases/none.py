"""No base."""

from __future__ import annotations

from torch import Tensor


class Nothing:
    """Zero: the location of the context."""

    methods = 1

    def __init__(self, *, horizon: int, seasons: tuple[int, ...]) -> None:
        del seasons
        self.horizon = horizon

    def forecast(self, z: Tensor, observed: Tensor, classical: Tensor | None) -> Tensor:
        del observed, classical
        return z.new_zeros(z.shape[0], self.horizon, z.shape[2], 1)
