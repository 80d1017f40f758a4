"""Id column: which column names the series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data.column_names import IDS, TARGETS, WEAK_IDS, as_flag, listed
from lstmcast.data.findings import refuse
from lstmcast.data.numbers import is_number
from lstmcast.data.schema import Schema


def as_text(found: Mapping[str, str], time: str | None, settings: ReaderSettings) -> tuple[set[str], set[str]]:
    """Columns to read as text, and those among which the id is, where ``NA`` is a name like any other."""
    names = {name for name in found if name.strip().lower() in (*IDS, *WEAK_IDS)}
    texts = {name for name, look in found.items() if look == "text"}
    ids = (names | texts | {settings.id_col, *settings.parent}) - {time, None} - set(settings.target)
    return {name for name in (time,) if name} | {n for n, look in found.items() if look == "time"}, {
        i for i in ids if i
    }


def read_as_text(
    found: Mapping[str, str], time: str | None, settings: ReaderSettings, stored: Schema | None
) -> tuple[set[str], set[str]]:
    """As ``as_text``, or what a stored schema says."""
    if stored is None:
        return as_text(found, time, settings)
    return {name for name in (stored.time_col,) if name}, {name for name in (stored.id_col, *stored.parent) if name}


def repeating(names: Sequence[str], rows: Sequence[Sequence[str]], among: set[str]) -> set[str]:
    """Those columns ``among`` these of whose first texts most come again."""
    found = set()
    for index, name in enumerate(names):
        cells = [row[index] for row in rows if len(row) > index]
        if name in among and len(set(cells)) * 4 <= len(cells):
            found.add(name)
    return found


def pick_id(frame: pd.DataFrame, time: str | None, found: Mapping[str, str], settings: ReaderSettings) -> str | None:
    """The column that names the series, or None. Raises ``RefusedError`` when several could."""
    taken = {time, *settings.target, *(settings.past or ()), *settings.future, *settings.parent}
    taken |= {name for name in settings.static if name.strip().lower() not in (*IDS, *WEAK_IDS)}
    free = [name for name in frame.columns if name not in taken]
    for wanted in IDS:
        for name in free:
            if name.strip().lower() == wanted and (len(frame) == 1 or frame[name].nunique() < len(frame)):
                return name
    if time is not None and not frame[time].duplicated().any():
        return None
    candidates = [name for name in free if name.strip().lower() in WEAK_IDS or _names_things(frame, name, found)]
    if time is None:
        candidates = [name for name in candidates if name.strip().lower() in WEAK_IDS]
    separating = [name for name in candidates if separates(frame, time, name)]
    if len(separating) > 1:
        raise refuse(
            "several-ids",
            f"columns {listed(separating)} could each name the series",
            fix=f"--id-col {as_flag(separating[0])}  # or {listed(separating[1:])}",
        )
    return separating[0] if separating else None


def _names_things(frame: pd.DataFrame, name: str, found: Mapping[str, str]) -> bool:
    """Texts, or numbers among which there are texts (shops 7, 12 and B) that come back again and again."""
    if found.get(name) == "text":
        return True
    mixed = found.get(name) == "number" and not is_number(frame[name]) and name.strip().lower() not in TARGETS
    return mixed and frame[name].nunique() * 2 <= len(frame)


def separates(frame: pd.DataFrame, time: str | None, name: str) -> bool:
    """Whether the rows of each value of ``name`` have times of their own (up to rows repeated in full)."""
    if frame[name].nunique() >= len(frame):
        return False
    if time is None:
        return True
    twice = _twice(frame[name], frame[time])
    return not twice.any() or not frame[twice].drop_duplicates().duplicated([name, time]).any()


def _twice(names: pd.Series, times: pd.Series) -> NDArray[np.bool_]:
    """bool (n,) the rows whose name and time come more than once."""
    code, when = _numbered(names), _numbered(times)
    least, most = int(when.min(initial=0)), int(when.max(initial=0))
    unit = max(1, int(np.gcd.reduce(when - least))) if most - least < 2**62 else 1
    width = (most - least) // unit + 1
    if width * (int(code.max(initial=0)) + 2) >= 2**62:
        return pd.DataFrame({"code": code, "when": when}).duplicated(keep=False).to_numpy()
    # both in one number: sorting these takes a fifth of the memory that a table of hashes takes
    both = (when - least) // unit + (code + 1) * width
    ordered = np.sort(both)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.isin(both, again) if again.size else np.zeros(len(both), bool)


def _numbered(column: pd.Series) -> NDArray[np.int64]:
    """A number for each distinct cell: its own, if it is whole."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, np.int64)
    if column.dtype == np.int64:
        return column.to_numpy()
    return np.asarray(pd.factorize(column)[0], np.int64)
