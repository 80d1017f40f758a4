"""Huber loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked

TURN = 0.5
"""Error at which the loss turns from squared to absolute, in normalised units."""


class HuberHead:
    """One number per step; errors below half a deviation count squared, larger ones absolutely (Huber 1964)."""

    width = 1
    median = 0
    probabilistic = False

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        del quantiles

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        return raw + centre.unsqueeze(-1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        error = masked.error(raw.squeeze(-1) + centre, target, observed)
        elementwise = F.smooth_l1_loss(error, error.new_zeros(()).expand_as(error), beta=TURN, reduction="none")
        return masked.mean_of_all(elementwise, observed)
