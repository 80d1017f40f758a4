"""Metrics: how far forecasts are from what came true, per series, per step and overall.

All functions are pure and work on long frames: ``unique_id``, ``cutoff``, ``step``, ``y``, one column per forecaster
(``y_hat``, and baselines such as ``seasonal-naive``), and the intervals of a forecaster as ``y_hat-lo-80``,
``y_hat-hi-80``. The measures are those of ``utilsforecast.losses``, under its names, with these conventions:

    smape, mape, wape   in percent; smape is the 0..200 one of M4, 0/0 counts as 0; mape only if no actual is 0
    mase, msis, rmsse   divided by the in-sample error of the (seasonal) naive forecast, see ``in_sample_scales``
    bias                mean of forecast − actual
    coverage-80         share of actuals inside the 80 % interval
    msis-80, winkler-80 interval score, scaled and in the target's units (Gneiting & Raftery 2007; lower is better)
    quantile_loss       mean pinball loss over the interval bounds and the median ``y_hat``
    owa                 half the sum of smape and mase, each relative to naive2; overall only (M4)

Rows without an actual or without a forecast are left out; ``unscored`` counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from utilsforecast import losses

MODEL = "y_hat"
ORIGIN = ("unique_id", "cutoff")
TIDY = ("unique_id", "cutoff", "step", "metric", "value", "baseline", "skill")
SIDES = ("lo", "hi")


def mase_scale(values: NDArray[np.float64], season: int) -> NDArray[np.float64]:
    """Mean |x_t − x_{t−season}| of each row: what MASE and MSIS divide by.

    ``values`` float64 (..., T), NaN where unobserved; returns (...). NaN where no pair was observed or the mean is 0:
    such a series has no scaled error. Hyndman & Koehler 2006.
    """
    return _mean(np.abs(_changes(values, season)))


def rmsse_scale(values: NDArray[np.float64], season: int) -> NDArray[np.float64]:
    """Root mean (x_t − x_{t−season})² of each row: what RMSSE divides by. Shapes and NaN as ``mase_scale``."""
    return np.sqrt(_mean(_changes(values, season) ** 2))


def in_sample_scales(values: NDArray[np.float64], *, season: int, index: pd.Index) -> pd.DataFrame:
    """Both scales of B training rows as the frame ``score`` takes: columns ``mase`` and ``rmsse``, B rows.

    ``index`` names the rows of ``values`` (B, T): unique_id, or pairs of unique_id and cutoff.
    """
    return pd.DataFrame({"mase": mase_scale(values, season), "rmsse": rmsse_scale(values, season)}, index=index)


def levels(frame: pd.DataFrame, *, model: str = MODEL) -> tuple[str, ...]:
    """The interval levels of ``model`` that have both bounds, ascending, as written in the column names."""
    found = (re.fullmatch(rf"{re.escape(model)}-lo-(\d+(?:\.\d+)?)", str(column)) for column in frame.columns)
    both = {match[1] for match in found if match and f"{model}-hi-{match[1]}" in frame.columns}
    return tuple(sorted(both, key=float))


def unscored(frame: pd.DataFrame, *, model: str = MODEL) -> dict[str, int]:
    """How many rows are left out: ``no_actual`` and, among the others, ``no_forecast``."""
    no_actual = frame["y"].isna()
    return {"no_actual": int(no_actual.sum()), "no_forecast": int((frame[model].isna() & ~no_actual).sum())}


def score(
    frame: pd.DataFrame,
    *,
    models: Sequence[str] = (MODEL,),
    scales: pd.DataFrame | None = None,
    by: Sequence[str] = ORIGIN,
) -> pd.DataFrame:
    """Every metric of every model for every group of rows: columns ``by``, ``metric`` and one per model.

    The first of ``models`` decides which rows count. ``scales`` (see ``in_sample_scales``) is indexed by unique_id or
    by (unique_id, cutoff); without it there is no mase, rmsse and msis. ``by=("step",)`` gives the profile along the
    horizon. A metric a model has no columns for is NaN.
    """
    rows = frame[frame["y"].notna() & frame[models[0]].notna()].reset_index(drop=True)
    groups = rows.groupby(list(by), sort=False).ngroup()
    keys = rows.loc[~groups.duplicated(), list(by)].reset_index(drop=True)
    bounds = [f"{model}-{side}-{level}" for model in models for level in levels(rows, model=model) for side in SIDES]
    # the losses group by unique_id, and by cutoff too where there is one: one number stands for both
    plain = rows[["y", *models, *bounds]].astype(np.float64).assign(unique_id=groups)
    divisors = None if scales is None else _align(scales, rows)
    parts = []
    for metric, values in _measures(plain, list(models), divisors):
        part = values.set_index("unique_id").reindex(index=range(len(keys)), columns=list(models))
        parts.append(pd.concat([keys, part.reset_index(drop=True)], axis=1).assign(metric=metric))
    table = pd.concat(parts, ignore_index=True) if parts else keys.assign(metric="")
    return table[[*by, "metric", *models]]


def tidy(scores: pd.DataFrame, *, model: str = MODEL, baseline: str | None = None) -> pd.DataFrame:
    """The scores of ``model`` beside those of ``baseline``, in the seven columns of the metrics file.

    ``skill`` = 1 − value/baseline: 1 is perfect, 0 no better than the baseline. Columns the scores were not grouped by
    stay empty: no step = over all steps, no unique_id = over all series.
    """
    table = scores.rename(columns={model: "value"})
    table["baseline"] = scores[baseline] if baseline is not None else np.nan
    table["skill"] = skill(table["metric"], table["value"], table["baseline"])
    return table.reindex(columns=list(TIDY)).astype({"unique_id": object, "cutoff": object, "step": "Int64"})


def skill(metric: pd.Series, value: pd.Series, baseline: pd.Series) -> pd.Series:
    """1 − value/baseline; NaN for coverage and bias, which are best at a target, and where the baseline is 0."""
    comparable = ~metric.str.startswith(("coverage", "bias")) & (baseline != 0)
    return (1 - value / baseline.where(comparable)).rename("skill")


def overall(scores: pd.DataFrame, *, models: Sequence[str] = (MODEL,), reference: str = "naive2") -> pd.DataFrame:
    """The mean of every metric over series and cutoffs: index metric, one column per model.

    ``scores`` come from ``score``. A series without a value (no scale, no history) is left out of that mean for every
    model, so that the columns compare. With ``reference`` among the models, ``owa`` is added: the mean of the two
    ratios of averages, as in M4.
    """
    columns = list(models)
    has_any = scores.groupby("metric")[columns].transform("count") > 0
    complete = (scores[columns].notna() | ~has_any).all(axis=1)
    table = scores[complete].groupby("metric", sort=False)[columns].mean()
    table = table.reindex(scores["metric"].drop_duplicates())
    if reference in columns and {"smape", "mase"} <= set(table.index):
        parts = table.loc[["smape", "mase"]]
        ratios = parts.div(parts[reference].replace(0, np.nan), axis=0)
        table.loc["owa"] = ratios.mean(skipna=False)
    return table.rename_axis("metric")


def _measures(
    rows: pd.DataFrame, models: list[str], divisors: pd.DataFrame | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "mae", losses.mae(rows, models)
    yield "rmse", losses.rmse(rows, models)
    yield "smape", _times(200, losses.smape(rows, models), models)  # |y−f|/(|y|+|f|) there, twice that in M4
    if not (rows["y"] == 0).any():
        yield "mape", _times(100, losses.mape(rows, models), models)
    yield "wape", _times(100, losses.wape(rows, models), models)
    yield "bias", losses.bias(rows, models)
    if divisors is not None:
        yield "mase", losses.mae(_divided(rows, divisors["mase"]), models)
        yield "rmsse", losses.rmse(_divided(rows, divisors["rmsse"]), models)
    yield from _interval_measures(rows, models, divisors)


def _interval_measures(
    rows: pd.DataFrame, models: list[str], divisors: pd.DataFrame | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    found = levels(rows, model=models[0])
    if not found:
        return
    models = [model for model in models if levels(rows, model=model) == found]
    bounds = {model: [f"{model}-{side}-{text}" for text in found for side in SIDES] for model in models}
    rows = rows[rows[[column for pair in bounds.values() for column in pair]].notna().all(axis=1)]
    for text in found:
        level: Any = float(text) if "." in text else int(text)  # the losses build the column's name from it
        yield f"coverage-{text}", losses.coverage(rows, models, level)
        yield f"winkler-{text}", losses.winkler_score(rows, models, level)
        if divisors is not None:
            yield f"msis-{text}", losses.winkler_score(_divided(rows, divisors["mase"]), models, level)
    quantiles = [0.5] + [0.5 + sign * float(text) / 200 for text in found for sign in (-1, 1)]
    columns = {model: [model, *bounds[model]] for model in models}
    yield "quantile_loss", losses.mqloss(rows, columns, np.array(quantiles))


def _times(factor: float, table: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    return table.assign(**{model: table[model] * factor for model in models})


def _divided(rows: pd.DataFrame, divisor: pd.Series) -> pd.DataFrame:
    """Actuals and forecasts in units of the scale of their row, so that plain errors of them are scaled errors."""
    return rows.drop(columns="unique_id").div(divisor.loc[rows.index], axis=0).assign(unique_id=rows["unique_id"])


def _align(scales: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    keys = pd.MultiIndex.from_frame(rows[list(ORIGIN)]) if scales.index.nlevels == 2 else pd.Index(rows["unique_id"])
    return scales.reindex(keys).set_index(rows.index)


def _changes(values: NDArray[np.float64], season: int) -> NDArray[np.float64]:
    season = max(season, 1)
    changes: NDArray[np.float64] = values[..., season:] - values[..., : values.shape[-1] - season]
    return changes


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of what is not NaN; NaN where that is nothing, or 0."""
    count = (~np.isnan(values)).sum(axis=-1)
    total = np.nansum(values, axis=-1)
    result: NDArray[np.float64] = np.where(total > 0, total / np.maximum(count, 1), np.nan)
    return result
