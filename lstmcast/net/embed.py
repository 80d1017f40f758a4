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
        self.width = 2 * targets + covariates
        self.linear = weights.linear(patch * self.width, hidden, generator=generator)

    def forward(self, z: Tensor, observed: Tensor, covariates: Tensor) -> Tensor:
        """z (B, T, D) zero where not observed (B, T, D), covariates (B, T, K) standardised."""
        rows = F.pad(self.rows(z, observed, covariates), (0, 0, -z.shape[1] % self.patch, 0))
        return self.fold(rows.reshape(len(rows), rows.shape[1] // self.patch, self.patch, rows.shape[2]))

    def rows(self, z: Tensor, observed: Tensor, covariates: Tensor) -> Tensor:
        """All that is known of each row, (B, T, F); arguments as in ``forward``."""
        return torch.cat([z, observed.to(z.dtype), covariates], -1)

    def fold(self, patches: Tensor) -> Tensor:
        """Patches of rows (..., p, F) -> (..., C)."""
        embedded: Tensor = torch.relu(self.linear(patches.flatten(-2)))
        return embedded
