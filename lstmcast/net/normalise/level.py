"""Around a smoothed level."""

from __future__ import annotations

from torch import Tensor

from lstmcast.net import masked


class Level:
    """Location: the newest level by simple exponential smoothing of the whole history, less jumpy than the newest
    value. Scale: the deviation over the context."""

    def __init__(self, *, context: int, seasons: tuple[int, ...]) -> None:
        del context, seasons

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        location = masked.last(y, observed) if level is None else level
        return location, masked.scale(y, observed)
