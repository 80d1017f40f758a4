"""Selection: which of the rows and events a run tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lstmcast.anomaly.events import Event
from lstmcast.anomaly.spans import parse_span, parse_times
from lstmcast.anomaly.watch import Channel
from lstmcast.data.clock import Clock
from lstmcast.data.panel import Panel
from lstmcast.errors import DataError, UsageError


def first_time(panel: Panel, *, since: str | None, last: str | None) -> int:
    """The time from which on to tell: ``since`` a time of the file, or ``last`` a span before the newest row.

    Raises ``UsageError`` if it is neither.
    """
    clock = panel.schema.clock
    if last is not None:
        if clock.kind != "datetime":
            raise UsageError("--last needs times that are times", remedy="write --since NUMBER")
        return int(panel.times(panel.ends - 1).max()) - parse_span(last, flag="--last") + 1
    try:
        return int(parse_times([str(since)], clock)[0])
    except DataError as error:
        raise UsageError(
            f"--since {since!r} is not a time of this file",
            remedy=f"write it like {clock.format(panel.start[:1])[0]}",
        ) from error


def since(table: pd.DataFrame, found: Sequence[Event], panel: Panel, first: int) -> tuple[pd.DataFrame, list[Event]]:
    """Rows not before ``first``, and events that end then or later. Raises ``UsageError`` if there is no row."""
    clock = panel.schema.clock
    kept = table[clock.parse(table["ds"].tolist()) >= first]
    if not len(kept):
        newest = clock.format(np.array([panel.times(panel.ends - 1).max()]))[0]
        raise UsageError(
            f"there is no row at or after --since {clock.format(np.array([first]))[0]}", remedy=f"the last is {newest}"
        )
    ends = clock.parse([event.end for event in found]) if found else np.empty(0, dtype=np.int64)
    return kept, [event for event, end in zip(found, ends, strict=True) if end >= first]


def last_time(channels: Mapping[str, Channel], names: Sequence[str]) -> int:
    """The time of the newest row known of any of the channels ``names``; the least int64 if there is none."""
    times = [channels[name].time for name in names if name in channels]
    return max((int(time[-1]) for time in times if len(time)), default=np.iinfo(np.int64).min)


def later_rows(table: pd.DataFrame, clock: Clock, known: Mapping[str, int]) -> pd.DataFrame:
    """The rows of ``table`` later than what was ``known`` of their series; a lone series may go by another name."""
    times = clock.parse(table["ds"].tolist())
    least = np.iinfo(np.int64).min
    lone = next(iter(known.values())) if len(known) == 1 else least
    before = table["unique_id"].map(lambda name: known.get(name, lone)).to_numpy(dtype=np.int64)
    return table[times > before]
