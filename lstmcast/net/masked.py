"""Statistics over the observed entries of the time axis. Values that are not observed must be zero already."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-12


def mean(x: Tensor, observed: Tensor) -> Tensor:
    """Mean over axis 1, kept: (B, T, D) -> (B, 1, D). 0 where nothing is observed."""
    return x.sum(1, keepdim=True) / observed.sum(1, keepdim=True).clamp(min=1)


def last(x: Tensor, observed: Tensor) -> Tensor:
    """The newest observed value, (B, T, D) -> (B, 1, D). 0 where nothing is observed."""
    position = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
    newest = (observed * position).amax(1, keepdim=True)
    value = x.gather(1, (newest - 1).clamp(min=0))
    return torch.where(newest > 0, value, 0.0)


def repeat(x: Tensor, observed: Tensor, *, season: int, horizon: int) -> Tensor:
    """The last ``season`` rows again and again, (B, T, D) -> (B, horizon, D).

    A row that was not observed is taken from one season further back, and so on; one that never was, from the newest
    observed value.
    """
    rows = x.shape[1] - season + torch.arange(min(season, horizon), device=x.device)
    value = last(x, observed).expand(-1, len(rows), -1)
    for back in range(x.shape[1] // season, -1, -1):  # oldest first, so that newer ones replace it
        at = rows - back * season
        seen = observed[:, at.clamp(min=0)] & (at >= 0)[:, None]
        value = torch.where(seen, x[:, at.clamp(min=0)], value)
    return value[:, torch.arange(horizon, device=x.device) % len(rows)]


def scale(x: Tensor, observed: Tensor) -> Tensor:
    """The unit in which a context is measured, (B, T, D) -> (B, 1, D): its deviation, floored."""
    distance = torch.where(observed, x - mean(x, observed), 0.0)
    deviation = mean(distance.square(), observed).clamp(min=TINY**2).sqrt()
    return floored(deviation, mean(x.abs(), observed))


def floored(deviation: Tensor, magnitude: Tensor) -> Tensor:
    """The deviation, but never below a thousandth of the mean magnitude, and never zero.

    Without that floor the rounding noise of a context that stands still would be blown up to size one.
    """
    return torch.maximum(deviation, 1e-3 * magnitude).clamp(min=TINY)


LARGEST_ERROR = 50.0
"""In normalised units. One absurd target cannot drown a batch."""


def error(forecast: Tensor, target: Tensor, observed: Tensor) -> Tensor:
    """target − forecast where observed, 0 elsewhere, cut off at ±50."""
    return torch.where(observed, target - forecast, 0.0).clamp(-LARGEST_ERROR, LARGEST_ERROR)


def mean_of_all(x: Tensor, observed: Tensor) -> Tensor:
    """Mean over all observed entries of x, which is zero elsewhere: a scalar, 0 where nothing is observed."""
    return x.sum() / observed.sum().clamp(min=1)


def positive(raw: Tensor) -> Tensor:
    """A spread in normalised units from any number: softplus, never below a thousandth."""
    return F.softplus(raw) + 1e-3
