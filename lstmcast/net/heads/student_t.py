"""Student's t distribution."""

from __future__ import annotations

import math

import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked

FEWEST, MOST = 2.01, 200.0
"""Degrees of freedom: a variance exists, and beyond these the distribution is normal."""


class StudentTHead:
    """Location, scale and degrees of freedom of Student's t, by maximum likelihood. Outliers pull less than on a
    normal distribution (Lange, Little & Taylor 1989)."""

    probabilistic = True
    width = 3

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.levels = quantiles
        self.median = quantiles.index(0.5)

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        place, scale, freedom = self._parameters(raw, centre)
        deviate = stdtrit(freedom.detach().double().cpu().unsqueeze(-1).numpy(), self.levels)
        deviate[..., self.median] = 0.0
        away = torch.from_numpy(deviate).to(raw).cummax(-1).values
        return place.unsqueeze(-1) + scale.unsqueeze(-1) * away

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        place, scale, freedom = self._parameters(raw, centre)
        error = masked.error(place, target, observed) / scale
        constant = torch.lgamma(freedom / 2) - torch.lgamma((freedom + 1) / 2) + (math.pi * freedom).log() / 2
        surprise = constant + scale.log() + (freedom + 1) / 2 * (error.square() / freedom).log1p()
        return masked.mean_of_all(surprise * observed, observed)

    def _parameters(self, raw: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        freedom = (FEWEST + F.softplus(raw[..., 2] + 2)).clamp(max=MOST)
        return raw[..., 0] + centre, masked.positive(raw[..., 1]), freedom
