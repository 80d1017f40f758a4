"""Columns: which one is the time, which names the series, which are forecast, which only help."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import styles
from lstmcast.data.dialect import kind
from lstmcast.data.findings import RefusedError, refuse
from lstmcast.data.frame import NAMELESS
from lstmcast.data.numbers import is_number
from lstmcast.data.schema import Schema
from lstmcast.errors import UsageError
from lstmcast.family import nearest

MOST_GUESSED = 20

_SURE_TIMES = ("ds", "datetime", "timestamp", "date_time", "date", "time", "datum")
_TIMES = (
    *(*_SURE_TIMES, "utc", "utc_time", "fecha", "data_ora"),
    *("zeit", "zeitstempel", "day", "tag", "week", "month", "monat", "quarter", "period", "year", "jahr", "t", "step"),
)
_PARTS = ("year", "jahr", "quarter", "month", "monat", "week", "day", "tag", "hour", "stunde", "minute")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?")
_IDS = ("unique_id", "series_id", "item_id", "series", "id")
_WEAK_IDS = (
    *("sku", "store", "item", "product", "article", "shop", "symbol", "ticker", "sensor", "device", "meter", "site"),
    *("station", "location", "region", "country", "city", "name", "key", "code", "host", "machine", "channel", "group"),
)
_EPOCHS = tuple((631_152_000 * unit, 2_840_140_800 * unit) for unit in (1, 10**3, 10**6, 10**9))  # 1990 to 2060
_PACKED = re.compile(r"(?:199|20[0-5])\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_ENOUGH = 3  # cells that must agree before a column of numbers is taken for times
_TARGETS = ("y", "target", "value", "values")


@dataclass(frozen=True, slots=True)
class Roles:
    """What each column is for; ``notes`` say what was inferred and what is left out."""

    time: str | None
    id: str | None
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    wide: bool = False
    notes: tuple[str, ...] = ()


def kinds(names: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """``number``, ``time``, ``clock``, ``text`` or ``empty`` for each column, by the majority of its first cells."""
    found = {}
    for index, name in enumerate(names):
        cells = [row[index] for row in rows if len(row) > index]
        looks = [_look(cell) for cell in cells]
        counts = {look: looks.count(look) for look in ("text", "clock", "time", "number")}
        best = max(counts, key=lambda look: counts[look])
        found[name] = best if counts[best] else "empty"
    return found


def _look(cell: str) -> str:
    look = kind(cell)
    if look == "text" and _CLOCK.fullmatch(cell):
        return "clock"
    if look == "text" and styles.recognise(cell, day_first=True):
        return "time"
    return look


def stamped(names: Sequence[str], rows: Sequence[Sequence[str]]) -> set[str]:
    """Columns whose first cells are whole numbers that ascend and are, by their size, epochs or packed dates."""
    found = set()
    for index, name in enumerate(names):
        cells = [row[index].strip() for row in rows if len(row) > index and row[index].strip()]
        if len(cells) < _ENOUGH or not all(cell.isdigit() for cell in cells):
            continue
        numbers = [int(cell) for cell in cells]
        ascending = numbers == sorted(numbers) and len(set(numbers)) > len(numbers) // 2
        epochs = any(all(low <= number <= high for number in numbers) for low, high in _EPOCHS)
        if ascending and (epochs or all(_PACKED.fullmatch(cell) for cell in cells)):
            found.add(name)
    return found


def pick_time(found: Mapping[str, str], settings: ReaderSettings, *, stamped: Collection[str] = ()) -> str | None:
    """The time column, or None if there is none. Raises ``RefusedError`` when several could be.

    ``stamped`` columns hold numbers that look like times; they count where no column is named like one or holds texts
    that read as times.
    """
    if settings.time_col is not None:
        require(settings.time_col, found, flag="--time-col")
        return settings.time_col
    taken = {settings.id_col, *settings.target, *(settings.past or ()), *settings.future}
    free = [name for name in found if name not in taken]
    named = sorted(
        (name for name in free if name.strip().lower() in _TIMES), key=lambda n: _TIMES.index(n.strip().lower())
    )
    likely = [name for name in named if found[name] in {"number", "time"}]
    likely = [name for name in likely if found[name] == "time"] or likely
    parts = [name for name in likely if found[name] == "number" and name.strip().lower() in _PARTS]
    if len(parts) > 1:
        raise refuse(
            "split-time",
            f"the time is spread over the columns {_listed(parts)}",
            fix="write it into one column, for example 2024-01, and name that with --time-col",
        )
    if likely:
        return likely[0]
    dated = [name for name in free if found[name] == "time"] or [name for name in free if name in stamped]
    if len(dated) > 1:
        raise refuse(
            "several-times",
            f"columns {_listed(dated)} all hold times",
            fix=f"--time-col {_flag(dated[0])}  # or {_listed(dated[1:])}",
        )
    # a column called date whose texts nobody understands is better refused than left out
    unread = [name for name in named if name.strip().lower() in _SURE_TIMES and found[name] in {"text", "clock"}]
    return next(iter([*dated, *unread]), None)


def as_text(found: Mapping[str, str], time: str | None, settings: ReaderSettings) -> tuple[set[str], set[str]]:
    """Columns to read as text, and those among which the id is, where ``NA`` is a name like any other."""
    names = {name for name in found if name.strip().lower() in (*_IDS, *_WEAK_IDS)}
    texts = {name for name, look in found.items() if look == "text"}
    ids = (names | texts | {settings.id_col}) - {time, None} - set(settings.target)
    return {name for name in (time,) if name} | {n for n, look in found.items() if look == "time"}, {
        i for i in ids if i
    }


def repeating(names: Sequence[str], rows: Sequence[Sequence[str]], among: set[str]) -> set[str]:
    """Those columns ``among`` these of whose first texts most come again."""
    found = set()
    for index, name in enumerate(names):
        cells = [row[index] for row in rows if len(row) > index]
        if name in among and len(set(cells)) * 4 <= len(cells):
            found.add(name)
    return found


def assign(frame: pd.DataFrame, found: Mapping[str, str], time: str | None, settings: ReaderSettings) -> Roles:
    """The role of every column. Raises ``RefusedError`` where two readings are equally likely."""
    _check_named(frame, settings)
    named_id = settings.id_col
    series = named_id if named_id or settings.wide else _pick_id(frame, time, found, settings)
    _refuse_clock_apart(frame, found, time, series, settings)
    asked = {time, series, *settings.future, *(settings.past or ())}
    numeric = [name for name in frame.columns if name not in asked and _numeric(frame, name, found, settings)]
    numeric = [name for name in numeric if not _is_row_index(frame, name, numeric)]
    if settings.wide:
        return _wide(frame, numeric, time, settings)
    targets = settings.target or _pick_target(numeric, frame, time if series is None else None)
    others = tuple(name for name in numeric if name not in targets)
    past = others if settings.past is None else settings.past
    if len(others) > MOST_GUESSED and not settings.target and settings.past is None:
        raise _too_many(others)
    used = {*targets, *past, *settings.future, *asked}
    notes = _notes(time, series, targets, past if settings.past is None else (), settings)
    ignored = [name for name in frame.columns if name not in used]
    if ignored:
        notes.append(f"ignored: {_listed(ignored)} (name covariates with --past or --future, a series with --id-col)")
    return Roles(time, series, targets, past, settings.future, wide=False, notes=tuple(notes))


def follow(frame: pd.DataFrame, schema: Schema) -> Roles:
    """The roles a stored schema gives. Raises ``RefusedError`` for a column that is not there any more."""
    wanted = {
        "--time-col": (schema.time_col,),
        "--id-col": (schema.id_col,),
        "--target": schema.targets,
        "--past": schema.past,
        "--future": schema.future,
    }
    for flag, names in wanted.items():
        for name in names:
            if name is not None:
                require(name, list(frame.columns), flag=flag)
    return Roles(schema.time_col, schema.id_col, schema.targets, schema.past, schema.future, wide=schema.wide)


def require(name: str, columns: Mapping[str, str] | list[str], *, flag: str) -> None:
    """Raise ``RefusedError`` naming the nearest column unless ``name`` is one of them."""
    if name not in columns:
        raise refuse(
            "no-such-column",
            f"there is no column called {name!r} ({flag})",
            fix=nearest(name, list(columns)),
            column=name,
        )


def _check_named(frame: pd.DataFrame, settings: ReaderSettings) -> None:
    flags = {
        "--id-col": (settings.id_col,) if settings.id_col else (),
        "--target": settings.target,
        "--past": settings.past or (),
        "--future": settings.future,
    }
    seen: dict[str, str] = {settings.time_col: "--time-col"} if settings.time_col else {}
    for flag, names in flags.items():
        for name in names:
            require(name, list(frame.columns), flag=flag)
            if name in seen:
                raise UsageError(f"column {name!r} is named by {seen[name]} and {flag}", remedy="give it one role")
            seen[name] = flag
    if settings.wide and settings.id_col:
        raise UsageError("--wide makes each column a series, so there is no --id-col", remedy="leave one of them out")


def _pick_id(frame: pd.DataFrame, time: str | None, found: Mapping[str, str], settings: ReaderSettings) -> str | None:
    taken = {time, *settings.target, *(settings.past or ()), *settings.future}
    free = [name for name in frame.columns if name not in taken]
    for wanted in _IDS:
        for name in free:
            if name.strip().lower() == wanted and (len(frame) == 1 or frame[name].nunique() < len(frame)):
                return name
    if time is not None and not frame[time].duplicated().any():
        return None
    candidates = [name for name in free if name.strip().lower() in _WEAK_IDS or _names_things(frame, name, found)]
    if time is None:
        candidates = [name for name in candidates if name.strip().lower() in _WEAK_IDS]
    separating = [name for name in candidates if _separates(frame, time, name)]
    if len(separating) > 1:
        raise refuse(
            "several-ids",
            f"columns {_listed(separating)} could each name the series",
            fix=f"--id-col {_flag(separating[0])}  # or {_listed(separating[1:])}",
        )
    return separating[0] if separating else None


def _names_things(frame: pd.DataFrame, name: str, found: Mapping[str, str]) -> bool:
    """Texts, or numbers among which there are texts (shops 7, 12 and B) that come back again and again."""
    if found.get(name) == "text":
        return True
    mixed = found.get(name) == "number" and not is_number(frame[name]) and name.strip().lower() not in _TARGETS
    return mixed and frame[name].nunique() * 2 <= len(frame)


def _separates(frame: pd.DataFrame, time: str | None, name: str) -> bool:
    """Whether the rows of each value of ``name`` have times of their own (up to rows repeated in full)."""
    if frame[name].nunique() >= len(frame):
        return False
    return time is None or not frame.drop_duplicates().duplicated([name, time]).any()


def separating(frame: pd.DataFrame, roles: Roles) -> tuple[str, str] | None:
    """Another column that would tell rows of the same time apart, and what to do with it."""
    keys = [name for name in (roles.id, roles.time) if name is not None]
    for name in frame.columns:
        if name in {*keys, *roles.targets} or (is_number(frame[name]) and frame[name].nunique() > len(frame) // 2):
            continue
        if 1 < frame[name].nunique() < len(frame) and not frame.duplicated([*keys, name]).any():
            if name.strip().lower() in _PARTS:
                return name, f"write {_listed([*keys[-1:], name])} into one column, for example 2024-01-31 14:00"
            if roles.id is None or not frame.duplicated([*keys[-1:], name]).any():
                return name, f"--id-col {_flag(name)}"
            return name, f"write {_listed([roles.id, name])} into one column and name that with --id-col"
    repeated = [name for name in frame.columns if name not in {*keys, *roles.targets} and _comes_again(frame, name)]
    for pair in combinations(repeated[:10], 2):
        if roles.id is None and not frame.duplicated([*keys, *pair]).any():
            joined = " and ".join(pair)
            return joined, f"write {', '.join(pair)} into one column and name that with --id-col"
    return None


def _comes_again(frame: pd.DataFrame, name: str) -> bool:
    return bool(1 < frame[name].nunique() * 2 <= len(frame)) and not pd.api.types.is_float_dtype(frame[name])


def _refuse_clock_apart(
    frame: pd.DataFrame, found: Mapping[str, str], time: str | None, series: str | None, settings: ReaderSettings
) -> None:
    """Raise ``RefusedError`` where a date comes again and again and the time of day stands in another column."""
    used = {time, series, *settings.target, *(settings.past or ()), *settings.future}
    clocks = [name for name, look in found.items() if look == "clock" and name not in used]
    keys = [name for name in (series, time) if name is not None]
    if time is None or not clocks or settings.duplicates != "error" or not frame.duplicated(keys).any():
        return
    raise refuse(
        "split-time",
        f"the time is spread over the columns {_listed([time, clocks[0]])}",
        fix="write it into one column, for example 2024-01-31 14:00, and name that with --time-col",
    )


def _numeric(frame: pd.DataFrame, name: str, found: Mapping[str, str], settings: ReaderSettings) -> bool:
    if name in settings.target:
        return True
    if frame[name].isna().all() or found.get(name) in {"time", "text"} or name.strip().lower() in _IDS:
        return False
    return is_number(frame[name]) or pd.api.types.is_bool_dtype(frame[name]) or found.get(name) == "number"


def _is_row_index(frame: pd.DataFrame, name: str, numeric: Sequence[str]) -> bool:
    """A first column without a name that counts the rows: what a data frame leaves behind when saved."""
    if not name.startswith(NAMELESS) or name != frame.columns[0] or len(numeric) < 2 or not is_number(frame[name]):
        return False
    return bool((np.diff(frame[name].to_numpy()) == 1).all())


def _wide(frame: pd.DataFrame, numeric: list[str], time: str | None, settings: ReaderSettings) -> Roles:
    past = settings.past or ()
    targets = settings.target or tuple(numeric)
    if not targets:
        raise _no_target(frame, time)
    used = {time, *targets, *past, *settings.future}
    ignored = [name for name in frame.columns if name not in used]
    notes = _notes(time, None, targets, (), settings.model_copy(update={"target": targets}))
    notes = [*notes, f"{len(targets)} columns are series of their own: {_listed(targets)}"]
    if ignored:
        notes.append(f"ignored: {_listed(ignored)}")
    return Roles(time, None, targets, past, settings.future, wide=True, notes=tuple(notes))


def _pick_target(numeric: list[str], frame: pd.DataFrame, time: str | None) -> tuple[str, ...]:
    for wanted in _TARGETS:
        named = [name for name in numeric if name.strip().lower() == wanted]
        if len(named) == 1:
            return (named[0],)
    if len(numeric) == 1:
        return (numeric[0],)
    if not numeric:
        raise _no_target(frame, time)
    if len(numeric) > MOST_GUESSED:
        raise _too_many(numeric)
    fix = f"--target {_flag(numeric[0])}  # or another of them; or --wide to forecast each as a series of its own"
    if time is not None and frame[time].duplicated().any():
        whole = [name for name in numeric if pd.api.types.is_integer_dtype(frame[name])]
        naming = [name for name in whole if _separates(frame, time, name)]
        naming = [name for name in naming if frame[name].nunique() * 2 <= len(frame)]
        if len(naming) == 1 and len(numeric) > 1:
            other = next(name for name in numeric if name not in naming)
            fix = f"--id-col {_flag(naming[0])} --target {_flag(other)}  # if {naming[0]} names the series"
    raise refuse("several-targets", f"columns {_listed(numeric)} could each be the one to forecast", fix=fix)


def _no_target(frame: pd.DataFrame, time: str | None) -> RefusedError:
    others = [name for name in frame.columns if name != time and not frame[name].isna().all()]
    return refuse(
        "no-target",
        f"no column holds numbers to forecast (columns: {_listed(frame.columns)})",
        fix=f"--target {_flag(others[-1])}  # its cells that are no numbers are then named"
        if others
        else "add a column of numbers",
    )


def _too_many(numeric: Sequence[str]) -> RefusedError:
    return refuse(
        "many-columns",
        f"{len(numeric)} numeric columns are too many to guess what they are for",
        fix=f"--wide  # if each is a series of its own, else --target {_flag(numeric[0])}",
    )


def _notes(
    time: str | None, series: str | None, targets: Sequence[str], past: Sequence[str], settings: ReaderSettings
) -> list[str]:
    notes = []
    if time is None:
        notes.append("no time column: rows are numbered in the order of the file (--time-col)")
    elif settings.time_col is None:
        notes.append(f"time column: {time} (--time-col)")
    if series is not None and settings.id_col is None:
        notes.append(f"series are named by column {series} (--id-col)")
    if not settings.target:
        notes.append(f"target: {targets[0]} (--target)")
    if past:
        notes.append(f"covariates known up to now: {_listed(past)} (--past, --future)")
    return notes


def _listed(names: Sequence[str] | pd.Index) -> str:
    shown = ", ".join(str(name)[:40] for name in names[:6])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 6 else shown


def _flag(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f"'{name}'"
