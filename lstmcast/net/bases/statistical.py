"""Classical methods, for a gate to choose among."""

from __future__ import annotations

from torch import Tensor

from lstmcast.net.smoothing import METHODS


class Statistical:
    """The forecasts of the methods of ``net.smoothing``, each fitted to the whole history. The network learns, step by
    step, how much to trust which, and begins with their mean."""

    methods = len(METHODS)

    def __init__(self, *, horizon: int, seasons: tuple[int, ...]) -> None:
        del horizon, seasons

    def forecast(self, z: Tensor, observed: Tensor, classical: Tensor | None) -> Tensor:
        del z, observed
        if classical is None:
            raise ValueError("base 'statistical' needs the forecasts of a summary")
        return classical
