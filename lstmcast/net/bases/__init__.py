"""Bases: simple forecasts of the same context, which the network corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor


class Base(Protocol):
    """Built as ``Base(horizon=H, seasons=...)``. Uses the context only and learns nothing."""

    def forecast(self, z: Tensor, observed: Tensor) -> Tensor:
        """z (B, T, D) normalised values, zero where not observed (B, T, D) bool -> (B, H, D) normalised."""
        ...


BASES = Family(
    "base",
    {
        "none": Member("lstmcast.net.bases.none:Nothing", "no base: the network forecasts by itself"),
        "seasonal": Member("lstmcast.net.bases.seasonal:Seasonal", "repeats the seasons, weighted by recent error"),
    },
)
