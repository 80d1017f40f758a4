"""Backtest: forecasts at past cutoffs beside what came true and beside the baselines, as one long frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import NetworkSettings
from lstmcast.data.panel import Panel
from lstmcast.data.windows import Windows
from lstmcast.forecast.baselines import BASELINES
from lstmcast.forecast.coherent import Coherent
from lstmcast.forecast.intervals import at_levels, bounded, level_pairs, significant
from lstmcast.forecast.network import Network
from lstmcast.forecast.predict import quantiles_at

Floats = NDArray[np.float64]

_HISTORY = 1024  # rows a baseline looks back; its memory is bounded by _BLOCK windows of them
_BLOCK = 2048
_ROWS = 1_000_000  # measured at once: bounds memory


def backtest_frame(
    panel: Panel,
    cutoffs: NDArray[np.int64],
    quantiles: Floats,
    *,
    trained: tuple[float, ...],
    settings: NetworkSettings,
    season: int,
    baselines: Sequence[str] = (),
    coherent: Coherent | None = None,
) -> pd.DataFrame:
    """One row per cutoff (V), target (D) and step (H): actual, forecast with intervals, and each baseline's forecast.

    ``quantiles`` (V, H, D, Q) at the ``trained`` levels are the forecasts. Columns: unique_id, target, cutoff and ds
    (clock units), step from 1, y (NaN where not observed), y_hat, its intervals, then the baselines by name. The cutoff
    is the time of the last row the forecast could see. With ``coherent`` forecasts, of which ``quantiles`` are those,
    parents are the exact sums of what is written of their leaves.
    """
    y = actuals(panel, cutoffs, horizon=quantiles.shape[1])
    columns = {"y": y, **interval_columns(bounded(quantiles, settings), trained, settings)}
    for name in baselines:
        columns[name] = baseline_forecasts(name, panel, cutoffs, horizon=y.shape[1], season=season)
    level = panel.shift[panel.series[panel.segment_of(cutoffs - 1)]][:, None]
    columns = {name: significant(values, level) for name, values in columns.items()}
    if coherent is not None:
        columns |= coherent.settled({name: values for name, values in columns.items() if name.startswith("y_hat")})
    return _long(panel, cutoffs, columns)


def interval_columns(
    quantiles: NDArray[np.float64], trained: tuple[float, ...], settings: NetworkSettings
) -> dict[str, NDArray[np.float64]]:
    """``y_hat`` and the bounds of each interval (..., ) from quantiles (..., Q); a point loss has no intervals."""
    columns = {"y_hat": quantiles[..., trained.index(0.5)]}
    if len(trained) > 1:
        for percent, pair in zip(settings.levels, level_pairs(settings.levels), strict=True):
            ends = bounded(at_levels(quantiles, trained, pair), settings)
            columns[f"y_hat-lo-{percent:g}"], columns[f"y_hat-hi-{percent:g}"] = ends[..., 0], ends[..., 1]
    return columns


def actuals(panel: Panel, cutoffs: NDArray[np.int64], *, horizon: int) -> NDArray[np.float64]:
    """What came true after each cutoff: float64 (V, H, D) in the user's units, NaN where not observed."""
    windows = Windows(panel, context=1, horizon=horizon)
    parts = [
        _in_user_units(panel, batch.target.numpy(), batch.target_observed.numpy(), batch.series.numpy())
        for batch in windows.batches(cutoffs, size=_BLOCK)
    ]
    return np.concatenate(parts)


def baseline_forecasts(
    name: str, panel: Panel, cutoffs: NDArray[np.int64], *, horizon: int, season: int
) -> NDArray[np.float64]:
    """Forecasts float64 (V, H, D) of the baseline ``name`` from the last rows before each cutoff."""
    member = BASELINES.load(name)()
    parts = []
    for history in _histories(panel, cutoffs, rows=min(_HISTORY, int(np.diff(panel.offsets).max()))):
        targets = [member.forecast(history[..., d], horizon=horizon, season=season) for d in range(history.shape[2])]
        parts.append(np.stack(targets, axis=-1))
    return np.concatenate(parts)


def scales(panel: Panel, limit: NDArray[np.int64], *, season: int) -> tuple[Floats, Floats]:
    """What MASE and RMSSE divide by: two arrays float64 (N, D) in the user's units.

    The mean absolute and the root mean square change over ``season`` rows, over the rows before ``limit`` (S,) of each
    segment. NaN where nothing was observed or nothing ever changed.
    """
    season = max(season, 1)
    n = len(panel.ids)
    first = np.searchsorted(panel.series, np.arange(n + 1))
    absolute, square = np.zeros((2, n, panel.values.shape[1]))
    for block in _blocks(np.r_[panel.offsets[first[:-1]], panel.offsets[-1]]):
        segments = np.arange(first[block.start], first[block.stop])
        lengths = (limit[segments] - panel.offsets[segments] - season).clip(min=0)
        begin = panel.offsets[segments] + season
        row = np.repeat(begin - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        series = np.repeat(panel.series[segments] - block.start, lengths)
        paired = panel.observed[row] & panel.observed[row - season]
        change = np.where(paired, panel.values[row].astype(np.float64) - panel.values[row - season], 0.0)
        size = block.stop - block.start
        count = np.maximum(_totals(series, paired, size), 1)
        absolute[block], square[block] = (
            _totals(series, values, size) / count for values in (np.abs(change), change**2)
        )
    known = absolute > 0
    return np.where(known, absolute, np.nan), np.where(known, np.sqrt(square), np.nan)


def _blocks(bounds: NDArray[np.int64]) -> Iterator[slice]:
    """Runs of series that hold about a million rows together; series k holds bounds[k] .. bounds[k+1]-1."""
    start = 0
    while start < len(bounds) - 1:
        stop = max(start + 1, int(np.searchsorted(bounds, bounds[start] + _ROWS, side="right")) - 1)
        yield slice(start, stop)
        start = stop


def _totals(series: NDArray[np.int64], values: NDArray[Any], count: int) -> Floats:
    """Sums (N, D) of values (R, D) by series (R,)."""
    columns = [np.bincount(series, weights=column, minlength=count) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float64)


def scaled_error(network: Network, panel: Panel, cutoffs: NDArray[np.int64], unit: Floats) -> float:
    """Mean absolute error of the median at ``cutoffs``, each series and target in its ``unit`` (N, D)."""
    median = quantiles_at(network, panel, cutoffs)[..., network.architecture.quantiles.index(0.5)]
    error = np.abs(median - actuals(panel, cutoffs, horizon=median.shape[1]))
    segment = panel.segment_of(cutoffs - 1)
    scaled = error / unit[panel.series[segment]][:, None]
    return float(np.nanmean(scaled)) if np.isfinite(scaled).any() else float("nan")


def _histories(panel: Panel, cutoffs: NDArray[np.int64], *, rows: int) -> Iterator[NDArray[np.float64]]:
    """Blocks (b, T, D) of the rows before each cutoff, NaN where not observed."""
    windows = Windows(panel, context=rows, horizon=1)
    for batch in windows.batches(cutoffs, size=_BLOCK):
        yield _in_user_units(panel, batch.context.numpy(), batch.observed.numpy(), batch.series.numpy())


def _in_user_units(
    panel: Panel, values: NDArray[np.float32], observed: NDArray[np.bool_], series: NDArray[np.int64]
) -> NDArray[np.float64]:
    shifted = values.astype(np.float64) + panel.shift[series][:, None]
    return np.where(observed, shifted, np.nan)


def _long(panel: Panel, cutoffs: NDArray[np.int64], columns: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """(V, H, D) arrays as columns of a long frame, ordered by cutoff, target, step."""
    told = keys(panel, cutoffs, columns["y"].shape[1])
    return pd.DataFrame(told | {name: array.transpose(0, 2, 1).reshape(-1) for name, array in columns.items()})


def keys(panel: Panel, cutoffs: NDArray[np.int64], horizon: int) -> dict[str, NDArray[Any]]:
    """unique_id, target, cutoff and ds (clock units) and step of each forecast, by cutoff, target and step."""
    count, targets = len(cutoffs), panel.values.shape[1]
    segment = panel.segment_of(cutoffs - 1)
    begin = panel.start[segment]
    position = cutoffs - panel.offsets[segment]
    cutoff = panel.schema.frequency.advance(begin, position - 1)
    ds = panel.schema.frequency.advance(begin[:, None], position[:, None] + np.arange(horizon))
    ids = np.array(panel.ids, dtype=object)[panel.series[segment]]
    names = np.array(target_names(panel), dtype=object)
    return {
        "unique_id": np.repeat(ids, horizon * targets),
        "target": np.tile(np.repeat(names, horizon), count),
        "cutoff": np.repeat(cutoff, horizon * targets),
        "ds": np.repeat(ds[:, None], targets, axis=1).reshape(-1),
        "step": np.tile(np.arange(1, horizon + 1), count * targets),
    }


def target_names(panel: Panel) -> tuple[str, ...]:
    """Names along the D axis; a wide file has one target per series, which is called y."""
    return panel.target_names
