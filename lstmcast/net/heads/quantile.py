"""Quantiles that cannot cross."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked


class QuantileHead:
    """The median, and from it outwards one positive gap per level: q_{k±j} = q_k ± Σ softplus(v − 1).

    Trained with the pinball loss at all levels (Koenker & Bassett 1978), twice, so that the median's part is the
    absolute error.
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
        return masked.mean_of_all(pinball, observed) / len(self.levels)

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
