"""Clock: between the texts of a time column and int64 times, in the file's own style."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import Frozen, ReaderSettings
from lstmcast.data import styles
from lstmcast.data.calendar import DAY, ZONES, Times, from_wall, infer, to_wall, zone
from lstmcast.data.findings import RefusedError, refuse
from lstmcast.errors import UsageError

EpochUnit = Literal["s", "ms", "us", "ns", "excel"]

_UNITS: dict[str, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_EXCEL_EPOCH = 25_569  # the serial of 1970-01-01
_FROM_1990, _TO_2060 = 631_152_000, 2_871_763_200
_LARGEST = 2**62
_YEARS = frozenset({"year", "years", "yr", "jahr", "annee", "année", "anno", "ano", "año"})
_WEEKS = frozenset({"week", "weeks", "kw", "woche", "semana", "isoweek", "iso_week", "yearweek", "year_week"})
_DATES = frozenset({"date", "datum", "fecha", "data"})
_PACKED = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_COUNTERS = frozenset({"t", "step", "index", "idx", "i", "n", "row", "seq", "tick", "cycle", "frame", "sample"})
_WHOLE = re.compile(r"[+-]?\d{1,19}(\.0*)?")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")


class Clock(Frozen):
    """How the time column is read and written.

    ``kind`` ``row``: there is no time column and rows count from 1. ``formats``: strptime formats, the first is the
    one written. ``epoch_unit``: the times are numbers since 1970, or Excel serial days. ``tz``: the zone the wall clock
    is read in, as an IANA name or an offset; None for naive and integer time. ``padded``: 03.04. rather than 3.4.
    ``padded_hour`` likewise for hours. ``fraction``: decimals of seconds (or of epoch numbers).
    """

    kind: Literal["datetime", "integer", "row"]
    formats: tuple[str, ...] = ()
    epoch_unit: EpochUnit | None = None
    day_first: bool | None = None
    tz: str | None = None
    padded: bool = True
    padded_hour: bool = True
    fraction: int = 0

    def parse(
        self,
        texts: Sequence[str] | NDArray[np.object_],
        *,
        groups: Times | None = None,
        lines: Times | None = None,
        column: str = "time",
    ) -> Times:
        """int64 times of ``texts``: see ``calendar`` for the unit.

        ``groups`` int64 (R,) the series of each row: an hour that comes twice when clocks are set back is told apart
        by its order within a series. ``lines`` int64 (R,) the line of each text, for messages.
        Raises ``RefusedError`` naming the first line that is no time in this style.
        """
        given = np.asarray(texts, dtype=object)
        codes, distinct = pd.factorize(given)
        distinct = np.asarray(distinct, dtype=object)
        times, fits = self._read(np.array([str(text).strip() for text in distinct], dtype=object))
        bad = codes < 0
        bad[~bad] = ~fits[codes[~bad]]
        if bad.any():
            raise self._unreadable(given, bad, lines=lines, column=column)
        if self.kind != "datetime" or self.tz is None or self._instants():
            return times[codes]
        return _located(times, codes, self.tz, np.zeros(len(given), np.int64) if groups is None else groups)

    def format(self, times: Times) -> list[str]:
        """The texts of int64 times, in the file's own style."""
        distinct, back = np.unique(np.asarray(times, np.int64), return_inverse=True)
        if self.kind != "datetime":
            written = [str(number) for number in distinct.tolist()]
        elif self.epoch_unit:
            written = self._numbers(distinct)
        else:
            wall = to_wall(distinct, self.tz)
            written = styles.write(
                wall,
                self.formats[0],
                offsets=(wall - distinct) // 60_000_000_000,
                bare=("" if self.padded else "%d %m ") + ("" if self.padded_hour else "%H %I"),
                fraction=self.fraction,
            )
        return np.array(written, dtype=object)[back.ravel()].tolist() if written else []

    def _swapped(self, given: NDArray[np.object_]) -> str | None:
        """The same style with day and month exchanged, if all texts fit that."""
        style = self.formats[0].replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")
        texts = np.array([str(text).strip() for text in pd.unique(given)], dtype=object)
        return style if style != self.formats[0] and styles.read(texts, style)[1].all() else None

    def _instants(self) -> bool:
        """Whether the texts name instants by themselves, without a zone to read them in."""
        return self.epoch_unit in _UNITS or (not self.epoch_unit and styles.is_zoned(self.formats[0]))

    def _read(self, distinct: NDArray[np.object_]) -> tuple[Times, NDArray[np.bool_]]:
        if self.kind != "datetime":
            return _integers(distinct)
        if self.epoch_unit:
            return _epochs(distinct, self.epoch_unit)
        times = np.zeros(len(distinct), np.int64)
        fits = np.zeros(len(distinct), bool)
        for style in self.formats:
            if not (~fits).any():
                break
            found, good = styles.read(distinct[~fits], style)
            places = np.flatnonzero(~fits)[good]
            times[places] = found[good]
            fits[places] = True
        return times, fits

    def _numbers(self, times: Times) -> list[str]:
        if self.epoch_unit == "excel":
            days = to_wall(times, self.tz) / DAY + _EXCEL_EPOCH
            digits = self.fraction or 10
            return [str(int(day)) if day == int(day) else repr(round(day, digits)) for day in days.tolist()]
        unit = _UNITS[self.epoch_unit or "s"]
        whole, rest = np.divmod(times, unit)
        if not self.fraction:
            return [str(number) for number in whole.tolist()]
        scale = 10**self.fraction
        parts = rest * scale // unit
        return [f"{n}.{part:0{self.fraction}d}" for n, part in zip(whole.tolist(), parts.tolist(), strict=True)]

    def _unreadable(
        self, given: NDArray[np.object_], bad: NDArray[np.bool_], *, lines: Times | None, column: str
    ) -> RefusedError:
        first = int(np.argmax(bad))
        line = None if lines is None else int(lines[first])
        where = f"entry {first + 1}" if line is None else f"line {line}"
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        text = given[first]
        if not isinstance(text, str) or not text.strip():
            return refuse(
                "missing-time",
                f"column {column!r}, {where}: the time is missing{more}",
                fix="fill in the time, or delete the row",
                column=column,
                line=line,
            )
        like = self.formats[0] if self.formats else "a whole number" if self.kind == "integer" else "a number"
        leading = styles.is_year_last(text.strip())
        day_first = bool(self.day_first) or "." in text or (leading is not None and leading[0] > 12)
        other = styles.recognise(text.strip(), day_first=day_first)
        # the first format is the one written, so it must say all that the others say
        asked = sorted((*self.formats, other or ""), key=lambda style: -style.count("%"))
        flags = " ".join(f"--date-format '{style}'" for style in asked)
        if other in self.formats and (swapped := self._swapped(given)):
            other, flags = swapped, f"--date-format '{swapped}'"
        return refuse(
            "bad-time",
            f"column {column!r}, {where}: {text[:60]!r} is not a time written like {like}{more}",
            fix=flags if self.formats and other not in {None, *self.formats} else "correct these rows",
            column=column,
            line=line,
        )


def infer_clock(
    texts: NDArray[np.object_], *, column: str, settings: ReaderSettings, lines: Times | None = None
) -> tuple[Clock, list[str]]:
    """The clock of a time column, and a sentence for each thing inferred.

    ``texts`` are the distinct texts in order of first appearance. Raises ``RefusedError`` when nothing fits, or when
    two readings are equally likely.
    """
    tz = settings.tz
    if tz is not None:
        zone(tz)
    stripped = np.array([text.strip() for text in texts], dtype=object)
    if settings.date_format:
        return _asked(stripped, settings), []
    if settings.epoch_unit:
        return _epoch_clock(settings.epoch_unit, stripped, tz), []
    numeric = np.array([_NUMBER.fullmatch(text) is not None for text in stripped], bool)
    if numeric.mean() > 0.5 and settings.freq is not None and settings.freq.strip().isdigit():
        return Clock(kind="integer"), []
    if numeric.mean() > 0.5:  # the others are then named one by one by ``parse``
        return _numeric_clock(stripped[numeric], column=column, tz=tz)
    known = (str(text) for text in stripped if styles.recognise(text, day_first=True))
    return _styled_clock(stripped, next(known, str(stripped[0])), column=column, settings=settings, lines=lines)


def _asked(texts: NDArray[np.object_], settings: ReaderSettings) -> Clock:
    for style in settings.date_format:
        if not styles.writable(style):
            raise UsageError(
                f"--date-format {style!r} holds a directive that cannot be written back",
                remedy="write it like %Y-%m-%d %H:%M",
            )
    tz = settings.tz or ("UTC" if styles.is_zoned(settings.date_format[0]) else None)
    return _written(settings.date_format, texts, tz=tz, day_first=settings.day_first)


def _styled_clock(
    texts: NDArray[np.object_], first: str, *, column: str, settings: ReaderSettings, lines: Times | None
) -> tuple[Clock, list[str]]:
    notes = []
    day_first = settings.day_first
    if settings.day_first is None and (year_first := _year_first(texts, first, column=column)):
        return _written((year_first,), texts, tz=settings.tz, day_first=None), [
            f"{first} is read year first (--date-format '{year_first}')"
        ]
    if styles.is_year_last(first) and day_first is None:
        day_first, reason = _day_first(texts, column=column, line=None if lines is None else int(lines[0]))
        notes.append(f"{first} is read {'day' if day_first else 'month'} first: {reason} (--day-first/--no-day-first)")
    style = styles.recognise(first, day_first=bool(day_first))
    if style is None:
        line = None if lines is None else int(lines[0])
        raise refuse(
            "no-time",
            f"column {column!r}: {first[:60]!r} is not a time in a style that is known",
            fix="name its format with --date-format, or another column with --time-col",
            column=column,
            line=line,
        )
    tz = settings.tz
    if tz is None and styles.is_zoned(style):
        tz, said = _zone_of(texts, style)
        notes += said
    return _written((style,), texts, tz=tz, day_first=day_first), notes


def _written(formats: tuple[str, ...], texts: NDArray[np.object_], *, tz: str | None, day_first: bool | None) -> Clock:
    """A clock that writes the way ``texts`` are written: leading zeros and decimals."""
    given = pd.Series(texts)
    lone = r"^\d[-/. ]|^\d{1,4}[-/.]\d[-/.]|^\d{4}[-/.](?:\d{1,2}[-/.])?\d(?:\D|$)"
    return Clock(
        kind="datetime",
        formats=formats,
        tz=tz,
        day_first=day_first,
        padded=not bool(given.str.contains(lone).any()),
        padded_hour=not bool(given.str.contains(r"[T ]\d:").any()),
        fraction=_fraction(texts) if "%f" in formats[0] else 0,
    )


def _zone_of(texts: NDArray[np.object_], style: str) -> tuple[str, list[str]]:
    if not style.endswith("z"):
        return "UTC", []
    offsets = pd.Series(texts).str.extract(r"([+-]\d{2}):?(\d{2})?$").dropna(subset=[0]).fillna("00").drop_duplicates()
    names = sorted(f"{hours}:{minutes}" for hours, minutes in zip(offsets[0], offsets[1], strict=True))
    if len(names) == 1:
        return names[0], []
    if found := _shared_zone(texts, style):
        return found, [f"the offsets change ({', '.join(names[:3])}) as they do in {found} (--tz)"]
    return "UTC", [f"the offsets change ({', '.join(names[:3])}), so days are those of UTC; name the zone with --tz"]


def _shared_zone(texts: NDArray[np.object_], style: str) -> str | None:
    """A zone in which every text has the offset it names."""
    instants, fits = styles.read(texts, style)
    walls, _ = styles.read(
        pd.Series(texts).str.replace(r"\s?[+-]\d{2}(?::?\d{2})?$", "", regex=True).to_numpy(object),
        re.sub(r"\s?%:?z$", "", style),
    )
    shown = (walls - instants)[fits]
    return next((name for name in ZONES if (to_wall(instants[fits], name) - instants[fits] == shown).all()), None)


def _day_first(texts: NDArray[np.object_], *, column: str, line: int | None) -> tuple[bool, str]:
    fields = pd.Series(texts).str.extract(r"^(\d{1,2})([-/.])(\d{1,2})").dropna()
    leading, middle = fields[0].astype(int).to_numpy(), fields[2].astype(int).to_numpy()
    texts = texts[fields.index.to_numpy()]
    if (leading > 12).any() and (middle > 12).any():
        day, month = texts[leading.argmax()], texts[middle.argmax()]
        raise refuse(
            "mixed-date-order",
            f"column {column!r} holds both {day!r} and {month!r}",
            fix="correct the file, or name both formats: --date-format %d/%m/%Y --date-format %m/%d/%Y",
            column=column,
        )
    if (leading > 12).any():
        return True, f"{texts[leading.argmax()]} has no other reading"
    if (middle > 12).any():
        return False, f"{texts[middle.argmax()]} has no other reading"
    if fields[1].iloc[0] == ".":
        return True, "dates with dots are"
    styled = {order: styles.recognise(str(texts[0]), day_first=order) for order in (True, False)}
    regular = [order for order, style in styled.items() if _is_regular(texts, style)]
    if len(regular) == 1:
        return regular[0], "only so are the steps constant"
    raise refuse(
        "ambiguous-date",
        f"column {column!r}: {texts[0]!r} can be day first or month first, and no row decides",
        fix="--day-first  # or --no-day-first",
        column=column,
        line=line,
    )


def _year_first(texts: NDArray[np.object_], first: str, *, column: str) -> str | None:
    """The style of dates such as 24-03-20 where they begin with the year of two digits; None where they do not.

    Raises ``RefusedError`` where steps are as regular with the year in front as with it at the end.
    """
    style = styles.recognise(first, day_first=True) or ""
    parts = pd.Series(texts).str.extract(r"^(\d{2})([-/])\d{2}\2(\d{2})(?!\d)")
    if parts.isna().to_numpy().any() or "%y" not in style:
        return None
    mark = style[2]
    front = f"%y{mark}%m{mark}%d{style[8:]}"
    if not styles.read(texts, front)[1].all():
        return None
    behind = any(_is_regular(texts, styles.recognise(first, day_first=order)) for order in (True, False))
    if behind != _is_regular(texts, front):
        return None if behind else front
    if behind:
        raise refuse(
            "ambiguous-date",
            f"column {column!r}: {first!r} can begin or end with the year, and no row decides",
            fix=f"--day-first  # or --no-day-first, or --date-format '{front}'",
            column=column,
        )
    return front if parts[0].nunique() < parts[2].nunique() else None


def _is_regular(texts: NDArray[np.object_], style: str | None) -> bool:
    if style is None:
        return False
    times, fits = styles.read(texts, style)
    if not fits.all() or len(times) < 3:
        return False
    steps = np.diff(times)
    if not ((steps > 0).all() or (steps < 0).all()):
        return False
    ordered = np.sort(times)
    frequency = infer(ordered, np.arange(len(ordered)) > 0, integer=False, tz=None)
    if frequency is None:
        return False
    rows, on_grid = frequency.locate(ordered[:1], ordered)
    return bool(on_grid.all() and (np.diff(rows) == 1).all())


def _numeric_clock(texts: NDArray[np.object_], *, column: str, tz: str | None) -> tuple[Clock, list[str]]:
    name = column.strip().lower()
    numbers = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(float)
    low, high = float(numbers.min()), float(numbers.max())
    whole = bool((numbers == np.floor(numbers)).all())
    widths = {len(text) for text in texts[:1000]}
    if whole and widths <= set(_PACKED) and len(widths) == 1 and (style := _packed(texts, widths.pop(), name)):
        note = f"{column} {texts[0]} is read as {style} (--date-format; --freq 1 if it only counts)"
        return Clock(kind="datetime", formats=(style,), tz=tz), [note]
    for unit, length in _UNITS.items():
        if low * length / 1e9 >= _FROM_1990 and high * length / 1e9 <= _TO_2060:
            note = f"{column} {texts[0]} is read as Unix time in {unit} (--epoch-unit; --freq 1 if it only counts)"
            return _epoch_clock(unit, texts, tz), [note]
    if name not in _COUNTERS and low >= _EXCEL_EPOCH + 7_305 and high <= _EXCEL_EPOCH + 33_237:
        note = f"{column} {texts[0]} is read as an Excel date (--epoch-unit excel; --freq 1 if it only counts)"
        return _epoch_clock("excel", texts, tz), [note]
    if not whole:
        raise refuse(
            "fractional-time",
            f"column {column!r} counts time in fractions ({texts[int(np.argmax(numbers != np.floor(numbers)))]})",
            fix="name another column with --time-col, say --epoch-unit s, or number the rows 1, 2, 3",
            column=column,
        )
    return Clock(kind="integer"), [f"{column} {texts[0]} is read as a whole number (--date-format, --epoch-unit)"]


def _packed(texts: NDArray[np.object_], width: int, name: str) -> str | None:
    """``20240131`` is a date whatever the column is called; ``202401`` and ``2024`` need a telling name."""
    if width < 8 and name in _COUNTERS:
        return None
    if width == 4 and name not in _YEARS:
        return None
    spelled: tuple[str, ...] = ("%G%V",) if name in _WEEKS and width == 6 else (_PACKED[width],)
    if name in _DATES and width == 6:
        spelled = ("%Y%m", "%y%m%d")
    for style in spelled:
        times, fits = styles.read(texts, style)
        years = times[fits] / DAY / 365.2425 + 1970
        if bool(fits.all()) and (width == 4 or bool((years >= 1900).all() and (years < 2100).all())):
            return style
    return None


def _epoch_clock(unit: str, texts: NDArray[np.object_], tz: str | None) -> Clock:
    zone_name = tz if unit == "excel" else tz or "UTC"
    return Clock.model_validate(
        {
            "kind": "datetime",
            "epoch_unit": unit,
            "tz": zone_name,
            "fraction": _fraction(texts),
        }
    )


def _integers(texts: NDArray[np.object_]) -> tuple[Times, NDArray[np.bool_]]:
    fits = np.fromiter((_WHOLE.fullmatch(text) is not None for text in texts), bool, len(texts))
    numbers = [int(text.partition(".")[0]) for text in texts[fits]]
    small = np.fromiter((abs(number) < _LARGEST for number in numbers), bool, len(numbers))
    times = np.zeros(len(texts), np.int64)
    times[np.flatnonzero(fits)[small]] = [number for number in numbers if abs(number) < _LARGEST]
    fits[fits] = small
    return times, fits


def _epochs(texts: NDArray[np.object_], unit: str) -> tuple[Times, NDArray[np.bool_]]:
    """Numbers since 1970 (or Excel serials) to nanoseconds; fractions to a microsecond.

    Excel serials are taken to the millisecond, second or minute that their decimals can tell apart.
    """
    fits = np.fromiter((_NUMBER.fullmatch(text) is not None for text in texts), bool, len(texts))
    numbers = pd.to_numeric(pd.Series(np.where(fits, texts, "0")), errors="coerce").to_numpy(float)
    seconds = (numbers - _EXCEL_EPOCH) * 86_400 if unit == "excel" else numbers * (_UNITS[unit] / 1e9)
    fits &= np.abs(seconds) < 9_200_000_000
    if unit == "excel":
        # six decimals of a day are 0.09 s: what was written is the nearest whole second
        decimals = _fraction(texts)
        finest = 1_000 if decimals > 7 else 1 if decimals > 4 else 1 / 60
        milliseconds = np.round(np.round(np.where(fits, seconds, 0) * finest) / finest * 1_000)
        return milliseconds.astype(np.int64) * 1_000_000, fits
    whole, exact = _integers(np.array([text.partition(".")[0] for text in texts], dtype=object))
    rest = np.where(fits, numbers - np.trunc(numbers), 0)
    fraction = np.round(rest * (_UNITS[unit] / 1_000)).astype(np.int64) * 1_000
    fits &= exact
    return np.where(fits, whole, np.int64(0)) * _UNITS[unit] + fraction, fits


def _located(times: Times, codes: Times, tz: str, groups: Times) -> Times:
    """Instants of wall-clock times; an hour that comes twice is the later one on its second appearance in a series."""
    first, later = from_wall(times, tz), from_wall(times, tz, later=True)
    rows = np.flatnonzero((first != later)[codes])
    if not rows.size:
        return first[codes]
    same = groups[1:] == groups[:-1]
    newest_first = bool(np.sign(np.diff(times[codes])[same]).sum() < 0)
    seen = pd.DataFrame({"group": groups[rows], "time": codes[rows]}).groupby(["group", "time"], sort=False)
    order = seen.cumcount(ascending=not newest_first).to_numpy()
    located = first[codes]
    located[rows] = np.where(order > 0, later[codes[rows]], located[rows])
    return located


def _fraction(texts: NDArray[np.object_]) -> int:
    decimals = pd.Series(texts).str.extract(r"^(?:.*:\d{2}|[+-]?\d+)[.,](\d+)")[0].dropna().str.len()
    return int(decimals.max()) if len(decimals) else 0
