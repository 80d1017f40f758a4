"""Heads: what the network is asked for, how far it is off, and what that says about the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor


class Head(Protocol):
    """Built as ``Head(quantiles)``. All values are normalised; ``centre`` is the forecast before the network's say.

    ``width``   numbers the network writes per horizon step and target
    ``median``  index of the point forecast along Q
    No single error counts for more than ``masked.LARGEST_ERROR``.
    """

    width: int
    median: int

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        """raw (..., width), centre (...) -> (..., Q), ascending along Q."""
        ...

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        """Mean loss over the observed entries of target (...). 0 where nothing is observed."""
        ...


LOSSES = Family(
    "loss",
    {
        "quantile": Member("lstmcast.net.heads.quantile:QuantileHead", "pinball loss at every quantile level"),
        "mae": Member("lstmcast.net.heads.mae:MAEHead", "mean absolute error: the median, without intervals"),
        "mse": Member("lstmcast.net.heads.mse:MSEHead", "mean squared error: the mean, without intervals"),
        "huber": Member("lstmcast.net.heads.huber:HuberHead", "squared for small errors, absolute for large ones"),
    },
)
