"""Out-of-sample forecasts for every row of a history, by two blocked folds.

Each series is cut in the middle; a forecaster trained on one half forecasts the other. No row is ever judged by a
network that has seen it. The second half's network has seen what follows the first half: this is for looking back over
a history, not for watching a stream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmcast.artifact import Model, seen_until
from lstmcast.config import NetworkSettings, Settings
from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel
from lstmcast.errors import TooShortError, UsageError
from lstmcast.fit import device
from lstmcast.fit.loop import fit
from lstmcast.fit.plan import make
from lstmcast.forecast.intervals import at_levels
from lstmcast.forecast.predict import Network, quantiles_at
from lstmcast.outcome import Notice, OnProgress, Progress

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
_STEPS = 300
_BLOCK = 4096  # cutoffs forecast at once: bounds memory

Rows = NDArray[np.bool_]


def distances(season: int, length: int) -> tuple[int, ...]:
    """How many rows before a value it is forecast: one, a few, and a good part of the season.

    None is above a twentieth of ``length``, the rows of a typical series: half of them must be enough to train on.
    """
    wanted = (1, 6, 24) if season >= 24 else (1, -(-season // 4), -(-season // 2))
    return tuple(sorted({1, *(back for back in wanted if back <= length // 20)}))


def out_of_sample(
    panel: Panel,
    settings: Settings,
    trained: Model | None,
    steps_back: tuple[int, ...],
    on_progress: OnProgress,
) -> NDArray[np.float64]:
    """Forecasts for every row by a network that had not seen it, from each of ``steps_back`` rows before.

    Returns float64 (R, Hk, D, Q) at ``LEVELS`` in the user's units, NaN where there is none. Rows later than the
    training of ``trained`` are its own; the others are cross-fitted unless ``detection.fit`` says never. Raises
    ``UsageError`` for never without a model, ``TooShortError`` when nothing can be judged.
    """
    fresh = _after_training(panel, trained)
    fitting = settings.detection.fit
    if fitting == "never" and trained is None:
        raise UsageError("--fit never needs a model to judge with", remedy="name one with -m, or use --fit auto")
    shape = (len(panel.values), len(steps_back), panel.values.shape[1], len(LEVELS))
    out = np.full(shape, np.nan)
    if fitting == "always" or (fitting == "auto" and not fresh.all()):
        wish = settings if trained is None else settings.model_copy(update={"network": _as_trained(trained, settings)})
        on_progress(Notice("rows the model has seen, or all without one, are judged by two fresh forecasters"))
        try:
            out = cross_fit(panel, wish, steps_back=steps_back, on_progress=on_progress)
        except TooShortError as error:
            if not fresh.any() or fitting == "always":
                raise TooShortError(
                    f"half of the history is not enough to judge the other half by: {error.message}",
                    remedy="give more history, or judge by a model trained on more of it: -m MODEL",
                ) from error
    if trained is not None and fresh.any() and fitting != "always":
        within = tuple(back for back in steps_back if back <= trained.architecture.horizon)
        judged = np.full((len(panel.values), len(within), *shape[2:]), np.nan)
        network = trained.forecaster.to(device.choose(settings.training.device))
        fill(judged, network, panel, fresh, steps_back=within, on_progress=on_progress)
        out[fresh] = np.nan
        out[fresh, : len(within)] = judged[fresh]
    return out


def _as_trained(trained: Model, settings: Settings) -> NetworkSettings:
    """The cell and its surroundings as the user trained them; sizes and horizon are scoring's own."""
    kept = ("cell", "layers", "bidirectional", "residual", "decoder", "transform")
    mine = trained.settings.network
    return settings.network.model_copy(update={key: getattr(mine, key) for key in kept})


def _after_training(panel: Panel, trained: Model | None) -> NDArray[np.bool_]:
    """bool (R,) rows later than anything the model saw; a series it never saw is new from its first row."""
    if trained is None:
        return np.zeros(len(panel.values), dtype=bool)
    until = seen_until(trained, panel)
    times = panel.times(np.arange(len(panel.values)))
    series = np.repeat(panel.series, np.diff(panel.offsets))
    later: NDArray[np.bool_] = times > until[series]
    return later


def cross_fit(
    panel: Panel, settings: Settings, *, steps_back: tuple[int, ...], on_progress: OnProgress
) -> NDArray[np.float64]:
    """Forecasts for every row by the network that did not see it.

    Returns float64 (R, Hk, D, Q) at ``LEVELS`` in the user's units: entry [t, k] was made ``steps_back[k]`` rows before
    row t; NaN where too little history lies before it. Raises ``TooShortError`` when half of the longest series is not
    enough to train on.
    """
    begin = panel.offsets[:-1]
    middle = _middle(panel)
    quick = _quick(settings, horizon=max(steps_back))
    out = np.full((len(panel.values), len(steps_back), panel.values.shape[1], len(LEVELS)), np.nan)
    later = np.arange(len(panel.values)) >= np.repeat(middle, np.diff(panel.offsets))
    halves = ((begin, middle, later), (middle, panel.ends, ~later))
    for number, (first, stop, judged) in enumerate(halves, start=1):
        part = excerpt(panel, first, stop)
        plan = make(part, quick, hold_out=False)
        on_progress(Notice(f"fold {number} of 2: {plan.split.windows:,} windows, {plan.steps} steps"))
        network = fit(part, plan, on_progress=on_progress).forecaster
        fill(out, network, panel, judged, steps_back=steps_back, on_progress=on_progress)
    return out


def fill(
    out: NDArray[np.float64],
    network: Network,
    panel: Panel,
    judged: Rows,
    *,
    steps_back: tuple[int, ...],
    on_progress: OnProgress,
) -> None:
    """Write the forecasts of ``network`` for the rows ``judged`` (R,) into ``out`` (R, Hk, D, Q at ``LEVELS``)."""
    shape = network.architecture
    segment = np.repeat(np.arange(len(panel.ends)), np.diff(panel.offsets))
    row = np.arange(len(judged))
    enough = row - panel.offsets[segment] >= min(shape.patch + 1, shape.context)
    wanted = np.zeros_like(judged)
    for back in steps_back:  # the forecast for row t made `back` rows before has its first target at t - back + 1
        origin = np.maximum(row[judged] - back + 1, 0)
        wanted[origin] |= segment[origin] == segment[judged]
    cutoffs = np.flatnonzero(wanted & enough)
    for block in range(0, len(cutoffs), _BLOCK):
        chosen = cutoffs[block : block + _BLOCK]
        made = at_levels(quantiles_at(network, panel, chosen), shape.quantiles, np.array(LEVELS))
        for k, back in enumerate(steps_back):
            target = chosen + back - 1
            fits = (target < panel.ends[segment[chosen]]) & judged[np.minimum(target, len(judged) - 1)]
            out[target[fits], k] = made[fits, back - 1]
        on_progress(Progress("scoring", min(block + _BLOCK, len(cutoffs)), len(cutoffs)))


def _middle(panel: Panel) -> NDArray[np.int64]:
    """int64 (S,) the flat row at which each segment is divided so that each series has half its rows on either side."""
    length = panel.ends - panel.offsets[:-1]
    of_series = np.bincount(panel.series, weights=length, minlength=len(panel.ids))
    before = np.cumsum(length) - length
    start = before[np.searchsorted(panel.series, np.arange(len(panel.ids)))]
    wanted = (of_series[panel.series] / 2 + start[panel.series] - before).astype(np.int64)
    middle: NDArray[np.int64] = panel.offsets[:-1] + np.clip(wanted, 0, length)
    return middle


def _quick(settings: Settings, *, horizon: int) -> Settings:
    """Settings for scoring: the horizon of the farthest distance, few steps, and quantiles to measure surprise by.

    No base unless it was asked for: an anomaly would come back in it a season later and raise a second alarm.
    """
    network = settings.network.model_copy(
        update={
            "horizon": horizon,
            "loss": "quantile",
            "hidden": settings.network.hidden or 32,
            "base": settings.network.base or "none",
            "levels": (80.0, 95.0),
        }
    )
    training = settings.training.model_copy(
        update={"max_steps": settings.training.max_steps or _STEPS, "early_stop": None}
    )
    return settings.model_copy(update={"network": network, "training": training})
