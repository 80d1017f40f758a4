"""Errors in units a person would compare series by."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net import masked
from lstmcast.net.heads.quantile import level_weights

_PERCENTAGE, _SCALED = 0.14, 2.0  # usual sizes of sMAPE and MASE, so that both count alike
_LARGEST = 20.0


def relative_loss(
    quantiles: Tensor, levels: tuple[float, ...], target: Tensor, observed: Tensor, ruler: Tensor
) -> Tensor:
    """Pinball loss of quantiles (B, H, D, Q) and target (B, H, D) in the user's units, half relative to the magnitude
    of target and forecast, as sMAPE is, and half to the change over a season, as MASE is.

    ``ruler`` (B, 2, D) holds the mean magnitude and the mean seasonal change of the history.
    """
    size, change = ruler[:, :1], ruler[:, 1:]
    median = quantiles[..., levels.index(0.5)]
    target = torch.where(observed, target, median.detach())
    error = target.unsqueeze(-1) - quantiles
    level = error.new_tensor(levels)
    pinball = 2 * torch.maximum(level * error, (level - 1) * error)
    magnitude = (target.abs() + median.detach().abs()) / 2 + 1e-3 * size + masked.TINY
    percentage = pinball / magnitude.unsqueeze(-1)
    scaled = pinball / (change + 0.01 * size + masked.TINY).unsqueeze(-1)
    loss = percentage.clamp(max=_LARGEST) / _PERCENTAGE + scaled.clamp(max=_LARGEST) / _SCALED
    loss = loss * level_weights(levels, loss)
    return masked.mean_of_all(torch.where(observed.unsqueeze(-1), loss, 0.0), observed)
