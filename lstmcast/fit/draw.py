"""Draw: the forecasts of a trial, towards the last value and the last season as far as held-out windows advise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.fit.plan import Plan
from lstmcast.forecast.backtest import baseline_forecasts, scales
from lstmcast.forecast.shrink import Expected, shares
from lstmcast.outcome import Notice, OnProgress

Floats = NDArray[np.float64]


def series_of(panel: Panel, cutoffs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The series (V,) of the windows at ``cutoffs`` (V,)."""
    return panel.series[panel.segment_of(cutoffs - 1)]


class Drawn(NamedTuple):
    """What the trial forecast on ``held``-out windows, and the shares of the last value and the last season in it."""

    held: Floats
    last: float = 0.0
    seasonal: float = 0.0


def draw(panel: Panel, plan: Plan, held: Floats, actual: Floats, *, reach: int, on_progress: OnProgress) -> Drawn:
    """Draw forecasts ``held`` (V, H, D, Q) of the windows that ``plan`` held out towards the two naive ones.

    ``actual`` (V, H, D) came true, NaN where not observed; a network that looks back ``reach`` rows knows no season
    longer than that.
    """
    shape = plan.architecture
    if shape.stateful or shape.classes or plan.settings.training.shrink is False or not len(held):
        return Drawn(held)
    cutoffs, horizon, median = plan.split.validation, actual.shape[1], plan.architecture.quantiles.index(0.5)
    names = ("naive", "seasonal-naive") if 1 < plan.season <= reach else ("naive",)
    towards = [baseline_forecasts(name, panel, cutoffs, horizon=horizon, season=plan.season) for name in names]
    found = shares(
        held,
        actual,
        towards,
        unit=scales(panel, plan.split.limit, season=plan.season)[0],
        series=series_of(panel, cutoffs),
        median=median,
        expected=_expected(plan, panel, len(names)),
    )
    if not found.any():
        return Drawn(held)
    moves = sum(share * (other - held[..., median]) for share, other in zip(found, towards, strict=True))
    told = " and ".join(
        f"{share:.0%} towards {what}"
        for share, what in zip(found, ("the last value", "the last season"), strict=False)
        if share
    )
    on_progress(Notice(f"held-out windows advise to draw the forecast {told}"))
    return Drawn(held + np.nan_to_num(moves)[..., None], *map(float, found))


def _expected(plan: Plan, panel: Panel, count: int) -> list[Expected]:
    """What the shares of the last value and the last season may be before anything is held out.

    The less a network has seen, the likelier it has only learned noise, and a naive forecast is better. On short series
    it weighs methods that know better, and a little of the last season does no harm.
    """
    short, seasonal = plan.regime == "short", bool(plan.architecture.seasons)
    seen = float((plan.split.limit - panel.offsets[:-1]).sum()) / plan.architecture.horizon
    odds = _ODDS_SHORT if short else _DOUBTED_HORIZONS / max(seen, 1.0)
    if count == 1:
        return [Expected((0.0,), 1.0), Expected((1.0,), odds)]
    usual = _SHARE_SHORT if short else 0.0
    season = 0.5 if short or seasonal else 0.1
    return [
        Expected((0.0, usual), 1.0),
        Expected((1.0, 0.0), odds * (1 - season)),
        Expected((0.0, 1.0), odds * season),
    ]


_ODDS_SHORT, _SHARE_SHORT = 0.2, 0.1
_DOUBTED_HORIZONS = 500
"""Horizons of training rows after which a network is as likely to know more than a naive forecast as not."""
