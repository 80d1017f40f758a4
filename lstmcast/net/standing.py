"""What is known of a series as a whole, as numbers that go into every row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcast.net import weights
from lstmcast.net.architecture import WORD

LARGEST = 20.0
"""As for other covariates: one absurd number cannot drown the rest."""


class Standing(nn.Module):
    """Static covariates (B, S) -> (B, E): numbers standardised over the series, words as learned vectors.

    ``words`` (S,) says how many words a covariate has, 0 for a number. Of a word that training never saw nothing is
    known: it gets the mean of all vectors; a missing number counts as the mean of its covariate.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, words: tuple[int, ...], *, generator: torch.Generator) -> None:
        super().__init__()
        self.words = words
        self.tables = nn.ParameterList(
            weights.normal(count, min(WORD, count), generator=generator) for count in words if count
        )
        self.register_buffer("mean", torch.zeros(len(words)))
        self.register_buffer("scale", torch.ones(len(words)))

    def set_scale(self, mean: Tensor, scale: Tensor) -> None:
        """Standardise numbers with these means and deviations (S,) from now on; a deviation of 0 counts as 1."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(scale > 0, scale, 1.0))

    def forward(self, static: Tensor) -> Tensor:
        """static (B, S): numbers as they are, words by their number, NaN where not known."""
        tables = iter(self.tables)
        parts = []
        for place, count in enumerate(self.words):
            value = static[:, place]
            if not count:
                z = (value - self.mean[place]) / self.scale[place]
                parts.append(torch.nan_to_num(z, nan=0.0).clamp(-LARGEST, LARGEST).unsqueeze(1))
                continue
            table = next(tables)
            known = value.isfinite() & (value < count)
            vector = table[torch.where(known, value, 0.0).long()]
            parts.append(torch.where(known.unsqueeze(1), vector, table.mean(0)))
        return torch.cat(parts, 1)
