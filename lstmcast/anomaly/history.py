"""History: the rows of a delivery laid behind those already known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.remembering import forget
from lstmcast.anomaly.watch import Channel, empty_channel
from lstmcast.data.panel import Panel
from lstmcast.forecast.intervals import significant

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Rows = tuple[Times, Floats]

_SAME = 1e-6  # float32 digits: a value that differs by less was not corrected


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came with one reading: the ``names`` of N series and of D channels in each, N·D observed ``rows``."""

    names: tuple[str, ...]
    channels: tuple[str, ...]
    rows: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """``known`` channels and the ``fresh`` rows to continue them by; and what was odd about the delivery.

    ``late`` rows came behind later ones, ``corrected`` ones with another value than before, ``ignored`` of both were
    too old to be judged again. ``forgotten`` rows are known from earlier deliveries and no longer in this one;
    ``truncated`` the delivery ends before rows already known.
    """

    known: list[Channel]
    fresh: list[Rows]
    late: int
    corrected: int
    ignored: int
    forgotten: int
    truncated: bool


def delivery(panel: Panel) -> Delivery:
    """The observed rows of every channel of ``panel``, in the user's units."""
    bounds = np.searchsorted(np.repeat(panel.series, np.diff(panel.offsets)), np.arange(len(panel.ids) + 1))
    rows = []
    for n in range(len(panel.ids)):
        for d in range(panel.values.shape[1]):
            seen = bounds[n] + np.flatnonzero(panel.observed[bounds[n] : bounds[n + 1], d])
            rows.append((panel.times(seen), _as_written(panel.values[seen, d].astype(np.float64), panel.shift[n, d])))
    return Delivery(panel.ids, panel.target_names, tuple(rows))


def _as_written(moved: Floats, level: float) -> Floats:
    """``moved`` + ``level`` as the file has it: which level was taken off before the cast to float32 differs from one
    delivery to the next, and must not be seen in the values."""
    return np.where(moved == 0, level, significant(moved + level, level))


def channel_name(series: str, channel: str, *, alone: bool) -> str:
    """How a channel is called in messages: by its series, and by its own name where the series has several."""
    return series if alone else f"{series}/{channel}"


def merge(known: Mapping[str, Channel], came: Delivery, *, open_from: Mapping[str, int]) -> Merged:
    """Lay a delivery behind the ``known`` channels (by name).

    Late and corrected rows not before ``open_from`` (times by channel) take a channel back to them, to be judged again;
    older ones are counted and left alone, those before all that is remembered passed over. Known channels that the
    delivery does not have are kept as they are.
    """
    kept, fresh = [], []
    late = corrected = ignored = forgotten = 0
    truncated = False
    alone = len(came.channels) == 1
    names = [channel_name(series, channel, alone=alone) for series in came.names for channel in came.channels]
    for name, (time, y) in zip(names, came.rows, strict=True):
        channel = known.get(name, empty_channel(name))
        time, y = time[time >= channel.forgotten.since], y[time >= channel.forgotten.since]
        last = channel.time[-1] if len(channel.time) else np.iinfo(np.int64).min
        truncated |= bool(len(channel.time) and (not len(time) or time[-1] < last))
        is_late, is_corrected = _odd(channel, time, y)
        late, corrected = late + int(is_late.sum()), corrected + int(is_corrected.sum())
        forgotten += int(np.count_nonzero(~np.isin(channel.time, time)))
        odd = time[is_late | is_corrected]
        judged_again = odd[odd >= open_from.get(name, np.iinfo(np.int64).min)]
        ignored += len(odd) - len(judged_again)
        back = int(judged_again[0]) if len(judged_again) else None
        rest, later = _taken_back(channel, time, y, back)
        kept.append(rest)
        fresh.append(later)
    for name, channel in known.items():
        if name not in names:
            kept.append(channel)
            fresh.append((np.empty(0, dtype=np.int64), np.empty(0)))
    return Merged(kept, fresh, late, corrected, ignored, forgotten, truncated)


def _odd(channel: Channel, time: Times, y: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """bool (r,) rows that should have come earlier, and rows whose value was another one."""
    if not len(channel.time):
        return np.zeros(len(time), bool), np.zeros(len(time), bool)
    at = np.minimum(np.searchsorted(channel.time, time), len(channel.time) - 1)
    there = channel.time[at] == time
    late = ~there & (time < channel.time[-1])
    late &= time > channel.time[0]  # rows before all known ones belong to an older file
    return late, there & ~np.isclose(channel.y[at], y, rtol=_SAME, atol=0)


def _taken_back(channel: Channel, time: Times, y: Floats, back: int | None) -> tuple[Channel, Rows]:
    """The channel before ``back``, and all rows from there on, those delivered winning over those known."""
    if back is None:
        last = channel.time[-1] if len(channel.time) else np.iinfo(np.int64).min
        return channel, (time[time > last], y[time > last])
    stay = int(np.searchsorted(channel.time, back))
    old = ~np.isin(channel.time[stay:], time)
    new = time >= back
    times = np.concatenate([channel.time[stay:][old], time[new]])
    order = np.argsort(times, kind="stable")
    return within(channel, 0, stay), (times[order], np.concatenate([channel.y[stay:][old], y[new]])[order])


def within(channel: Channel, first: int, stop: int) -> Channel:
    """Rows ``first`` .. ``stop`` - 1 of ``channel``."""
    columns = ("time", "y", "expected", "lower", "upper", "error", "z")
    return replace(channel, **{name: getattr(channel, name)[first:stop] for name in columns})


def remembered(series: Sequence[Sequence[Channel]], most: int | None, *, day: int) -> list[Channel]:
    """The channels of every series without the rows that are no longer needed; see ``remembering``."""
    kept = []
    for group in series:
        gone = forget([channel.time for channel in group], [channel.forgotten for channel in group], most, day=day)
        for channel, (rows, known) in zip(group, gone, strict=True):
            kept.append(replace(within(channel, rows, len(channel.time)), forgotten=known))
    return kept


def by_series(came: Delivery, channels: Sequence[Channel]) -> list[list[Channel]]:
    """``channels``, the first N·D of which are those of the delivery, grouped by its series."""
    width = len(came.channels)
    return [list(channels[n * width : (n + 1) * width]) for n in range(len(came.names))]
