"""Quantiles that cannot cross."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked


def level_weights(levels: tuple[float, ...], like: Tensor) -> Tensor:
    """The share (Q,) of each level in the loss: half for the median, the rest for the others alike."""
    others = len(levels) - 1
    return like.new_tensor([0.5 / others if level != 0.5 else 0.5 for level in levels] if others else [1.0])


class QuantileHead:
    """The median, and from it outwards one positive gap per level: q_{k±j} = q_k ± Σ softplus(v − 1).

    Trained with the pinball loss at all levels (Koenker & Bassett 1978), twice, so that the median's part is the
    absolute error. The median counts as much as all other levels together: it is the forecast.
    """

    probabilistic = True

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.levels = quantiles
        self.width = len(quantiles)
        self.median = quantiles.index(0.5)

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        return torch.stack(self._levels(raw, centre), -1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        level = raw.new_tensor(self.levels)
        error = masked.error(self.quantiles(raw, centre), target.unsqueeze(-1), observed.unsqueeze(-1))
        pinball = 2 * torch.maximum(level * error, (level - 1) * error)
        return masked.mean_of_all(pinball * level_weights(self.levels, pinball), observed)

    def _levels(self, raw: Tensor, centre: Tensor) -> list[Tensor]:
        # Added one after the other, not by a matrix product, whose rounding could let neighbours cross.
        middle = raw[..., self.median] + centre
        gaps = F.softplus(raw - 1).unbind(-1)
        below, above = [middle], [middle]
        for gap in reversed(gaps[: self.median]):
            below.append(below[-1] - gap)
        for gap in gaps[self.median + 1 :]:
            above.append(above[-1] + gap)
        return below[:0:-1] + above
