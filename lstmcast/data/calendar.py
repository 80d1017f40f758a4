"""Frequency: the only calendar arithmetic of the project, vectorised over arrays of times.

A time is an int64: nanoseconds (of the UTC instant where a zone is known, else of the wall clock) or, for integer time,
the number itself.
"""

from __future__ import annotations

import difflib
import math
import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

from lstmcast.config import Frozen
from lstmcast.errors import UsageError

Times = NDArray[np.int64]

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Halifax", "America/Sao_Paulo", "America/Santiago", "Australia/Sydney"),
    *("Australia/Adelaide", "Pacific/Auckland", "Asia/Jerusalem", "Africa/Cairo"),
)
"""Zones that are suggested where the hours in which clocks change point to them; the first that fits."""

MONDAY_TO_FRIDAY = "1111100"

_FIXED = {"D": DAY, "h": HOUR, "min": MINUTE, "s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ALIAS_UNITS = {**_FIXED, "H": HOUR, "T": MINUTE, "S": SECOND, "L": 1_000_000, "U": 1_000, "N": 1}
_MONTH_ALIASES = {"M": 1, "Q": 3, "Y": 12, "A": 12}
_MONTH_NAMES = {1: "M", 3: "Q", 12: "Y"}
_MONTH_ALIAS = re.compile(r"([MQYA])(S|E)?(?:-[A-Z]{3})?")
_EXAMPLES = "use for example h, 15min, D, B, W, MS, ME, QS, YS, or a whole number for integer time"
_WORDS = {
    **dict.fromkeys(("sec", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "minute", "minutes", "minutely"), "min"),
    **dict.fromkeys(("hr", "hour", "hours", "hourly"), "h"),
    **dict.fromkeys(("d", "day", "days", "daily"), "D"),
    **dict.fromkeys(("b", "business", "weekday", "weekdays"), "B"),
    **dict.fromkeys(("w", "week", "weeks", "weekly"), "W"),
    **dict.fromkeys(("month", "months", "monthly"), "MS"),
    **dict.fromkeys(("q", "quarter", "quarters", "quarterly"), "QS"),
    **dict.fromkeys(("y", "year", "years", "yearly", "annual", "annually"), "YS"),
}
"""What people call a frequency, and the alias that is meant."""


class Frequency(Frozen):
    """The distance between two rows.

    ``kind``    ``integer`` a number; ``fixed`` nanoseconds; ``days`` calendar days of the wall clock in ``tz`` (of 23
                or 25 hours where clocks change); ``business`` the days of ``weekmask``; ``months`` calendar months
    ``step``    how many of them; nanoseconds for ``fixed``
    ``anchor``  of ``months``: ``start`` and ``day`` keep the day of the month (``day`` is cut to the length of the
                month), ``end`` is its last day
    ``day``     the day of the month of ``anchor`` ``day``
    ``weekmask`` of ``business``: the working days from Monday on, 1 or 0 each
    ``tz``      IANA zone or ``+02:00`` that the wall clock is read in; None for naive time
    """

    kind: Literal["integer", "fixed", "days", "business", "months"]
    step: int = 1
    anchor: Literal["start", "end", "day"] = "start"
    day: int = 1
    weekmask: str = MONDAY_TO_FRIDAY
    tz: str | None = None

    @classmethod
    def from_alias(cls, text: str, *, tz: str | None = None, flag: str = "--freq") -> Frequency:
        """``h``, ``15min``, ``D``, ``B``, ``W``, ``MS``, ``ME``, ``QS``, ``YE`` or an integer step.

        Raises ``UsageError`` for anything else.
        """
        match = re.fullmatch(r"(\d*)\s*([A-Za-z]*(?:-[A-Z]{3}|-[01]{7})?)", text.strip())
        if not match or not (match[1] or match[2]) or int(match[1] or 1) < 1 or len(match[1]) > 9:
            raise UsageError(f"{flag} {text!r} is not a frequency", remedy=_meant(text))
        count, unit = int(match[1] or 1), match[2]
        if not unit:
            return cls(kind="integer", step=count)
        if month := _MONTH_ALIAS.fullmatch(unit):
            return cls(kind="months", step=count * _MONTH_ALIASES[month[1]], anchor=_anchor(month[2]), tz=tz)
        if unit == "B":
            return cls(kind="business", step=count, tz=tz)
        if unit.startswith("C-") and "1" in unit:
            return cls(kind="business", step=count, weekmask=unit[2:], tz=tz)
        if unit in {"D", "W"} or unit.startswith("W-"):
            return cls(kind="days", step=count * (1 if unit == "D" else 7), tz=tz)
        if unit in _ALIAS_UNITS:
            return cls(kind="fixed", step=count * _ALIAS_UNITS[unit], tz=tz)
        raise UsageError(f"{flag} {text!r} is not a frequency", remedy=_meant(text))

    @property
    def name(self) -> str:
        """A pandas-style alias, or the integer step."""
        if self.kind == "integer":
            return str(self.step)
        if self.kind == "months":
            unit = max(months for months in _MONTH_NAMES if self.step % months == 0)
            style = "E" if self.anchor == "end" else "S"
            return f"{_count(self.step // unit)}{_MONTH_NAMES[unit]}{style}"
        if self.kind == "business":
            return f"{_count(self.step)}{'B' if self.weekmask == MONDAY_TO_FRIDAY else f'C-{self.weekmask}'}"
        if self.kind == "days":
            return f"{_count(self.step // 7)}W" if self.step % 7 == 0 else f"{_count(self.step)}D"
        alias, length = next((alias, length) for alias, length in _FIXED.items() if self.step % length == 0)
        if alias == "D":
            alias, length = "h", HOUR
        return f"{_count(self.step // length)}{alias}"

    def advance(self, start: Times, steps: Times) -> Times:
        """The times ``steps`` rows after ``start`` (broadcast against each other)."""
        start, steps = np.broadcast_arrays(np.asarray(start, np.int64), np.asarray(steps, np.int64))
        if self.kind in {"integer", "fixed"}:
            return start + steps * self.step
        wall = to_wall(start, self.tz)
        day, clock = np.floor_divide(wall, DAY), np.mod(wall, DAY)
        if self.kind == "days":
            day = day + steps * self.step
        elif self.kind == "business":
            days = day.astype("datetime64[D]")
            shifted = np.busday_offset(days, steps * self.step, roll="forward", weekmask=self.weekmask)
            day = shifted.astype(np.int64)
        else:
            day = self._month_day(day, steps)
        return from_wall(day * DAY + clock, self.tz)

    def locate(self, start: Times, stop: Times) -> tuple[Times, NDArray[np.bool_]]:
        """Whole rows from ``start`` to ``stop``, rounded down, and whether ``stop`` lies exactly on the grid."""
        start, stop = np.broadcast_arrays(np.asarray(start, np.int64), np.asarray(stop, np.int64))
        if self.kind in {"integer", "fixed"}:
            apart = stop - start
            steps = np.floor_divide(apart, self.step)
            return steps, apart == steps * self.step
        first = np.floor_divide(to_wall(start, self.tz), DAY)
        last = np.floor_divide(to_wall(stop, self.tz), DAY)
        if self.kind == "days":
            steps = np.floor_divide(last - first, self.step)
            if self.tz is None:
                return steps, stop - start == steps * (self.step * DAY)
            return steps, self.advance(start, steps) == stop
        if self.kind == "business":
            days = first.astype("datetime64[D]"), last.astype("datetime64[D]")
            units = np.busday_count(*days, weekmask=self.weekmask).astype(np.int64)
        else:
            units = month_number(last) - month_number(first)
        steps = np.floor_divide(units, self.step)
        return steps, self.advance(start, steps) == stop

    def seasons(self) -> tuple[int, ...]:
        """The seasons people live by, in rows: the main one first; empty for yearly and integer time."""
        if self.kind == "fixed":
            lengths = (DAY, WEEK) if self.step < DAY else (WEEK,)
            if self.step < MINUTE:
                lengths = (HOUR, DAY)
            return tuple(length // self.step for length in lengths if length % self.step == 0 and length > self.step)
        if self.kind == "days":
            return {1: (7,), 7: (52,), 14: (26,)}.get(self.step, ())
        if self.kind == "business":
            return (self.weekmask.count("1"),) if self.step == 1 else ()
        if self.kind == "months" and 12 % self.step == 0 and self.step < 12:
            return (12 // self.step,)
        return ()

    def default_horizon(self) -> int:
        """Rows forecast unless asked otherwise: a day of minutes, two of hours, ...; 12 for integer time."""
        if self.kind == "fixed":
            return 48 if self.step >= HOUR else math.ceil(DAY / self.step) if self.step >= MINUTE else 60
        if self.kind == "days":
            return 13 if self.step >= 7 else 14
        if self.kind == "business":
            return 10
        if self.kind == "months":
            return 18 if self.step < 3 else 8 if self.step < 12 else 6
        return 12

    def rows_per_week(self) -> float | None:
        """How many rows a week has on average; None for integer time."""
        if self.kind == "integer":
            return None
        if self.kind == "fixed":
            return WEEK / self.step
        if self.kind == "business":
            return self.weekmask.count("1") / self.step
        return 7 / self.step if self.kind == "days" else 12 / 365.2425 * 7 / self.step

    def _month_day(self, day: Times, steps: Times) -> Times:
        month = month_number(day) + steps * self.step
        if self.anchor == "start":
            wanted = day - month_start(month_number(day)) + 1
        else:
            wanted = np.full_like(day, 31 if self.anchor == "end" else self.day)
        return np.asarray(month_start(month) + np.minimum(wanted, month_length(month)) - 1)


def _count(number: int) -> str:
    return "" if number == 1 else str(number)


def _anchor(style: str | None) -> Literal["start", "end"]:
    return "start" if style == "S" else "end"


def month_number(day: Times) -> Times:
    """The months since January 1970 in which these days lie."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _meant(text: str) -> str:
    """The alias nearest to ``text``, with its number; examples where none is near."""
    match = re.fullmatch(r"([1-9]\d{0,8})?\s*([A-Za-z]+)", text.strip())
    close = difflib.get_close_matches(match[2].lower(), _WORDS, n=1) if match else []
    return f"did you mean '{match[1] or ''}{_WORDS[close[0]]}'? ({_EXAMPLES})" if match and close else _EXAMPLES


def month_start(month: Times) -> Times:
    """The first day of these months."""
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def month_length(month: Times) -> Times:
    """How many days these months have."""
    return month_start(month + 1) - month_start(month)


@cache
def zone(name: str) -> tzinfo:
    """The zone of an IANA name or of an offset such as ``+02:00``. Raises ``UsageError`` for an unknown one."""
    if name in {"UTC", "Z"}:
        return UTC
    if offset := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name):
        minutes = (int(offset[2]) * 60 + int(offset[3])) * (-1 if offset[1] == "-" else 1)
        if abs(minutes) < 24 * 60:
            return timezone(timedelta(minutes=minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = difflib.get_close_matches(name, sorted(available_timezones()), n=1)
        remedy = f"did you mean {close[0]!r}? (--tz)" if close else "use --tz with a name such as Europe/Berlin"
        raise UsageError(f"there is no time zone called {name!r}", remedy=remedy) from error


def to_wall(times: Times, tz: str | None) -> Times:
    """Wall-clock nanoseconds of UTC instants in ``tz``; naive times are their own wall clock."""
    if tz is None or zone(tz) is UTC:
        return times
    # a panel repeats few times often: zones are looked up once per distinct time
    distinct, back = np.unique(times, return_inverse=True)
    return (distinct + _offset(distinct, tz))[back].reshape(times.shape)


def from_wall(wall: Times, tz: str | None, *, later: bool = False) -> Times:
    """UTC instants of wall-clock nanoseconds in ``tz``.

    Of an hour that comes twice the first is meant, or the second with ``later``. A time that is left out when clocks go
    forward is as long after the change as it says.
    """
    if tz is None or zone(tz) is UTC:
        return wall
    distinct, back = np.unique(wall, return_inverse=True)
    before, after = _offset(distinct - DAY, tz), _offset(distinct + DAY, tz)
    first, second = distinct - before, distinct - after
    fits_first, fits_second = _offset(first, tz) == before, _offset(second, tz) == after
    instants = np.where(fits_second & (~fits_first | later), second, first)
    return instants[back].reshape(wall.shape)


def _offset(instants: Times, tz: str) -> Times:
    """Nanoseconds east of UTC at these instants."""
    import pandas as pd

    local = pd.DatetimeIndex(instants.view("datetime64[ns]"), tz="UTC").tz_convert(zone(tz)).tz_localize(None)
    return np.asarray(local.as_unit("ns").to_numpy().view(np.int64) - instants)
