"""Normal distribution."""

from __future__ import annotations

from statistics import NormalDist

from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked

BEND = 8.0
"""Standard deviations beyond which an error counts in proportion, not squared: no sample of a normal gets there."""


class GaussianHead:
    """Mean and deviation of a normal distribution, by maximum likelihood."""

    probabilistic = True
    width = 2

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.deviates = tuple(NormalDist().inv_cdf(level) for level in quantiles)
        self.median = quantiles.index(0.5)

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        mean, deviation = raw[..., :1] + centre.unsqueeze(-1), masked.positive(raw[..., 1:])
        return mean + deviation * raw.new_tensor(self.deviates)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        deviation = masked.positive(raw[..., 1])
        error = masked.error(raw[..., 0] + centre, target, observed) / deviation
        squared = F.huber_loss(error, error.new_zeros(()).expand_as(error), delta=BEND, reduction="none")
        return masked.mean_of_all((squared + deviation.log()) * observed, observed)
