"""Value transforms g: the space in which the network reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor


class Transform(Protocol):
    """A strictly increasing function and its inverse, built as ``Transform(parameter)``; most ignore the parameter.

    NaN from ``forward`` means that the value has no image: it then counts as not observed. ``inverse`` is finite for
    every finite input, however far a forecast extrapolates.
    """

    def forward(self, x: Tensor) -> Tensor: ...

    def inverse(self, y: Tensor) -> Tensor: ...


TRANSFORMS = Family(
    "transform",
    {
        "none": Member("lstmcast.net.transforms.none:Identity", "values as they are"),
        "log": Member("lstmcast.net.transforms.log:Log", "logarithm, for positive values that grow in proportion"),
        "log1p": Member("lstmcast.net.transforms.log1p:Log1p", "log(1 + x), for counts"),
        "asinh": Member("lstmcast.net.transforms.asinh:Asinh", "inverse hyperbolic sine, for heavy tails with zeros"),
        "boxcox": Member("lstmcast.net.transforms.boxcox:BoxCox", "a power between logarithm (0) and identity (1)"),
    },
)
