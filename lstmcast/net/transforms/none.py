"""No transform."""

from __future__ import annotations

from torch import Tensor


class Identity:
    """g(x) = x."""

    def __init__(self, parameter: float = 0.0) -> None:
        del parameter

    def forward(self, x: Tensor) -> Tensor:
        return x

    def inverse(self, y: Tensor) -> Tensor:
        return y
