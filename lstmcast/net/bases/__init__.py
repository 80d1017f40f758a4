"""Bases: simple forecasts of the same context, which the network corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor


class Base(Protocol):
    """Built as ``Base(horizon=H, seasons=...)``. Learns nothing. ``methods`` K forecasts to choose among; where there
    are several, the network writes the weights of a gate."""

    methods: int

    def forecast(self, z: Tensor, observed: Tensor, classical: Tensor | None) -> Tensor:
        """z (B, T, D) normalised values, zero where not observed (B, T, D) bool -> (B, H, D, K) normalised.

        ``classical`` (B, H, D, ·) are the methods of ``net.smoothing``, normalised, where the network summarises.
        """
        ...


BASES = Family(
    "base",
    {
        "none": Member("lstmcast.net.bases.none:Nothing", "no base: the network forecasts by itself"),
        "seasonal": Member("lstmcast.net.bases.seasonal:Seasonal", "repeats the seasons, weighted by recent error"),
        "statistical": Member("lstmcast.net.bases.statistical:Statistical", "five classical methods under a gate"),
    },
)
