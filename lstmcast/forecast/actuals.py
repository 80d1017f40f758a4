"""Actuals: where forecasts meet what came true, and the history each forecast was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.clock import Clock
from lstmcast.data.panel import Panel
from lstmcast.errors import DataError

KEY = ["series", "time", "target"]
BLOCK = 8_000_000  # values of history held at once, as windows


def locate(
    frame: pd.DataFrame, panel: Panel, *, clock: Clock, forecast: str, actual: str
) -> tuple[tuple[str, ...], pd.DataFrame]:
    """Numbers for names and times: the ids, and the frame with series, time and origin of each row.

    Raises ``DataError`` when a row is forecast twice, or when it is not said which target is forecast.
    """
    ids = tuple(frame["unique_id"].unique())
    targets = ("y",) if panel.schema.wide else panel.schema.targets
    if "target" not in frame and len(targets) > 1:
        raise DataError(
            f"{actual} has the targets {', '.join(targets)} and {forecast} does not say which of them it forecasts",
            remedy="name it with --target",
        )
    frame = frame.assign(target=frame.get("target", targets[0]))
    one_forecast = frame.groupby(["unique_id", "cutoff", "target"]).ngroup().to_numpy().astype(np.int64)
    codes, cutoffs = pd.factorize(frame["cutoff"])
    located = frame.assign(
        series=pd.Index(ids).get_indexer(pd.Index(frame["unique_id"])),
        time=clock.parse(
            frame["ds"].tolist(),
            groups=one_forecast,
            lines=np.arange(2, len(frame) + 2, dtype=np.int64),
            column=f"ds of {forecast}",
        ),
        origin=clock.parse(
            cutoffs.tolist(), groups=np.arange(len(cutoffs), dtype=np.int64), column=f"cutoff of {forecast}"
        )[codes],
    )
    twice = located.duplicated([*KEY, "origin"])
    if twice.any():
        first = located[twice].iloc[0]
        raise DataError(
            f"{forecast} forecasts {int(twice.sum()):,} rows twice; the first is {first['ds']} of series "
            f"{first['unique_id']!r} from {first['cutoff']}",
            remedy="keep one forecast of each series, time and cutoff",
        )
    return ids, located


def meet(
    frame: pd.DataFrame, panel: Panel, ids: tuple[str, ...], *, forecast: str, actual: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The forecasts whose time is a row of the actuals, with that row's ``y``; and how many were not met.

    Raises ``DataError`` when none was met, or none that can be scored.
    """
    truth = _actual_rows(panel, ids, frame)
    both = frame.merge(truth, on=KEY, how="outer", indicator="met", validate="m:1")
    met = both[both["met"] == "both"].drop(columns="met").reset_index(drop=True)
    if met.empty:
        raise _nothing_met(frame, panel, forecast=forecast, actual=actual)
    if not (met["y"].notna() & met["y_hat"].notna()).any():
        raise DataError(
            f"nothing to score: where {forecast} meets {actual}, {int(met['y'].isna().sum()):,} of {len(met):,} rows "
            "have no actual and the others no forecast",
            remedy="name a later file of actuals",
        )
    alone = both[(both["met"] == "right_only") & both["y"].notna()]
    counts = {
        "forecasts": len(frame),
        "forecasts_without_actual": len(frame) - len(met),
        "actuals_without_forecast": len(alone),
        "series_without_forecast": int(alone.loc[alone["series"] >= len(ids), "series"].nunique()),
    }
    return met.astype({"step": np.int64, "origin": np.int64}), counts


def same_series(panel: Panel, ids: tuple[str, ...]) -> NDArray[np.int64]:
    """The panel's series of each id, −1 for none. A lone series without an id column goes by its file's name."""
    if len(ids) == len(panel.ids) == 1 and panel.schema.id_col is None and not panel.schema.wide:
        return np.zeros(1, dtype=np.int64)
    found: NDArray[np.int64] = pd.Index(panel.ids).get_indexer(pd.Index(ids)).astype(np.int64)
    return found


def target_columns(panel: Panel, frame: pd.DataFrame) -> dict[str, int]:
    """The place on the panel's D axis of each target forecast. Raises ``DataError`` for one the panel has not."""
    names = list(frame["target"].unique())
    if panel.values.shape[1] == 1 and len(names) == 1:
        return {names[0]: 0}
    unknown = [name for name in names if name not in panel.schema.targets]
    if unknown:
        raise DataError(
            f"the forecast has a target {unknown[0]!r}, the data have {', '.join(panel.schema.targets)}",
            remedy="name the data's targets with --target",
        )
    return {name: panel.schema.targets.index(name) for name in names}


def histories(
    panel: Panel, series: NDArray[np.int64], cutoffs: NDArray[np.int64], *, column: int
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Windows (b, T) of the whole history up to each cutoff, NaN where unobserved, in blocks of bounded size.

    ``series`` int64 (O,), −1 for one without history; ``cutoffs`` int64 (O,).
    """
    first = np.searchsorted(panel.series, series)
    segments = np.where(series >= 0, np.searchsorted(panel.series, series, side="right") - first, 0)
    origin, segment = np.repeat(np.arange(len(series)), segments), _ranges(first, segments)
    before, _ = panel.schema.frequency.locate(panel.start[segment], cutoffs[origin])  # rows from segment start
    longest = int(before.max(initial=0)) + 1
    size = max(1, BLOCK // longest)
    lengths = np.diff(panel.offsets)[segment]
    for start in range(0, len(series), size):
        chosen = (origin >= start) & (origin < start + size)
        rows = _ranges(panel.offsets[segment[chosen]], lengths[chosen])
        back = np.repeat(before[chosen], lengths[chosen]) - _ranges(np.zeros_like(before[chosen]), lengths[chosen])
        lane = np.repeat(origin[chosen], lengths[chosen]) - start
        seen = (back >= 0) & panel.observed[rows, column]
        shift = panel.shift[series[lane + start], column]
        context = np.full((min(size, len(series) - start), longest), np.nan)
        context[lane[seen], longest - 1 - back[seen]] = (panel.values[rows, column] + shift)[seen]
        yield slice(start, start + size), context


def _actual_rows(panel: Panel, ids: tuple[str, ...], frame: pd.DataFrame) -> pd.DataFrame:
    """Series, time, target and ``y`` of the panel's rows in the time range of the forecasts."""
    rows = np.arange(len(panel.values), dtype=np.int64)
    times = panel.times(rows)
    rows = rows[(times >= frame["time"].min()) & (times <= frame["time"].max())]
    number = np.arange(len(ids), len(ids) + len(panel.ids))  # series nobody forecast come after those somebody did
    wanted = same_series(panel, ids)
    number[wanted[wanted >= 0]] = np.flatnonzero(wanted >= 0)
    series = panel.series[panel.segment_of(rows)]
    parts = []
    for name, column in target_columns(panel, frame).items():
        y = np.where(panel.observed[rows, column], panel.values[rows, column] + panel.shift[series, column], np.nan)
        parts.append(pd.DataFrame({"series": number[series], "time": times[rows], "target": name, "y": y}))
    return pd.concat(parts, ignore_index=True)


def _nothing_met(frame: pd.DataFrame, panel: Panel, *, forecast: str, actual: str) -> DataError:
    times = panel.times(np.arange(len(panel.values), dtype=np.int64))
    known = set(frame["unique_id"]) & set(panel.ids)
    by_time = frame.sort_values("time")["ds"]
    first, last = panel.schema.clock.format(np.array([times.min(), times.max()]))
    cause = "their times do not overlap" if known or len(panel.ids) == 1 else "no series has the same name in both"
    return DataError(
        f"no forecast meets an actual: {cause}. {forecast} runs from {by_time.iloc[0]} to {by_time.iloc[-1]} "
        f"(series {_examples(tuple(frame['unique_id'].unique()))}), {actual} from {first} to {last} "
        f"(series {_examples(panel.ids)})",
        remedy="name the file that holds the forecast's times, or say how it is read: --id-col, --time-col, --tz",
    )


def _examples(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """starts[0] .. starts[0]+lengths[0]-1, starts[1] .. and so on, in one array."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
