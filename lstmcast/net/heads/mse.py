"""Mean squared error."""

from __future__ import annotations

from torch import Tensor

from lstmcast.net import masked


class MSEHead:
    """One number per step, trained to be the mean."""

    width = 1
    median = 0
    probabilistic = False

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        del quantiles

    def quantiles(self, raw: Tensor, centre: Tensor) -> Tensor:
        return raw + centre.unsqueeze(-1)

    def loss(self, raw: Tensor, centre: Tensor, target: Tensor, observed: Tensor) -> Tensor:
        error = masked.error(raw.squeeze(-1) + centre, target, observed)
        return masked.mean_of_all(error.square(), observed)
