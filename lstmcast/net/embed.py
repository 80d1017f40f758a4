"""What the recurrent network reads at one step: a patch of rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstmcast.net import weights


class Embed(nn.Module):
    """Folds ``patch`` rows of values, observed flags and covariates into one vector: (B, T, ·) -> (B, P, C).

    A context that the patch does not divide is padded on the left with rows that are not observed, so that the newest
    patch always ends at the cutoff.
    """

    def __init__(self, *, patch: int, targets: int, covariates: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.patch = patch
        self.linear = weights.linear(patch * (2 * targets + covariates), hidden, generator=generator)

    def forward(self, z: Tensor, observed: Tensor, covariates: Tensor) -> Tensor:
        """z (B, T, D) zero where not observed (B, T, D), covariates (B, T, K) standardised."""
        rows = torch.cat([z, observed.to(z.dtype), covariates], -1)
        rows = F.pad(rows, (0, 0, -rows.shape[1] % self.patch, 0))
        folded = rows.reshape(len(rows), rows.shape[1] // self.patch, self.patch * rows.shape[2])
        embedded: Tensor = torch.relu(self.linear(folded))
        return embedded
