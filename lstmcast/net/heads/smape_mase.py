"""The two halves of the M4 score."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net import masked
from lstmcast.net.heads import Units


class SMAPEMASEHead:
    """One number per step; half symmetric percentage error, half scaled absolute error (Makridakis et al. 2020).

    The error is scaled by what one normalised unit is worth at the location: with a normaliser that measures mean
    absolute differences this is the MASE.
    """

    width = 1
    median = 0
    probabilistic = False

    def __init__(self, quantiles: tuple[float, ...], *, units: Units = Units()) -> None:  # noqa: B008  # a constant
        self._levels, self._units = quantiles, units

    def in_units(self, units: Units) -> SMAPEMASEHead:
        return SMAPEMASEHead(self._levels, units=units)

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        return raw + centre.unsqueeze(-1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        forecast = raw.squeeze(-1) + centre
        error = masked.error(forecast, target, observed)
        made, true = self._units.values(forecast), self._units.values((forecast + error).detach())
        one = torch.ones_like(centre)
        unit = (self._units.values(one) - self._units.values(-one)) / 2
        off = torch.where(observed, made - true, 0.0).abs()
        size = (made.abs() + true.abs()).clamp(min=masked.TINY)
        scaled = (off / unit.clamp(min=masked.TINY)).clamp(max=masked.LARGEST_ERROR)
        return masked.mean_of_all((2 * off / size + scaled) / 2, observed)
