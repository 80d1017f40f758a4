"""Rhythm: the season a series lives by and a longer one above it, in clock units and in rows."""

from __future__ import annotations

from dataclasses import dataclass

from lstmcast.data.calendar import DAY, HOUR, MINUTE, WEEK, Frequency

_UNKNOWN_SEASON = 24
_ABOVE = 7


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``day`` and ``week`` are the two seasons in the clock's unit; for rows a minute to hours apart just that.

    ``rows`` of them make a ``day``; ``step`` is the clock time from row to row. ``tz`` is the zone of the wall clock
    that the seasons follow, None where times are naive or have no clock.
    """

    day: int
    week: int
    rows: int
    step: int
    tz: str | None = None


def rhythm(frequency: Frequency, *, found: tuple[int, ...] = ()) -> Rhythm:
    """The rhythm of rows at ``frequency``; where the calendar knows no season, those ``found``, in rows, ascending."""
    if frequency.kind == "fixed" and frequency.step < DAY:
        day, week = (DAY, WEEK) if frequency.step >= MINUTE else (HOUR, DAY)
        return Rhythm(day, week, max(1, round(day / frequency.step)), frequency.step, frequency.tz)
    seasons = frequency.seasons() or found or (_UNKNOWN_SEASON,)
    per_week = frequency.rows_per_week()
    step = float(frequency.step) if per_week is None else WEEK / per_week
    above = next((season for season in seasons[1:] if season > seasons[0]), _ABOVE * seasons[0])
    return Rhythm(round(seasons[0] * step), round(above * step), seasons[0], max(1, round(step)), frequency.tz)
