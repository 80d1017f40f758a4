"""Naive: tomorrow is like today."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.baselines import last_observed


class Naive:
    """Repeats the last observed value of each row. A ``Baseline``; the season plays no part."""

    def forecast(
        self,
        context: NDArray[np.float64],
        *,
        horizon: int,
        season: int,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        return np.repeat(last_observed(context)[:, None], horizon, axis=1)
