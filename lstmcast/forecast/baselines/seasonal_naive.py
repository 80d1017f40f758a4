"""Seasonal naive: the coming season is like the last one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.baselines import last_observed


class SeasonalNaive:
    """Repeats the last season of each row. A ``Baseline``.

    A phase of the season that was not observed is taken from one season further back, and so on; a phase that never
    was, from the last observed value. Without a season this is the naive forecast.
    """

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        season = max(season, 1)
        missing = -context.shape[1] % season  # whole seasons, counted back from the origin
        padded = np.pad(context, ((0, 0), (missing, 0)), constant_values=np.nan)
        cycles = padded.reshape(len(context), padded.shape[1] // season, season)
        last_season = last_observed(cycles, axis=1)  # (B, season)
        filled = np.where(np.isnan(last_season), last_observed(context)[:, None], last_season)
        return filled[:, np.arange(horizon) % season]
