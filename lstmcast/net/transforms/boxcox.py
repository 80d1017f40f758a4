"""Box-Cox power transform."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

LIMIT = 80.0  # e^80 is still a float32


class BoxCox:
    """g(x) = (x^λ − 1) / λ, the logarithm at λ = 0 (Box & Cox 1964). ``parameter`` is λ in [0, 1]: below 0 a finite
    forecast would have no inverse. Negative values have no image, nor has zero at λ = 0."""

    def __init__(self, parameter: float = 0.0) -> None:
        self.power = parameter

    def forward(self, x: Tensor) -> Tensor:
        inside = x >= 0 if self.power else x > 0
        safe = torch.where(inside, x, 1.0)
        image = (safe.pow(self.power) - 1) / self.power if self.power else safe.log()
        return image.where(inside, torch.nan)

    def inverse(self, y: Tensor) -> Tensor:
        if not self.power:
            return y.clamp(-LIMIT, LIMIT).exp()
        return (self.power * y + 1).clamp(0, torch.tensor(LIMIT * self.power).exp().item()).pow(1 / self.power)


def guerrero(series: Sequence[NDArray[np.float64]], *, season: int) -> float:
    """The λ in [0, 1] at which the spread within seasons varies least with their level (Guerrero 1993).

    The median over those of ``series`` (each float64 (n,), without gaps) that have three seasons of positive level;
    1, which changes nothing, if none has.
    """
    length = max(season, 2)
    found = []
    for values in series:
        blocks = values[len(values) % length :].reshape(-1, length)
        level, spread = blocks.mean(1), blocks.std(1, ddof=1)
        if len(blocks) >= 3 and (level > 0).all() and spread.any():
            found.append(_steadiest(level, spread))
    return round(float(np.median(found)), 3) if found else 1.0


def _steadiest(level: NDArray[np.float64], spread: NDArray[np.float64]) -> float:
    def variation(power: float) -> float:
        ratio = spread / level ** (1 - power)
        return float(ratio.std() / ratio.mean())

    return float(minimize_scalar(variation, bounds=(0, 1), method="bounded").x)
