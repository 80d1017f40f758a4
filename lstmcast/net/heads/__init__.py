"""Heads: what the network is asked for, how far it is off, and what that says about the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor

    from lstmcast.net.transforms import Transform


class Head(Protocol):
    """Built as ``Head(quantiles)``. All values are normalised; ``centre`` is the forecast before the network's say.

    ``width``         numbers the network writes per horizon step and target
    ``median``        index of the point forecast along Q
    ``probabilistic`` True: forecasts every quantile level it was built with; False: one number, Q = 1
    No single error counts for more than ``masked.LARGEST_ERROR``.
    """

    width: int
    median: int
    probabilistic: bool

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        """raw (..., width), centre (...) -> (..., Q), ascending along Q."""
        ...

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        """Mean loss over the observed entries of target (...). 0 where nothing is observed."""
        ...


class Units(NamedTuple):
    """What a normalised value stands for: z = (g(x) − location) / scale. Alone: z are the values themselves.

    ``location`` and ``scale`` broadcast against z; ``transform`` is g, None for the identity.
    """

    location: Tensor | float = 0.0
    scale: Tensor | float = 1.0
    transform: Transform | None = None

    def values(self, z: Tensor) -> Tensor:
        """x, in the user's units."""
        y = self.location + self.scale * z
        return y if self.transform is None else self.transform.inverse(y)

    def normalised(self, x: Tensor) -> Tensor:
        """z."""
        y = x if self.transform is None else self.transform.forward(x)
        return (y - self.location) / self.scale


@runtime_checkable
class UnitHead(Head, Protocol):
    """A head whose loss is a matter of the user's units: counts, percentages, classes."""

    def in_units(self, units: Units) -> Head:
        """The same head, for values that stand for these."""
        ...


LOSSES = Family(
    "loss",
    {
        "quantile": Member("lstmcast.net.heads.quantile:QuantileHead", "pinball loss at every quantile level"),
        "gaussian": Member("lstmcast.net.heads.gaussian:GaussianHead", "likelihood of a normal distribution"),
        "student_t": Member("lstmcast.net.heads.student_t:StudentTHead", "likelihood of Student's t: heavy tails"),
        "negative_binomial": Member(
            "lstmcast.net.heads.negative_binomial:NegativeBinomialHead", "likelihood of counts, such as daily sales"
        ),
        "binned": Member("lstmcast.net.heads.binned:BinnedHead", "a histogram: any shape, several humps too"),
        "mae": Member("lstmcast.net.heads.mae:MAEHead", "mean absolute error: the median, without intervals"),
        "mse": Member("lstmcast.net.heads.mse:MSEHead", "mean squared error: the mean, without intervals"),
        "huber": Member("lstmcast.net.heads.huber:HuberHead", "squared for small errors, absolute for large ones"),
        "smape_mase": Member(
            "lstmcast.net.heads.smape_mase:SMAPEMASEHead", "half sMAPE, half scaled absolute error, without intervals"
        ),
        "categorical": Member(
            "lstmcast.net.heads.categorical:CategoricalHead", "a probability for each class, where the target is words"
        ),
    },
)


CLASSES = "categorical"
"""The only loss for a target of classes, and for nothing else."""


def is_probabilistic(loss: str) -> bool:
    """Whether the head called ``loss`` forecasts quantile levels rather than one number."""
    return bool(LOSSES.load(loss).probabilistic)
