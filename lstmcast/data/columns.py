"""Columns: what each one is for. Which are forecast, which only help, which are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import styles, time_column
from lstmcast.data.categories import is_yes_or_no
from lstmcast.data.column_names import COUNTERS, IDS, PARTS, TARGETS, as_flag, by_flag, listed, require
from lstmcast.data.dialect import kind
from lstmcast.data.findings import RefusedError, refuse
from lstmcast.data.frame import NAMELESS
from lstmcast.data.id_column import pick_id, separates
from lstmcast.data.numbers import is_number
from lstmcast.data.schema import Schema

MOST_GUESSED = 20

_ACROSS = 5  # columns named by times that make a table one of series in rows

_YEAR = re.compile(r"(?:18|19|20)\d{2}(?: \[YR\d{4}\])?")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?")


@dataclass(frozen=True, slots=True)
class Roles:
    """What each column is for; ``notes`` say what was inferred and what is left out."""

    time: str | None
    id: str | None
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
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


def looks(
    names: Sequence[str], rows: Sequence[Sequence[str]], settings: ReaderSettings
) -> tuple[dict[str, str], str | None]:
    """What the columns hold by the look of their first cells, and which of them is the time."""
    found = kinds(names, rows)
    stamped, still = time_column.stamped(names, rows), time_column.still(names, rows)
    time = time_column.pick_time(found, settings, stamped=stamped, still=still)
    if settings.time_col is None:
        time_column.refuse_months_apart(names, rows, time=time)
    return found, time


def _look(cell: str) -> str:
    look = kind(cell)
    if look == "text" and _CLOCK.fullmatch(cell):
        return "clock"
    if look == "text" and styles.recognise(cell, day_first=True):
        return "time"
    return look


def assign(frame: pd.DataFrame, found: Mapping[str, str], time: str | None, settings: ReaderSettings) -> Roles:
    """The role of every column. Raises ``RefusedError`` where two readings are equally likely."""
    _check_named(frame, settings)
    if time is None and not settings.target and not settings.wide:
        _refuse_times_across(frame)
    named_id = settings.id_col
    series = named_id if named_id or settings.wide else pick_id(frame, time, found, settings)
    time_column.refuse_clock_apart(frame, found, time, series, settings)
    if settings.parent and series is None:
        raise refuse(
            "no-id",
            f"--parent {as_flag(settings.parent[0])} says what each series is part of, and no column names the series",
            fix="name it with --id-col",
        )
    asked = {time, series, *settings.future, *settings.static, *(settings.past or ()), *settings.parent}
    numeric = [name for name in frame.columns if name not in asked and _numeric(frame, name, found, settings)]
    numeric = [name for name in numeric if not _is_row_index(frame, name, numeric)]
    if not settings.wide:
        numeric = [name for name in numeric if not _is_reference(frame[name])] or numeric
    if settings.wide:
        return _wide(frame, numeric, time, settings)
    targets = settings.target or _pick_target(numeric, frame, time if series is None else None)
    flags = [name for name in frame.columns if name not in {*asked, *numeric} and is_yes_or_no(frame[name])]
    others = tuple(name for name in frame.columns if name in {*numeric, *flags} - set(targets))
    past = others if settings.past is None else settings.past
    if len(others) > MOST_GUESSED and not settings.target and settings.past is None:
        raise _too_many(others)
    used = {*targets, *past, *settings.future, *asked}
    notes = _notes(time, series, targets, past if settings.past is None else (), settings)
    ignored = [name for name in frame.columns if name not in used]
    if ignored:
        notes.append(f"ignored: {listed(ignored)} (name covariates with --past or --future, a series with --id-col)")
    return Roles(time, series, targets, past, settings.future, settings.static, wide=False, notes=tuple(notes))


def follow(frame: pd.DataFrame, schema: Schema) -> Roles:
    """The roles a stored schema gives. Raises ``RefusedError`` for a column that is not there any more."""
    wanted = {"--time-col": (schema.time_col,) if schema.time_col else ()} | by_flag(schema)
    for flag, names in wanted.items():
        for name in names:
            require(name, list(frame.columns), flag=flag)
    s = schema
    return Roles(s.time_col, s.id_col, s.targets, s.past, s.future, s.static, wide=s.wide)


def separating(frame: pd.DataFrame, roles: Roles) -> tuple[str, str] | None:
    """Another column that would tell rows of the same time apart, and what to do with it."""
    keys = [name for name in (roles.id, roles.time) if name is not None]
    for name in frame.columns:
        if name in {*keys, *roles.targets} or (is_number(frame[name]) and frame[name].nunique() > len(frame) // 2):
            continue
        if 1 < frame[name].nunique() < len(frame) and not frame.duplicated([*keys, name]).any():
            if name.strip().lower() in PARTS:
                return name, f"write {listed([*keys[-1:], name])} into one column, for example 2024-01-31 14:00"
            if roles.id is None or not frame.duplicated([*keys[-1:], name]).any():
                return name, f"--id-col {as_flag(name)}"
            return name, f"write {listed([roles.id, name])} into one column and name that with --id-col"
    repeated = [name for name in frame.columns if name not in {*keys, *roles.targets} and _comes_again(frame, name)]
    for pair in combinations(repeated[:10], 2):
        if roles.id is None and not frame.duplicated([*keys, *pair]).any():
            joined = " and ".join(pair)
            return joined, f"write {', '.join(pair)} into one column and name that with --id-col"
    return None


def _check_named(frame: pd.DataFrame, settings: ReaderSettings) -> None:
    for flag, names in by_flag(settings).items():
        for name in names:
            require(name, list(frame.columns), flag=flag)


def _comes_again(frame: pd.DataFrame, name: str) -> bool:
    return bool(1 < frame[name].nunique() * 2 <= len(frame)) and not pd.api.types.is_float_dtype(frame[name])


def _numeric(frame: pd.DataFrame, name: str, found: Mapping[str, str], settings: ReaderSettings) -> bool:
    if name in settings.target:
        return True
    if frame[name].isna().all() or found.get(name) in {"time", "text"} or name.strip().lower() in IDS:
        return False
    return is_number(frame[name]) or pd.api.types.is_bool_dtype(frame[name]) or found.get(name) == "number"


def _is_row_index(frame: pd.DataFrame, name: str, numeric: Sequence[str]) -> bool:
    """A column that counts the rows, without a name (what a data frame leaves behind when saved) or called so."""
    nameless = name.startswith(NAMELESS) and name == frame.columns[0]
    if not (nameless or name.strip().lower() in COUNTERS) or len(numeric) < 2 or not is_number(frame[name]):
        return False
    return bool((np.diff(frame[name].to_numpy()) == 1).all())


def _is_reference(column: pd.Series) -> bool:
    """Whether the column holds whole numbers of more than fifteen digits, which count nothing: numbers of accounts."""
    if is_number(column):
        return pd.api.types.is_integer_dtype(column) and bool((column.abs() > 10**15).all())
    return bool(column.dropna().astype(str).str.fullmatch(r"\d{16,}").all())


def _refuse_times_across(frame: pd.DataFrame) -> None:
    """Raise ``RefusedError`` where the names of the columns are times, so that each row is a series."""
    across = [name for name in frame.columns if kind(name) == "time" or _YEAR.fullmatch(name)]
    if len(across) < _ACROSS or len(across) * 2 < frame.shape[1]:
        return
    raise refuse(
        "times-across",
        f"the columns {across[0]} to {across[-1]} are times, so that each row is a series of its own",
        fix="write one row per series and time: a column for the name, one for the time, one for the value",
    )


def _wide(frame: pd.DataFrame, numeric: list[str], time: str | None, settings: ReaderSettings) -> Roles:
    past = settings.past or ()
    targets = settings.target or tuple(numeric)
    if not targets:
        raise _no_target(frame, time)
    used = {time, *targets, *past, *settings.future}
    ignored = [name for name in frame.columns if name not in used]
    notes = _notes(time, None, targets, (), settings.model_copy(update={"target": targets}))
    notes = [*notes, f"{len(targets)} columns are series of their own: {listed(targets)}"]
    if ignored:
        notes.append(f"ignored: {listed(ignored)}")
    return Roles(time, None, targets, past, settings.future, wide=True, notes=tuple(notes))


def _pick_target(numeric: list[str], frame: pd.DataFrame, time: str | None) -> tuple[str, ...]:
    for wanted in TARGETS:
        named = [name for name in numeric if name.strip().lower() == wanted]
        if len(named) == 1:
            return (named[0],)
    if len(numeric) == 1:
        return (numeric[0],)
    if not numeric:
        raise _no_target(frame, time)
    if len(numeric) > MOST_GUESSED:
        raise _too_many(numeric)
    likely = next((name for name in numeric if frame[name].nunique() > 1), numeric[0])
    fix = f"--target {as_flag(likely)}  # or another of them; or --wide to forecast each as a series of its own"
    if time is not None and frame[time].duplicated().any():
        whole = [name for name in numeric if pd.api.types.is_integer_dtype(frame[name])]
        naming = [name for name in whole if separates(frame, time, name)]
        naming = [name for name in naming if frame[name].nunique() * 2 <= len(frame)]
        if len(naming) == 1 and len(numeric) > 1:
            other = next(name for name in numeric if name not in naming)
            fix = f"--id-col {as_flag(naming[0])} --target {as_flag(other)}  # if {naming[0]} names the series"
    raise refuse("several-targets", f"columns {listed(numeric)} could each be the one to forecast", fix=fix)


def _no_target(frame: pd.DataFrame, time: str | None) -> RefusedError:
    others = [name for name in frame.columns if name != time and not frame[name].isna().all()]
    return refuse(
        "no-target",
        f"no column holds numbers to forecast (columns: {listed(frame.columns)})",
        fix=f"--target {as_flag(others[-1])}  # a column of words is forecast as classes"
        if others
        else "add a column of numbers",
    )


def _too_many(numeric: Sequence[str]) -> RefusedError:
    return refuse(
        "many-columns",
        f"{len(numeric)} numeric columns are too many to guess what they are for",
        fix=f"--wide  # if each is a series of its own, else --target {as_flag(numeric[0])}",
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
        notes.append(f"covariates known up to now: {listed(past)} (--past, --future)")
    return notes
