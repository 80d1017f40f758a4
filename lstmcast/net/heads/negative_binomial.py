"""Negative binomial distribution, for counts."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import nbdtrik
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked
from lstmcast.net.heads import Units

SMALLEST, LARGEST = 1e-6, 1e12
"""Expected counts."""


class NegativeBinomialHead:
    """Mean μ and dispersion α of counts with variance μ + αμ², by maximum likelihood (Salinas et al. 2020).

    The centre is read as a count; the network multiplies it, so that any rate above zero can be reached. Quantiles are
    whole numbers.
    """

    probabilistic = True
    width = 2

    def __init__(self, quantiles: tuple[float, ...], *, units: Units = Units()) -> None:  # noqa: B008  # a constant
        self.levels, self._units = quantiles, units
        self.median = quantiles.index(0.5)

    def in_units(self, units: Units) -> NegativeBinomialHead:
        return NegativeBinomialHead(self.levels, units=units)

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        mean, size = (part.detach().cpu().unsqueeze(-1).numpy() for part in self._parameters(raw, centre))
        level = np.array(self.levels)
        none = (size / (size + mean)) ** size >= level  # no count at all is likely enough
        with np.errstate(all="ignore"):
            exact = nbdtrik(level, size, size / (size + mean))
        # Where the inversion gives up, far out, counts are spread as a normal distribution would be.
        count = np.where(none, 0.0, np.where(np.isfinite(exact), np.ceil(exact - 1e-9), mean))
        count = np.maximum.accumulate(np.maximum(count, 0.0), axis=-1)
        return torch.stack([self._units.normalised(q) for q in torch.from_numpy(count).to(raw).unbind(-1)], -1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        mean, size = self._parameters(raw, centre)
        near = centre.detach() + masked.error(centre.detach(), target, observed)
        count = self._units.values(near).clamp(min=0).to(mean)
        surprise = (
            torch.lgamma(size)
            + torch.lgamma(count + 1)
            - torch.lgamma(count + size)
            + size * (mean / size).log1p()
            + count * (size / mean).log1p()
        )
        return masked.mean_of_all(surprise * observed, observed).to(raw.dtype)

    def _parameters(self, raw: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        # lgamma of large counts leaves nothing of a float32; Apple's GPUs have no other.
        wide = torch.float32 if raw.device.type == "mps" else torch.float64
        level = F.softplus(self._units.values(centre).to(wide)).clamp(SMALLEST, LARGEST)
        mean = (level * raw[..., 0].to(wide).clamp(-30, 30).exp()).clamp(SMALLEST, LARGEST)
        dispersion = F.softplus(raw[..., 1].to(wide)).clamp(1e-4, 1e4)
        return mean, 1 / dispersion
