"""Teacher: some of what came true, for a decoder that reads what it has written (scheduled sampling).

Bengio et al. (2015): a decoder that always reads the truth in training never learns to live with its own errors, and
one that never does learns slowly at first. So patches are told at random, ever fewer of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net.framing import normalised, transformed
from lstmcast.net.transforms import Transform


class Told(NamedTuple):
    """``z`` (B, J·p, D) normalised, where it is ``given``, bool alike."""

    z: Tensor
    given: Tensor


class Teacher(NamedTuple):
    """``target`` and ``observed`` (B, H, D) in the user's units, and which of the J patches are told, (B, J) bool."""

    target: Tensor
    observed: Tensor
    patches: Tensor

    def told(self, transform: Transform, location: Tensor, scale: Tensor, factor: Tensor, offset: Tensor) -> Told:
        """The patches told, as the network would have read them; arguments as in ``Prediction``."""
        y, observed = transformed(transform, (self.target - offset) / factor, self.observed)
        return self.read_as(normalised(y, observed, location, scale), observed)

    def read_as(self, z: Tensor, observed: Tensor) -> Told:
        """The patches told where the network reads the target as z (B, H, ·), ``observed`` alike."""
        patch = -(-z.shape[1] // self.patches.shape[1])
        spare = (0, 0, 0, patch * self.patches.shape[1] - z.shape[1])
        rows = self.patches.repeat_interleave(patch, 1).unsqueeze(-1)
        return Told(F.pad(z, spare), F.pad(observed, spare) & rows)


def draw(target: Tensor, observed: Tensor, *, patch: int, share: float, generator: torch.Generator) -> Teacher | None:
    """A teacher that tells each patch with the chance ``share``; None where it never tells."""
    if not share:
        return None
    drawn = torch.rand(len(target), -(-target.shape[1] // patch), generator=generator) < share
    return Teacher(target, observed, drawn.to(target.device))
