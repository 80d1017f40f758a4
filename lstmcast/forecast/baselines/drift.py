"""Drift: the average change so far goes on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.forecast.baselines import last_observed, last_position


class Drift:
    """Extends the line through the first and the last observed value of each row. A ``Baseline``.

    A row with a single observation keeps it; the season plays no part. Hyndman & Athanasopoulos, Forecasting:
    Principles and Practice, section 5.2.
    """

    def forecast(
        self,
        context: NDArray[np.float64],
        *,
        horizon: int,
        season: int,  # noqa: ARG002
    ) -> NDArray[np.float64]:
        length = context.shape[1]
        reverse = context[:, ::-1]
        first, last = last_observed(reverse), last_observed(context)
        last_at = last_position(context)
        span = last_at - (length - 1 - last_position(reverse))
        slope: NDArray[np.float64] = np.where(span > 0, last - first, 0.0) / np.maximum(span, 1)
        ahead = np.arange(length, length + horizon) - last_at[:, None]  # rows from the last value: (B, H)
        return last[:, None] + slope[:, None] * ahead
