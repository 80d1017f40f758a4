"""Outputs: the last touch on what a night wrote, and the status that tells how each series fared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.clock import Clock
from lstmcast.data.panel import Panel
from lstmcast.data.styles import is_zoned
from lstmcast.errors import UsageError
from lstmcast.forecast.intervals import significant

_TEXT = dict.fromkeys(("unique_id", "target", "ds", "cutoff", "status"), str)
_REASONS = {
    "ok": "",
    "padded": "shorter than the context",
    "constant": "never varies",
    "fallback": "not forecast by the network; the last season is repeated",
    "skipped": "not forecast",
    "stale": "no row within stale_after",
}
_SIDES = ("lo", "hi")
TROUBLE = ("fallback", "skipped", "stale")


def read_frames(path: Path, *, rows: int) -> Iterator[pd.DataFrame]:
    """The forecast file ``predict`` wrote as CSV, ``rows`` at a time, names and times as text, every digit kept."""
    with pd.read_csv(
        path, dtype=_TEXT, keep_default_na=False, na_values=[""], float_precision="round_trip", chunksize=rows
    ) as parts:
        yield from parts


def finished(
    frame: pd.DataFrame, *, naive: NDArray[np.float64], level: NDArray[np.float64], asked: Mapping[float, float]
) -> pd.DataFrame:
    """Forecasts (r rows) with the names and values they are published with.

    Intervals asked for at adapted levels get their nominal names again (``asked`` maps these to those), and a series
    the network could not forecast gets ``naive`` (r,) unless it was made to add up with others; ``level`` (r,) is that
    of the series.
    """
    renamed = {
        f"y_hat-{side}-{wanted:g}": f"y_hat-{side}-{name:g}" for wanted, name in asked.items() for side in _SIDES
    }
    frame = frame.rename(columns=renamed)
    left = (frame["status"] == "fallback").to_numpy()
    if "coherent" in frame:
        left &= (frame["coherent"] == "no").to_numpy()
    season = significant(naive, level)
    made = np.where(left & np.isfinite(season), season, frame["y_hat"])
    whole = pd.api.types.is_integer_dtype(frame["y_hat"])  # as the model was asked for
    frame["y_hat"] = pd.Series(np.round(made), frame.index).astype("Int64") if whole else made
    return frame


def series_status(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """One row for each series of the panel: unique_id, cutoff, status, reason.

    ``frame`` has the columns unique_id and status, at most one row a series; a series that is not there was skipped.
    """
    status = frame.set_index("unique_id")["status"].reindex(list(panel.ids)).fillna("skipped")
    last = panel.ends[panel.last_segment()] - 1
    return pd.DataFrame(
        {
            "unique_id": list(panel.ids),
            "cutoff": panel.schema.clock.format(panel.times(last)),
            "status": status.to_numpy(),
            "reason": [_REASONS.get(word, "") for word in status],
        }
    )


def newest(panel: Panel) -> NDArray[np.int64]:
    """int64 (N,) the time of the last observed row of each series."""
    return panel.times(panel.ends[panel.last_segment()] - 1)


def behind(panel: Panel) -> list[str]:
    """The series that end before the newest row of all."""
    ends = newest(panel)
    return [panel.ids[k] for k in np.flatnonzero(ends < ends.max())]


def stale(panel: Panel, limit: dt.timedelta | None, now: dt.datetime) -> NDArray[np.bool_]:
    """bool (N,) series whose last row is older than ``limit``. Raises ``UsageError`` where times are plain numbers."""
    if limit is None:
        return np.zeros(len(panel.ids), dtype=bool)
    ages = age(newest(panel), panel.schema.clock, now)
    if ages is None:
        raise UsageError("stale_after needs times of a calendar", remedy="leave it out of the job file")
    return np.asarray(ages > limit.total_seconds())


def age(times: NDArray[np.int64], clock: Clock, now: dt.datetime) -> NDArray[np.float64] | None:
    """Seconds between ``times`` and ``now``; None where times are not of a calendar.

    Times without a zone are compared with the wall clock of ``now``.
    """
    if clock.kind != "datetime":
        return None
    utc = clock.tz is not None or clock.epoch_unit in {"s", "ms", "us", "ns"} or any(map(is_zoned, clock.formats))
    reference = now.astimezone(dt.UTC) if utc else now
    seconds = (reference.replace(tzinfo=None) - dt.datetime(1970, 1, 1)).total_seconds()
    return seconds - times / 1e9
