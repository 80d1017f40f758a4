"""Error-weighted seasonal naive."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net import masked


class Seasonal:
    """Each season m repeats its last m values; the repeats are mixed by how well they did inside the context.

    e_m is the mean of |z_t − z_{t−m}| over the last max(seasons) rows, the weight of season m grows as e_m⁻³.
    A row that was not observed takes the newest observed value; a season without a single observed pair has no say.
    """

    methods = 1

    def __init__(self, *, horizon: int, seasons: tuple[int, ...]) -> None:
        self.horizon, self.seasons = horizon, seasons

    def forecast(self, z: Tensor, observed: Tensor, classical: Tensor | None) -> Tensor:
        del classical
        newest = masked.last(z, observed)
        filled = torch.where(observed, z, newest)
        weights = torch.stack([self._weight(z, observed, season) for season in self.seasons])
        total = weights.sum(0)
        mixed = sum(
            (weight * self._repeat(filled, season) for weight, season in zip(weights, self.seasons, strict=True)),
            start=torch.zeros_like(newest),
        )
        return torch.where(total > 0, mixed / total.clamp(min=masked.TINY), newest).unsqueeze(-1)

    def _weight(self, z: Tensor, observed: Tensor, season: int) -> Tensor:
        rows = min(max(self.seasons), z.shape[1] - season)
        now, before = slice(-rows, None), slice(-rows - season, -season)
        pair = observed[:, now] & observed[:, before]
        error = masked.mean(torch.where(pair, (z[:, now] - z[:, before]).abs(), 0.0), pair)
        return torch.where(pair.any(1, keepdim=True), (error + 1e-4).pow(-3), 0.0)

    def _repeat(self, filled: Tensor, season: int) -> Tensor:
        steps = torch.arange(self.horizon, device=filled.device) % season
        return filled[:, filled.shape[1] - season + steps]
