"""Clock inference: which clock a time column runs by. Style, order of day and month, zone, epoch or plain count."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data import epochs, styles
from lstmcast.data.calendar import DAY, ZONES, to_wall, zone
from lstmcast.data.clock import Clock
from lstmcast.data.counting import Places
from lstmcast.data.findings import refuse
from lstmcast.data.spacing import infer

_FROM_1990, _TO_2060 = 631_152_000, 2_871_763_200
_YEARS = frozenset({"year", "years", "yr", "jahr", "annee", "année", "anno", "ano", "año"})
_WEEKS = frozenset({"week", "weeks", "kw", "woche", "semana", "isoweek", "iso_week", "yearweek", "year_week"})
_DATES = frozenset({"date", "datum", "fecha", "data"})
_PACKED = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_COUNTERS = frozenset({"t", "step", "index", "idx", "i", "n", "row", "seq", "tick", "cycle", "frame", "sample"})


def infer_clock(
    texts: NDArray[np.object_], *, column: str, settings: ReaderSettings, lines: Places | None = None
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
    if len(stripped) and all(styles.beginning(text) for text in stripped):
        starts = np.array([styles.beginning(text) for text in stripped], dtype=object)
        clock, notes = infer_clock(starts, column=column, settings=settings, lines=lines)
        return clock.model_copy(update={"span": True}), [*notes, f"{stripped[0]} is known by its beginning"]
    numeric = np.array([epochs.NUMBER.fullmatch(text) is not None for text in stripped], bool)
    if numeric.mean() > 0.5 and settings.freq is not None and settings.freq.strip().isdigit():
        return Clock(kind="integer"), []
    if numeric.mean() > 0.5:  # the others are then named one by one by ``parse``
        return _numeric_clock(stripped[numeric], column=column, tz=tz)
    known = (str(text) for text in stripped if styles.recognise(text, day_first=True))
    return _styled_clock(stripped, next(known, str(stripped[0])), column=column, settings=settings, lines=lines)


def _asked(texts: NDArray[np.object_], settings: ReaderSettings) -> Clock:
    tz = settings.tz or ("UTC" if styles.is_zoned(settings.date_format[0]) else None)
    return _written(settings.date_format, texts, tz=tz, day_first=settings.day_first)


def _styled_clock(
    texts: NDArray[np.object_], first: str, *, column: str, settings: ReaderSettings, lines: Places | None
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
    lone = r"^\d[-/. ]|^\d{1,4}[-/.]\d[-/.]|^\d{4}[-/.](?:\d{1,2}[-/.])?\d(?:\D|$)|[年月]\d[月日]"
    return Clock(
        kind="datetime",
        formats=formats,
        tz=tz,
        day_first=day_first,
        padded=not bool(given.str.contains(lone).any()),
        padded_hour=not bool(given.str.contains(r"[T ]\d:").any()),
        fraction=epochs.decimals(texts) if "%f" in formats[0] else 0,
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
    for unit, length in epochs.UNITS.items():
        if low * length / 1e9 >= _FROM_1990 and high * length / 1e9 <= _TO_2060:
            note = f"{column} {texts[0]} is read as Unix time in {unit} (--epoch-unit; --freq 1 if it only counts)"
            return _epoch_clock(unit, texts, tz), [note]
    if name not in _COUNTERS and low >= epochs.EXCEL_EPOCH + 7_305 and high <= epochs.EXCEL_EPOCH + 33_237:
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
            "fraction": epochs.decimals(texts),
        }
    )
