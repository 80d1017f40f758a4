"""Logarithm of one more."""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 80.0  # e^80 is still a float32


class Log1p:
    """g(x) = log(1 + x). Values of -1 and below have no image."""

    def __init__(self, parameter: float = 0.0) -> None:
        del parameter

    def forward(self, x: Tensor) -> Tensor:
        inside = x > -1
        return torch.where(inside, x, 0.0).log1p().where(inside, torch.nan)

    def inverse(self, y: Tensor) -> Tensor:
        return y.clamp(-LIMIT, LIMIT).expm1()
