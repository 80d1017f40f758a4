"""Random masks, many at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_STEPS = 1 << 16


def ones(shape: tuple[int, ...], share: float, *, like: Tensor) -> Tensor:
    """Zeros and, with probability ``share`` (to 1/65536), ones, of the type of ``like``. Each number of the generator
    gives four of them: a mask for every step of a sequence would otherwise take as long as the step. Those of
    sequences, (B, T, C), lie in memory as the loop over time reads them."""
    laid = (shape[1], shape[0], shape[2]) if len(shape) == 3 else shape
    count = math.prod(laid)
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device).random_(-(1 << 63), None)
    mask = torch.empty(laid, dtype=like.dtype, device=like.device)
    torch.lt(bits.view(torch.int16)[:count].view(laid), round(share * _STEPS) - _STEPS // 2, out=mask)
    return mask.transpose(0, 1) if len(shape) == 3 else mask
