"""Surroundings: what stands around the table in a file. Lines above the header, a row of units, comments, totals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect, cells, head, kind, sniff
from lstmcast.data.findings import Finding

MOST_ABOVE = 40
"""Lines searched for the header."""

MOST_BELOW = 3
"""Rows below the table that can be a footer."""

_FOOTER = re.compile(
    r"\W*(?:(?:grand|sub)?[ -]?totals?|sum|summe|gesamt(?:summe)?|insgesamt|average|avg|mean|mittel(?:wert)?|"
    r"durchschnitt|count|anzahl|end of (?:file|report|data)|"
    r"\d+ rows?(?: selected)?)\b.*",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"[-_=*]{5,}|(?:©|\(c\)|copyright\b).*|(?:sources?|quellen?|fuentes?|fontes?|notes?) ?:.*", re.IGNORECASE
)
_MOST_UNITS = 2
_SHORT = 60
_LOOKED_AT = 200
_SUMMED = 100_000  # rows of tables that are searched for an unnamed total


def without_comments(text: str, *, top: str | None = None) -> tuple[str, list[int]]:
    """The text with comment lines emptied, so that lines keep their numbers, and those numbers.

    A comment begins with ``#`` and a space, or has other cells than the lines that do not begin so; ``top`` is where
    these are looked up, if the text is not the beginning of its file.
    """
    if not text.startswith("#") and "\n#" not in text:
        return text, []
    first = (text if top is None else top).split("\n", _LOOKED_AT)[:_LOOKED_AT]
    others = [line for line in first if line.strip() and not line.startswith("#")]
    if not others:
        return text, []
    mark = max(",;\t|", key=lambda sign: others[-1].count(sign))
    usual = others[-1].count(mark)
    if not usual:
        return text, []
    lines = text.split("\n")
    comments = [
        number
        for number, line in enumerate(lines)
        if line.startswith("#") and (line[1:2] in {" ", "#", ""} or line.count(mark) != usual)
    ]
    for number in comments:
        lines[number] = ""
    return "\n".join(lines), [number + 1 for number in comments]


def comments_left_out(label: str, count: int, first: int) -> Finding:
    """The finding about ``count`` comments, the first of them on line ``first``."""
    many = f"{count} comment line{'s' if count > 1 else ''} (the first is line {first})"
    return Finding("comments", "info", f"{label}: {many} left out", count=count, example_line=first)


def described(text: str, settings: ReaderSettings, *, label: str, encoding: str) -> tuple[Dialect, list[str]]:
    """The dialect of a text, the lines above its header and a row of units below it; a sentence for each of them."""
    dialect = sniff(text, settings, label=label, encoding=encoding)
    said = []
    named = dialect.skip_rows  # a first line that names the delimiter
    if settings.skip_rows is None and (above := _above(text, dialect.delimiter)) > named:
        asked = settings.model_copy(update={"skip_rows": above} | ({"delimiter": dialect.delimiter} if named else {}))
        dialect = sniff(text, asked, label=label, encoding=encoding)
        said.append(f"the first {above} line{'s are' if above > 1 else ' is'} no part of the table (--skip-rows)")
    rows = cells(head(text, dialect.skip_rows), dialect.delimiter)
    if dialect.header and (units := _units_below(rows)):
        dialect = dialect.model_copy(update={"units_row": units})
        listed = "; ".join(", ".join(filter(None, row)) for row in rows[1 : 1 + units])
        lines = "line below the header names" if units == 1 else f"{units} lines below the header name"
        said.append(f"the {lines} units ({listed}) and {'is' if units == 1 else 'are'} left out")
    return dialect, said


def _units_below(rows: Sequence[Sequence[str]]) -> int:
    """How many of the rows below the header name units, or what was done: degrees, and that they are means."""
    for count in range(_MOST_UNITS, 0, -1):
        below = rows[1 + count :]
        if len(below) > 1 and all(_names_units(row, below) for row in rows[1 : 1 + count]):
            return count
    return 0


def _above(text: str, delimiter: str) -> int:
    """How many lines stand above the header: the last line of names before the first line with data."""
    lines = text.split("\n", MOST_ABOVE + 10)[: MOST_ABOVE + 10]
    rows = [cells([line], delimiter)[0] if line.strip() and line.count('"') % 2 == 0 else [] for line in lines]
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return 0
    width = max(widths, key=lambda count: (widths[count], count))
    if all(not row[-1] for row in rows if len(row) == width):  # a delimiter at the end of every row
        rows, width = [row[:-1] if len(row) == width else row for row in rows], width - 1
    if width < 2:
        return 0
    full = [n for n, row in enumerate(rows) if len(row) == width and sum(map(bool, row)) > 1]
    named = [n for n in full if "number" not in map(kind, rows[n]) and "time" not in map(kind, rows[n])]
    data = [n for n in full if n not in named and {"number"} & set(map(kind, rows[n]))]
    if not data or len(data) < 2:
        return 0
    headers = [n for n in named if n < data[0]]
    first = headers[-1] if headers else data[0]
    for _ in range(_MOST_UNITS):
        if first - 1 not in headers or not _are_names(rows[first - 1]):
            break
        if not _names_units(rows[first], [rows[n] for n in data[:5]]):
            break
        first -= 1
    return first if any(rows[:first]) else 0


def _are_names(row: Sequence[str]) -> bool:
    return all(row) and len(set(row)) == len(row)


def _names_units(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a row holds words where all rows below hold numbers or times, and nothing that is data itself."""
    looks = [kind(cell) for cell in row]
    if {"number", "time"} & set(looks) or "text" not in looks:
        return False
    full = [other for other in below if len(other) == len(row)]
    numeric = [
        index
        for index in range(len(row))
        if full
        and all(kind(other[index]) in {"number", "empty"} for other in full)
        and any(other[index] for other in full)
    ]
    return bool(numeric) and all(looks[index] == "text" or not row[index] for index in numeric) and len(full) > 1


def footer(frame: pd.DataFrame, lines: Places, *, time: str | None, label: str) -> tuple[int, list[Finding]]:
    """How many rows at the end are no part of the table, and a finding that names the first of them."""
    time = time if time in frame else None  # a file of another dialect than its model's has it nowhere
    count = int(_is_sum(frame, time))
    while count < min(MOST_BELOW, len(frame) - 2) and _is_footer(frame.iloc[-1 - count], time):
        count += 1
    if not count:
        return 0, []
    return count, [
        below_table(label, int(lines[len(frame) - count]), frame.iloc[len(frame) - count].dropna().tolist(), count)
    ]


def _is_sum(frame: pd.DataFrame, time: str | None) -> bool:
    """Whether the last row has no time and holds the sum of a column: a total that does not say so."""
    if time is None or len(frame) < 4 or not pd.isna(frame[time].iloc[-1]) or frame[time].iloc[-2:].isna().all():
        return False
    for name in frame.columns:
        cells = frame[name].iloc[-_SUMMED:]
        if name == time or len(cells) < len(frame) or pd.isna(cells.iloc[-1]):
            continue
        digits = cells.dropna().astype(str).str.replace(r"\D", "", regex=True)
        numbers = [int(text) for text in digits if text]
        if len(numbers) > 3 and numbers[-1] and numbers[-1] == sum(numbers[:-1]):
            return True
    return False


def is_footer_text(text: str) -> bool:
    """Whether a line says total, sum, mean or the like."""
    return len(text) < _SHORT * 4 and any(_says_footer(cell.strip().strip('"')) for cell in re.split(r"[,;\t|]", text))


def _says_footer(cell: str) -> bool:
    return _FOOTER.fullmatch(cell) is not None or _BELOW.fullmatch(cell) is not None


def below_table(label: str, line: int, shown: Sequence[object], count: int) -> Finding:
    """The finding about rows below the table."""
    text = " ".join(str(cell) for cell in shown)[:_SHORT]
    return Finding(
        "footer",
        "warning",
        f"{label} line {line} ({text}) is no row of the table; "
        f"{'it is' if count == 1 else f'the last {count} lines are'} left out",
        count=count,
        example_line=line,
        fix="delete these lines, if they should not be told about",
    )


def _is_footer(row: pd.Series, time: str | None) -> bool:
    if time is not None:
        when = row[time]
        if isinstance(when, str) and kind(when.strip()) in {"number", "time"}:
            return False
        if not isinstance(when, str) and not pd.isna(when):
            return False
    return any(isinstance(cell, str) and _says_footer(cell.strip()) for cell in row)
