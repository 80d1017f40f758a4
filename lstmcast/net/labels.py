"""Labels: a context of classes as the network reads it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net.framing import Frame


def labelled(codes: Tensor, observed: Tensor, *, classes: int) -> Frame:
    """The frame of a context (B, T, 1) of class numbers: one column for each class, 1 where it holds, 0 elsewhere."""
    known = torch.where(observed, codes, 0.0).round().long().clamp(0, classes - 1)[..., 0]
    z = F.one_hot(known, classes).to(codes.dtype) * observed
    one = z.new_ones(1, 1, 1)
    return Frame(z, observed.expand_as(z), torch.zeros_like(one), one, one, torch.zeros_like(one), None, None, one)


def log_shares(z: Tensor, observed: Tensor) -> Tensor:
    """Logarithms (B, 1, K) of how often each class came up in a context (B, T, K), as if each had once more."""
    count = z.sum(1, keepdim=True) + 1
    rows = observed.any(-1, keepdim=True).sum(1, keepdim=True) + z.shape[-1]
    return torch.log(count / rows)
