"""Styles: how a time is written. Recognises the style of a text, reads and writes times in it.

A style is a strptime format with three additions: ``%:z`` an offset with a colon, ``%q`` the quarter of the year, and
``%b``/``%B`` always in English.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.errors import UsageError

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SHORT = tuple(month[:3] for month in _MONTHS)
_NAMES = {name.lower(): "%b" for name in _SHORT} | {name.lower(): "%B" for name in _MONTHS if len(name) > 3}

_CLOCK = re.compile(
    r"(?P<date>.*?\d)(?P<gap>[T ]\s?)(?P<hour>\d{1,2}):\d{2}(?P<second>:\d{2})?(?P<fraction>[.,]\d{1,9})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<zone>\s?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?))?"
)
_YEAR_FIRST = re.compile(r"\d{4}([-/.])\d{1,2}(?:\1\d{1,2})?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
_MONTH_YEAR = re.compile(r"\d{1,2}([-/.])\d{4}")
_DAY_NAME_YEAR = re.compile(r"\d{1,2}([- ])([A-Za-z]{3,9})\1(\d{4}|\d{2})")
_NAME_YEAR = re.compile(r"([A-Za-z]{3,9})([- ])(\d{4}|\d{2})")
_NAME_DAY_YEAR = re.compile(r"([A-Za-z]{3,9}) \d{1,2}(,?) \d{4}")
_QUARTER = re.compile(r"\d{4}([- ]?)Q[1-4]")
_YEAR_MONTH = re.compile(r"\d{4}M(?:0[1-9]|1[0-2])")
_EAST_ASIAN = re.compile(r"\d{4}年\d{1,2}月(\d{1,2}日)?")
_ISO_WEEK = re.compile(r"\d{4}(-?)W\d{2}")
_ZONED = ("%z", "%:z", "Z", "UTC")


def recognise(text: str, *, day_first: bool) -> str | None:
    """The style ``text`` is written in, or None if it is no time. Numbers alone are no style."""
    clock = _CLOCK.fullmatch(text)
    if not clock:
        return _date_style(text, day_first=day_first)
    packed = re.fullmatch(r"\d{8}", clock["date"])
    date = "%Y%m%d" if packed else _date_style(clock["date"], day_first=day_first)
    if date is None or "%d" not in date:
        return None
    hour = "%I" if clock["half"] else "%H"
    fraction = f"{clock['fraction'][0]}%f" if clock["fraction"] else ""
    half = clock["half"].replace(clock["half"].strip(), "%p") if clock["half"] else ""
    return (
        f"{date}{clock['gap']}{hour}:%M{':%S' if clock['second'] else ''}{fraction}{half}{_zone_style(clock['zone'])}"
    )


def beginning(text: str) -> str | None:
    """The first of two times in ``01.03.2024 00:00 - 01.03.2024 01:00``; None for other texts."""
    first, _, second = text.partition(" - ")
    alike = recognise(first, day_first=True)
    return first if second and alike is not None and alike == recognise(second, day_first=True) else None


def is_year_last(text: str) -> tuple[int, int] | None:
    """The two leading fields of ``03/04/2024``, whose order is the question; None for other styles."""
    match = _YEAR_LAST.match(text)
    return (int(match[1]), int(match[3])) if match else None


def is_zoned(style: str) -> bool:
    """Whether the text itself names its offset."""
    return style.endswith(_ZONED)


def read(texts: NDArray[np.object_], style: str) -> tuple[Times, NDArray[np.bool_]]:
    """Nanoseconds (UTC instants where the style is zoned, else wall clock), and which texts fit the style.

    Raises ``UsageError`` for a style that is no strptime format.
    """
    pattern = style.replace("%:z", "%z")
    given = pd.Series(texts, dtype=object)
    if "%q" in style:
        parts = given.str.extract(_quarter_pattern(style))
        given = parts[0].str.cat((parts[1].astype(float).fillna(0).astype(int) * 3 - 2).astype(str), sep="-")
        pattern = "%Y-%m"
    elif "%V" in style:
        given, pattern = given + "-1", f"{style}-%u"
    elif "," in style and "%f" in style:
        given, pattern = given.str.replace(",", ".", regex=False), style.replace(",%f", ".%f")
    try:
        parsed = pd.to_datetime(given, format=pattern, errors="coerce", utc="%z" in pattern)
    except (ValueError, re.error) as error:
        raise UsageError(
            f"--date-format {style!r} is not a time format: {error}", remedy="write it like %Y-%m-%d %H:%M"
        ) from error
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_localize(None)
    coarse = parsed.to_numpy().astype("datetime64[us]")
    fits = ~np.isnat(coarse) & (np.abs(coarse.view(np.int64)) < 9_200_000_000_000_000)
    stamps = np.zeros(len(texts), np.int64)
    stamps[fits] = parsed.to_numpy()[fits].astype("datetime64[ns]").view(np.int64)
    return stamps, fits


def write(wall: Times, style: str, *, offsets: Times, bare: str, fraction: int) -> list[str]:
    """Wall-clock nanoseconds in ``style``; ``offsets`` are minutes east of UTC.

    ``bare`` names the directives written without leading zeros; ``fraction`` is the number of decimals of seconds.
    """
    index = pd.DatetimeIndex(wall.view("datetime64[ns]"))
    columns = []
    for part in re.split(r"(%:?[A-Za-z%])", style):
        if part in _WRITERS:
            columns.append(_WRITERS[part](index))
        elif part == "%f":
            digits = np.mod(wall, 1_000_000_000)
            columns.append([f"{value:09d}"[:fraction] for value in digits])
        elif part in {"%z", "%:z"}:
            colon = ":" if part == "%:z" else ""
            columns.append([f"{'-' if m < 0 else '+'}{abs(m) // 60:02d}{colon}{abs(m) % 60:02d}" for m in offsets])
        elif part:
            columns.append(["%" if part == "%%" else part] * len(index))
        if part in bare.split():
            columns[-1] = [text.lstrip("0") or "0" for text in columns[-1]]
    return ["".join(parts) for parts in zip(*columns, strict=True)]


def writable(style: str) -> bool:
    """Whether every directive of ``style`` can be written back."""
    known = {*_WRITERS, "%f", "%z", "%:z", "%%"}
    return all(directive in known for directive in re.findall(r"%:?[A-Za-z%]", style)) and "%" in style


def _digits(field: str, width: int) -> Callable[[pd.DatetimeIndex], list[str]]:
    return lambda index: [f"{value:0{width}d}" for value in getattr(index, field)]


_WRITERS: dict[str, Callable[[pd.DatetimeIndex], list[str]]] = {
    "%Y": _digits("year", 4),
    "%y": lambda index: [f"{year % 100:02d}" for year in index.year],
    "%m": _digits("month", 2),
    "%d": _digits("day", 2),
    "%q": _digits("quarter", 1),
    "%H": _digits("hour", 2),
    "%I": lambda index: [f"{(hour + 11) % 12 + 1:02d}" for hour in index.hour],
    "%p": lambda index: ["AM" if hour < 12 else "PM" for hour in index.hour],
    "%M": _digits("minute", 2),
    "%S": _digits("second", 2),
    "%b": lambda index: [_SHORT[month - 1] for month in index.month],
    "%B": lambda index: [_MONTHS[month - 1] for month in index.month],
    "%j": _digits("dayofyear", 3),
    "%G": lambda index: [f"{year:04d}" for year in index.isocalendar()["year"]],
    "%V": lambda index: [f"{week:02d}" for week in index.isocalendar()["week"]],
}


def _date_style(text: str, *, day_first: bool) -> str | None:
    if match := _YEAR_FIRST.fullmatch(text):
        parts = text.split(match[1])
        return match[1].join(("%Y", "%m", "%d")[: len(parts)])
    if match := _YEAR_LAST.fullmatch(text):
        order = ("%d", "%m") if day_first else ("%m", "%d")
        return match[2].join((*order, "%Y" if len(match[4]) == 4 else "%y"))
    if match := _MONTH_YEAR.fullmatch(text):
        return f"%m{match[1]}%Y"
    if match := _QUARTER.fullmatch(text):
        return f"%Y{match[1]}Q%q"
    if _YEAR_MONTH.fullmatch(text):
        return "%YM%m"
    if match := _EAST_ASIAN.fullmatch(text):
        return "%Y年%m月" + ("%d日" if match[1] else "")
    if match := _ISO_WEEK.fullmatch(text):
        return f"%G{match[1]}W%V"
    return _named_month_style(text)


def _named_month_style(text: str) -> str | None:
    if (match := _DAY_NAME_YEAR.fullmatch(text)) and (name := _NAMES.get(match[2].lower())):
        return match[1].join(("%d", name, "%Y" if len(match[3]) == 4 else "%y"))
    if (match := _NAME_DAY_YEAR.fullmatch(text)) and (name := _NAMES.get(match[1].lower())):
        return f"{name} %d{match[2]} %Y"
    if (match := _NAME_YEAR.fullmatch(text)) and (name := _NAMES.get(match[1].lower())):
        return match[2].join((name, "%Y" if len(match[3]) == 4 else "%y"))
    return None


def _zone_style(text: str | None) -> str:
    if not text:
        return ""
    if text.strip() in {"Z", "UTC"}:
        return text
    return text[: len(text) - len(text.lstrip())] + ("%:z" if ":" in text else "%z")


def _quarter_pattern(style: str) -> str:
    return re.escape(style).replace("%Y", r"^(\d{4})").replace("%q", r"([1-4])$")
