"""Logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 80.0  # e^80 is still a float32


class Log:
    """g(x) = log x. Zero and negative values have no image."""

    def __init__(self, parameter: float = 0.0) -> None:
        del parameter

    def forward(self, x: Tensor) -> Tensor:
        positive = x > 0
        return torch.where(positive, x, 1.0).log().where(positive, torch.nan)

    def inverse(self, y: Tensor) -> Tensor:
        return y.clamp(-LIMIT, LIMIT).exp()
