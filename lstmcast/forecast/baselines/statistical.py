"""Theta, ETS and CES, each choosing its own form per series, from statsforecast (extra ``[baselines]``).

The models want complete series: rows between two observations are interpolated, rows after the last one are forecast
over. A row with fewer than ``FEWEST`` observations, a constant one, and one for which the model finds no finite
forecast keep their last value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.errors import UsageError
from lstmcast.forecast.baselines import last_observed

FEWEST = 8  # below it statsforecast refuses one model or another


class Theta:
    """The best of the standard and the dynamic optimised Theta models, by in-sample error. A ``Baseline``."""

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        return _forecast_rows("AutoTheta", context, horizon=horizon, season=season)


class Ets:
    """Exponential smoothing with the form of error, trend and season chosen by AICc. A ``Baseline``."""

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        return _forecast_rows("AutoETS", context, horizon=horizon, season=season)


class Ces:
    """Complex exponential smoothing, seasonal or not by AICc. A ``Baseline``."""

    def forecast(self, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
        return _forecast_rows("AutoCES", context, horizon=horizon, season=season)


def _forecast_rows(model: str, context: NDArray[np.float64], *, horizon: int, season: int) -> NDArray[np.float64]:
    build = _load(model)
    forecast = np.repeat(last_observed(context)[:, None], horizon, axis=1)
    length = context.shape[1]
    for row, values in enumerate(context):
        at = np.flatnonzero(~np.isnan(values))
        if len(at) < FEWEST or np.ptp(values[at]) == 0:
            continue
        complete = np.interp(np.arange(at[0], at[-1] + 1), at, values[at])
        unseen = length - 1 - int(at[-1])
        with np.errstate(all="ignore"):  # forms that do not suit a row divide by zero on their way out
            mean = build(season_length=max(season, 1)).forecast(y=complete, h=unseen + horizon)["mean"][unseen:]
        if np.isfinite(mean).all():
            forecast[row] = mean
    return forecast


def _load(model: str) -> Callable[..., Any]:
    try:
        from statsforecast import models
    except ModuleNotFoundError as error:
        raise UsageError(
            "the baselines theta, ets and ces need statsforecast, which is not installed",
            remedy="pip install 'lstmcast[baselines]'",
        ) from error
    builder: Callable[..., Any] = getattr(models, model)
    return builder
