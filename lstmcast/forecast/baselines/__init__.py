"""Baselines: the forecasts every model has to beat.

A member is one class with one method, ``forecast``. The table holds import paths, so that listing the family imports
no member. Rows are windows that end at the forecast origin: NaN where nothing was observed and as left padding.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lstmcast.family import Family, Member


class Baseline(Protocol):
    """One way to continue a series without training a network."""

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        """The next ``horizon`` values of every row of ``context``, in its units.

        ``context`` float64 (B, T), NaN where unobserved or padded; ``season`` in rows, 1 or less for none. Returns
        float64 (B, H); NaN for rows without a single observation.
        """
        ...


BASELINES = Family(
    "baseline",
    {
        "naive": Member("lstmcast.forecast.baselines.naive:Naive", "the last observed value"),
        "seasonal-naive": Member(
            "lstmcast.forecast.baselines.seasonal_naive:SeasonalNaive", "the last season, repeated"
        ),
        "naive2": Member("lstmcast.forecast.baselines.naive2:Naive2", "naive on seasonally adjusted data (M4)"),
        "drift": Member("lstmcast.forecast.baselines.drift:Drift", "the line through the first and the last value"),
        "theta": Member("lstmcast.forecast.baselines.statistical:Theta", "automatic Theta; extra [baselines]"),
        "ets": Member("lstmcast.forecast.baselines.statistical:Ets", "automatic ETS; extra [baselines]"),
        "ces": Member("lstmcast.forecast.baselines.statistical:Ces", "automatic complex smoothing; extra [baselines]"),
    },
)


def last_position(values: NDArray[np.float64], *, axis: int = 1) -> NDArray[np.int64]:
    """Position of the last value along ``axis`` that is not NaN; the very last position where all are NaN."""
    from_the_end: NDArray[np.int64] = np.argmax(np.flip(~np.isnan(values), axis), axis=axis)
    return np.int64(values.shape[axis] - 1) - from_the_end


def last_observed(values: NDArray[np.float64], *, axis: int = 1) -> NDArray[np.float64]:
    """The last value along ``axis`` that is not NaN; NaN where there is none."""
    position = np.expand_dims(last_position(values, axis=axis), axis)
    return np.take_along_axis(values, position, axis).squeeze(axis)
