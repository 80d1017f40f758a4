"""Around the last value."""

from __future__ import annotations

from torch import Tensor

from lstmcast.net import masked


class Last:
    """Location: the newest observed value. Scale: the deviation over the context."""

    def __init__(self, *, context: int, seasons: tuple[int, ...]) -> None:
        del context, seasons

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        del level
        return masked.last(y, observed), masked.scale(y, observed)
