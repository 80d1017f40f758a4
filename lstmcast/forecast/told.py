"""Told: what may be asked of a model's forecasts, and the table in which they are told."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.artifact import Model
from lstmcast.config import NetworkSettings
from lstmcast.data.panel import Panel
from lstmcast.errors import UsageError
from lstmcast.forecast.backtest import interval_columns, target_names
from lstmcast.forecast.classes import class_columns
from lstmcast.forecast.coherent import Coherent, Forest
from lstmcast.forecast.conformal import corrected
from lstmcast.forecast.intervals import bounded, significant
from lstmcast.forecast.paths import sample_paths
from lstmcast.forecast.predict import Forecast
from lstmcast.forecast.reliability import Reliability
from lstmcast.net.heads import is_probabilistic

KEYS = ("unique_id", "target", "cutoff", "ds")
"""Two rows of a forecast table are never equal in all of these."""

Floats = NDArray[np.float64]


def wished(
    trained: Model,
    horizon: int | None,
    levels: tuple[float, ...] | None,
    samples: int,
    coherent: Literal["mint", "bottom-up", "none"] | None,
) -> NetworkSettings:
    """The settings of the model ``trained`` with what is asked of its forecasts instead; None: as in training.

    Raises ``UsageError`` for what it was not trained for.
    """
    settings = trained.settings.network
    most = trained.architecture.horizon
    if horizon is not None and horizon > most:
        raise UsageError(
            f"the model was trained to forecast {most} rows, not {horizon}",
            remedy=f"use --horizon {most} or less, or train again with --horizon {horizon}",
        )
    if levels is not None and not is_probabilistic(trained.architecture.loss):
        raise UsageError(
            f"a model trained with loss {trained.architecture.loss!r} knows no intervals",
            remedy="train with --loss quantile, or leave out --levels",
        )
    if samples and not is_probabilistic(trained.architecture.loss):
        raise UsageError(
            f"a model trained with loss {trained.architecture.loss!r} knows no distribution to draw samples from",
            remedy="train with --loss quantile, or leave out --samples",
        )
    if coherent not in {None, "none"} and not trained.schema.parent:
        raise UsageError(
            f"--coherent {coherent} makes forecasts add up, and the model does not know which series is part of which",
            remedy="train with --parent, which names the column that says it",
        )
    return settings.model_copy(
        update={
            "horizon": horizon or most,
            "levels": levels or settings.levels,
            "coherent": coherent or settings.coherent or "none",
        }
    )


class Telling:
    """The table of a model's forecasts as ``wish`` and ``samples`` ask for them, made of parts one after the other.

    The paths of a part go on where those of the part before ended, so that parts give the rows the whole would give.
    """

    def __init__(self, trained: Model, wish: NetworkSettings, samples: int = 0) -> None:
        self._trained, self._wish, self._samples = trained, wish, samples
        self._chance = np.random.default_rng(trained.settings.training.seed)

    @property
    def whole(self) -> bool:
        """Whether all series have to be told at once: they are to add up, so each weighs on the others."""
        return self._wish.coherent not in {None, "none"}

    def table(self, panel: Panel, ahead: Forecast) -> pd.DataFrame:
        """One row for each series of ``panel`` that is not skipped, target and step, in this order."""
        horizon = self._wish.horizon or 1
        kept = np.array([status != "skipped" for status in ahead.status])
        if panel.schema.classes:
            columns, coherent = class_columns(ahead.quantiles[kept, :horizon], panel.schema.classes), None
        else:
            columns, coherent = self._numbers(panel, ahead, kept)
        names, clock = target_names(panel), panel.schema.clock
        ids, cutoff = np.array(panel.ids, dtype=object)[kept], np.array(clock.format(ahead.cutoff[kept]), dtype=object)
        times = np.array(clock.format(ahead.times[kept, :horizon].reshape(-1)), dtype=object).reshape(-1, horizon)
        each = horizon * len(names)
        keys: dict[str, Any] = {
            "unique_id": np.repeat(ids, each),
            "target": np.tile(np.repeat(np.array(names, dtype=object), horizon), len(ids)),
            "ds": np.repeat(times[:, None], len(names), axis=1).reshape(-1),
            "cutoff": np.repeat(cutoff, each),
            "step": np.tile(np.arange(1, horizon + 1), len(ids) * len(names)),
        }
        if len(names) == 1:
            del keys["target"]
        flat: dict[str, Any] = {name: array.transpose(0, 2, 1).reshape(-1) for name, array in columns.items()}
        if self._wish.integer and coherent is None and not panel.schema.classes:
            flat = {name: pd.array(values, dtype="Int64") for name, values in flat.items()}  # 39, not 39.0
        last: dict[str, Any] = {"status": np.repeat(np.array(ahead.status, dtype=object)[kept], each)}
        if coherent is not None:
            holds = np.repeat(coherent.holds, len(names), axis=0).reshape(-1)
            last["coherent"] = np.where(holds, str(self._wish.coherent), "no")
        return pd.DataFrame(keys | flat | last)

    def _numbers(
        self, panel: Panel, ahead: Forecast, kept: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[Any]], Coherent | None]:
        """Point forecast, intervals and paths, each (N', H, D), of the series ``kept`` (N,), and what made them add
        up."""
        wish = self._wish
        raw = ahead.quantiles[kept, : wish.horizon]
        vouched = corrected(raw, ahead.levels, np.array(self._trained.calibration["width_factors"]))
        coherent = self._coherent(panel, ahead, kept, vouched) if self.whole else None
        vouched = vouched if coherent is None else coherent.quantiles
        columns = interval_columns(bounded(vouched, wish), ahead.levels, wish)
        whole = list(columns)
        if self._samples:
            columns |= self._sampled(vouched, ahead.levels)
        columns = {name: significant(values, panel.shift[kept, None]) for name, values in columns.items()}
        if coherent is not None:
            columns |= coherent.settled({name: columns[name] for name in whole})
        return dict(columns), coherent

    def _coherent(self, panel: Panel, ahead: Forecast, kept: NDArray[np.bool_], quantiles: Floats) -> Coherent:
        """The ``quantiles`` (N', H, D, Q) of the series ``kept`` (N,), made to add up."""
        trained, series = self._trained, np.flatnonzero(kept)
        reliability = Reliability.read(trained.calibration.get("errors", {}), targets=quantiles.shape[2])
        variance = reliability.of(panel, season=int(trained.summary["season"]))
        forest = Forest.of(panel, series, ahead.cutoff[series], np.zeros_like(series))
        return forest.reconciled(
            quantiles, middle=ahead.levels.index(0.5), variance=variance[series], how=str(self._wish.coherent)
        )

    def _sampled(self, quantiles: Floats, levels: tuple[float, ...]) -> dict[str, Floats]:
        """One column (N, H, D) per path."""
        joined = np.array(self._trained.calibration["dependence"])
        paths = sample_paths(quantiles, levels, joined, number=self._samples, seed=self._chance)
        return {f"sample-{k + 1}": bounded(paths[:, k], self._wish) for k in range(self._samples)}
