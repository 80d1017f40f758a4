"""Time column: which column holds the time."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data.column_names import PARTS, SURE_TIMES, TIMES, as_flag, listed, require
from lstmcast.data.findings import refuse

_EPOCHS = tuple((631_152_000 * unit, 2_840_140_800 * unit) for unit in (1, 10**3, 10**6, 10**9))  # 1990 to 2060
_PACKED = re.compile(r"(?:199|20[0-5])\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_YEAR = re.compile(r"(?:18|19|20)\d{2}")
_MONTH = re.compile(
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|"
    "januar|jänner|februar|märz|mai|juni|juli|oktober|dezember|jän|mrz|okt|dez|"
    "janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|"
    "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|"
    "gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|"
    "janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|novembro|dezembro",
    re.IGNORECASE,
)
_ENOUGH = 3  # cells that must agree before a column of numbers is taken for times


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


def still(names: Sequence[str], rows: Sequence[Sequence[str]]) -> set[str]:
    """Columns that say the same in all of the first rows: no time goes by in them."""
    return {name for index, name in enumerate(names) if len({row[index] for row in rows if len(row) > index}) < 2}


def refuse_months_apart(names: Sequence[str], rows: Sequence[Sequence[str]], *, time: str | None) -> None:
    """Raise ``RefusedError`` where one column holds years and another the names of months, and nothing else is time."""
    cells = {name: [row[index].strip() for row in rows if len(row) > index] for index, name in enumerate(names)}

    def all_but_a_footer(given: Sequence[str], look: re.Pattern[str]) -> bool:
        return sum(look.fullmatch(cell) is None for cell in given) <= len(given) // 10

    years = [name for name, given in cells.items() if given and all_but_a_footer(given, _YEAR)]
    months = [name for name, given in cells.items() if given and all_but_a_footer(given, _MONTH)]
    if years and months and time in {None, *years} and len(rows) > _ENOUGH:
        raise refuse(
            "split-time",
            f"the time is spread over the columns {listed([years[0], months[0]])}",
            fix="write it into one column, for example 2024-01, and name that with --time-col",
        )


def pick_time(
    found: Mapping[str, str], settings: ReaderSettings, *, stamped: Collection[str] = (), still: Collection[str] = ()
) -> str | None:
    """The time column, or None if there is none. Raises ``RefusedError`` when several could be.

    ``stamped`` columns hold numbers that look like times; they count where no column is named like one or holds texts
    that read as times. ``still`` columns count where there is no other.
    """
    if settings.time_col is not None:
        require(settings.time_col, found, flag="--time-col")
        return settings.time_col
    taken = {settings.id_col, *settings.target, *(settings.past or ()), *settings.future}
    free = [name for name in found if name not in taken]
    named = sorted(
        (name for name in free if name.strip().lower() in TIMES), key=lambda n: TIMES.index(n.strip().lower())
    )
    likely = [name for name in named if found[name] in {"number", "time"}]
    likely = [name for name in likely if found[name] == "time"] or likely
    parts = [name for name in likely if found[name] == "number" and name.strip().lower() in PARTS]
    if len(parts) > 1:
        raise refuse(
            "split-time",
            f"the time is spread over the columns {listed(parts)}",
            fix="write it into one column, for example 2024-01, and name that with --time-col",
        )
    if likely:
        return likely[0]
    dated = [name for name in free if found[name] == "time"] or [name for name in free if name in stamped]
    dated = [name for name in dated if name not in still] or dated
    if len(dated) > 1:
        raise refuse(
            "several-times",
            f"columns {listed(dated)} all hold times",
            fix=f"--time-col {as_flag(dated[0])}  # or {listed(dated[1:])}",
        )
    # a column called date whose texts nobody understands is better refused than left out
    unread = [name for name in named if name.strip().lower() in SURE_TIMES and found[name] in {"text", "clock"}]
    return next(iter([*dated, *unread]), None)


def refuse_clock_apart(
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
        f"the time is spread over the columns {listed([time, clocks[0]])}",
        fix="write it into one column, for example 2024-01-31 14:00, and name that with --time-col",
    )
