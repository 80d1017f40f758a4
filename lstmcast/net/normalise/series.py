"""Around the mean of the whole series."""

from __future__ import annotations

from torch import Tensor

from lstmcast.net import masked


class Series:
    """Location: the mean of all rows of the series up to the cutoff; of the context alone where that is not told.
    Scale: the deviation over the context, or with spread 'history' that of all these rows, so that every context of a
    series is measured alike."""

    def __init__(self, *, context: int, seasons: tuple[int, ...]) -> None:
        del context, seasons

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        location = masked.mean(y, observed) if level is None else level
        return location, masked.scale(y, observed)
