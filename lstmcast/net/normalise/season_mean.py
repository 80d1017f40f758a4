"""Around the mean of the last season."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net import masked


class SeasonMean:
    """Location: the mean over the longest season at the end of the context. Scale: the deviation over the context.

    Where nothing of that season was observed, the newest observed value stands in.
    """

    def __init__(self, *, context: int, seasons: tuple[int, ...]) -> None:
        self.season = min(max(seasons), context)

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        del level
        recent = observed[:, -self.season :]
        seen = recent.any(1, keepdim=True)
        location = torch.where(seen, masked.mean(y[:, -self.season :], recent), masked.last(y, observed))
        return location, masked.scale(y, observed)
