"""Calendar covariates: what the time of a row says by itself, known as far ahead as anyone asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, WEEK, Frequency, Times, to_wall
from lstmcast.data.journey import Journey
from lstmcast.data.panel import Panel
from lstmcast.data.schema import FEATURES, Schema
from lstmcast.errors import UsageError

_Kind = TypeVar("_Kind", np.float32, np.bool_)
_MONTH, _YEAR = 61 * DAY // 2, 1461 * DAY // 4
_CYCLES = {"hour": DAY, "weekday": WEEK, "monthday": _MONTH, "month": _YEAR}


def add_calendar(panel: Panel, journey: Journey) -> Panel:
    """The panel with the calendar covariates that the stored schema, else the settings ask for."""
    asked = journey.stored or journey.settings
    known = with_calendar(panel, calendar=asked.calendar, holidays=asked.holidays)
    if known.schema.derived and not journey.stored:
        journey.say(f"covariates from the calendar: {', '.join(known.schema.derived)} (--calendar, --holidays)")
    journey.schema = known.schema
    return known


def with_calendar(panel: Panel, *, calendar: Sequence[str], holidays: str | None) -> Panel:
    """The panel with calendar covariates behind its own; its schema remembers which.

    ``calendar`` names features of ``schema.FEATURES``, or is ``("auto",)`` for those that vary from row to row and
    have two full cycles in the median series. Each feature is a sine and a cosine. ``holidays`` is a country such as
    DE, or a part of one such as DE-BY: three flags, for the day itself, the day before and the day after.

    Raises ``UsageError`` where the times are numbers, for a feature that never varies at this frequency, an unknown
    country, and holidays for rows longer than a day.
    """
    frequency = panel.schema.frequency
    named = "--holidays" if holidays else "--calendar" if calendar and tuple(calendar) != ("auto",) else ""
    if named and frequency.kind == "integer":
        raise UsageError(f"{named} needs dates; the times here are numbers", remedy=f"leave out {named}")
    if tuple(calendar) == ("auto",):
        span = np.median(_spans(panel))
        chosen = [name for name in FEATURES if _varies(frequency, name) and span >= 2 * _CYCLES[name]]
    else:
        chosen = [name for name in FEATURES if name in calendar]
        if still := [name for name in chosen if not _varies(frequency, name)]:
            raise UsageError(
                f"--calendar {still[0]} says nothing: it is the same for every row at frequency {frequency.name}",
                remedy="use --calendar auto, or leave it out",
            )
    if holidays and _length(frequency) > DAY:
        raise UsageError(
            f"--holidays needs rows of a day or less; these are {frequency.name} apart",
            remedy="leave out --holidays",
        )
    schema = panel.schema.model_copy(update={"calendar": tuple(chosen), "holidays": holidays})
    if not schema.derived:
        return replace(panel, schema=schema)
    added = derived(schema, panel.times(np.arange(len(panel.values))))
    return replace(panel, schema=schema, covariates=np.concatenate([panel.covariates, added], axis=1))


def extended(panel: Panel, rows: int) -> Panel:
    """The panel with at least ``rows`` rows in the future block of every series, if it has derived covariates.

    In rows that are added the file's own covariates are missing, the derived ones are not.
    """
    if not panel.schema.derived:
        return panel
    last = panel.last_segment()
    ahead = np.diff(panel.offsets) - (panel.ends - panel.offsets[:-1])
    extra = np.zeros_like(ahead)
    extra[last] = np.maximum(rows - ahead[last], 0)
    old, offsets = panel.offsets, panel.offsets + np.r_[0, np.cumsum(extra)]
    moved = np.arange(len(panel.values)) + np.repeat(offsets[:-1] - old[:-1], np.diff(old))
    total = int(offsets[-1])

    def laid(array: NDArray[_Kind], fill: float) -> NDArray[_Kind]:
        out = np.full((total, array.shape[1]), fill, array.dtype)
        out[moved] = array
        return out

    longer = replace(
        panel,
        offsets=offsets,
        ends=panel.ends + offsets[:-1] - old[:-1],
        values=laid(panel.values, 0),
        observed=laid(panel.observed, False),
        covariates=laid(panel.covariates, np.nan),
    )
    new = np.setdiff1d(np.arange(total), moved)
    longer.covariates[new, -len(panel.schema.derived) :] = derived(panel.schema, longer.times(new))
    return longer


def derived(schema: Schema, times: Times) -> NDArray[np.float32]:
    """float32 (R, K) the columns ``schema.derived`` at ``times`` (R,). Raises ``UsageError`` for an unknown country."""
    wall = to_wall(times, schema.frequency.tz)
    columns: list[NDArray[np.float64]] = []
    for name in schema.calendar:
        angle = 2 * np.pi * _phase(name, wall)
        columns += [np.sin(angle), np.cos(angle)]
    if schema.holidays:
        free = days_off(schema.holidays, np.floor_divide(wall, DAY))
        columns += [free[:, 1], free[:, 2], free[:, 0]]
    out = np.stack(columns, axis=1) if columns else np.zeros((len(times), 0))
    return np.asarray(out, dtype=np.float32)


def _phase(name: str, wall: Times) -> NDArray[np.float64]:
    """Share of its cycle that has passed at each wall-clock time, in [0, 1)."""
    day = np.floor_divide(wall, DAY)
    if name == "hour":
        return np.asarray(np.mod(wall, DAY) / DAY, dtype=np.float64)
    if name == "weekday":
        return np.asarray(np.mod(day + 3, 7) / 7, dtype=np.float64)  # 1970-01-01 was a Thursday
    date = day.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    first, following = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
    passed = (date - first).astype(np.int64) / (following - first).astype(np.int64)
    if name == "monthday":
        return np.asarray(passed, dtype=np.float64)
    return np.asarray((np.mod(month.astype(np.int64), 12) + passed) / 12, dtype=np.float64)


def days_off(place: str, day: Times) -> NDArray[np.float64]:
    """float64 (R, 3) whether the day before, the day itself and the day after are public holidays."""
    import holidays

    country, _, part = place.partition("-")
    distinct, back = np.unique(day, return_inverse=True)
    around = distinct[[0, -1]] + (-1, 1) if distinct.size else np.zeros(2, np.int64)
    first, last = (around.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970).tolist()
    try:
        known = holidays.country_holidays(country, subdiv=part or None, years=range(first, last + 1))
    except NotImplementedError as error:
        raise UsageError(
            f"--holidays {place}: no public holidays are known for that place",
            remedy="use a code such as DE, US or DE-BY",
        ) from error
    free = np.array(sorted(known), dtype="datetime64[D]").astype(np.int64)
    return np.stack([np.isin(distinct + shift, free)[back] for shift in (-1, 0, 1)], axis=1).astype(np.float64)


def _spans(panel: Panel) -> NDArray[np.int64]:
    """int64 (N,) nanoseconds from the first to the last observed row of each series."""
    first = np.searchsorted(panel.series, np.arange(len(panel.ids)))
    return panel.times(panel.ends[panel.last_segment()] - 1) - panel.start[first]


def _varies(frequency: Frequency, name: str) -> bool:
    """Whether rows of this frequency differ in ``name``."""
    if frequency.kind == "integer":
        return False
    if name == "hour":
        return frequency.kind == "fixed" and frequency.step % DAY != 0
    if name == "weekday":
        return _length(frequency) < 28 * DAY and _length(frequency) % WEEK != 0
    return _length(frequency) < {"monthday": 28 * DAY, "month": 365 * DAY}[name]


def _length(frequency: Frequency) -> int:
    """Nanoseconds from row to row, about."""
    return frequency.step * {"days": DAY, "business": DAY, "months": _MONTH}.get(frequency.kind, 1)
