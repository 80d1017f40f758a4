"""A histogram of what may come."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked

KNOTS = 101
CURVE = 6.0
"""How much finer the knots lie at the centre than at the ends: 0.09 apart there in normalised units, 3 at ±50."""


class BinnedHead:
    """A probability for each of ``KNOTS`` distances from the centre, by cross-entropy.

    A target between two knots is shared by them in proportion to its nearness, so that the centre feels which way it
    should move. Quantiles are read from the cumulative distribution, linear between knots. A classifier makes no
    assumption about the shape (van den Oord et al. 2016; shared targets: Bellemare et al. 2017).
    """

    probabilistic = True
    width = KNOTS

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.levels = quantiles
        self.median = quantiles.index(0.5)
        position = torch.linspace(-CURVE, CURVE, KNOTS, dtype=torch.float64).sinh()
        self.knots = masked.LARGEST_ERROR * position / position[-1]

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        knots, level = self.knots.to(raw), raw.new_tensor(self.levels)
        share = self._logits(raw).softmax(-1)
        cumulative = share.cumsum(-1) - share / 2
        level = level.expand(*share.shape[:-1], -1).contiguous()
        above = torch.searchsorted(cumulative, level).clamp(1, KNOTS - 1)
        low, high = cumulative.gather(-1, above - 1), cumulative.gather(-1, above)
        between = ((level - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
        distance = knots[above - 1] + between * (knots[above] - knots[above - 1])
        return centre.unsqueeze(-1) + distance.cummax(-1).values

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        knots = self.knots.to(raw)
        error = masked.error(centre, target, observed)
        above = torch.searchsorted(knots, error.detach().contiguous()).clamp(1, KNOTS - 1)
        nearness = (error - knots[above - 1]) / (knots[above] - knots[above - 1])
        logarithm = self._logits(raw).log_softmax(-1)
        low, high = (logarithm.gather(-1, k.unsqueeze(-1)).squeeze(-1) for k in (above - 1, above))
        return masked.mean_of_all(-torch.lerp(low, high, nearness) * observed, observed)

    def _logits(self, raw: Tensor) -> Tensor:
        # A network that says nothing stands for a bell of width one about the centre, not for an even spread to ±50.
        knots = self.knots.to(raw)
        spacing = torch.gradient(self.knots, edge_order=1)[0].to(raw)
        return raw + F.logsigmoid(1.7 * knots) + F.logsigmoid(-1.7 * knots) + spacing.log()
