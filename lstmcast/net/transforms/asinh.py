"""Inverse hyperbolic sine."""

from __future__ import annotations

from torch import Tensor

LIMIT = 80.0  # sinh 80 is still a float32


class Asinh:
    """g(x) = asinh x: linear near zero, logarithmic in both tails."""

    def __init__(self, parameter: float = 0.0) -> None:
        del parameter

    def forward(self, x: Tensor) -> Tensor:
        return x.asinh()

    def inverse(self, y: Tensor) -> Tensor:
        return y.clamp(-LIMIT, LIMIT).sinh()
