"""Dialect: how the text of a file becomes cells. Delimiter, header, decimal and thousands marks."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice, pairwise, zip_longest
from typing import Literal

from lstmcast.config import Frozen, ReaderSettings
from lstmcast.data.findings import refuse
from lstmcast.data.marks import WHOLE, Marks, decide_marks, is_doubtful_anywhere, looks_numeric
from lstmcast.data.units import undressed

NA_TOKENS = (
    *("", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "<NA>", "NaT", "NULL", "Null", "null", "None", "none"),
    *("#N/A", "#N/A N/A", "#NA", "#NV", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "-", "--", ".", "..", "?"),
    *("nil", "missing", "Missing", "-nan", "-NaN", "1.#QNAN", "-1.#IND"),
    *("\\N", "unavailable", "unknown"),  # dumps of databases, recorders of sensors
)
DELIMITERS = ("\t", ";", "|", ",")
SAMPLE_LINES = 200

_DATE = re.compile(
    r"(?:\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?|\d{4}[- ]?Q[1-4]|\d{4}-?W\d{2}|\d{4}M\d{2}|"
    r"(?:\d{1,2}[- ])?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
    r"(?: \d{1,2},?)?[- ](?:\d{4}|\d{2}))([ T]\d{1,2}:\d{2}.*)?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_EXCEL_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)


class Dialect(Frozen):
    """How a file is written.

    ``header`` False: the file names no columns and ``names`` does. ``thousands`` is None where digits are not grouped.
    ``na_values`` are the spellings of a missing value beyond ``NA_TOKENS``. ``units_row`` lines below the header
    name units. ``units`` says whether signs around numbers are taken off; the columns ``percent`` are written with %.
    """

    encoding: str = "utf-8"
    delimiter: str = ","
    decimal: str = "."
    thousands: str | None = None
    skip_rows: int = 0
    header: bool = True
    names: tuple[str, ...] = ()
    na_values: tuple[str, ...] = ()
    units_row: int = 0
    units: Literal["strip", "refuse"] = "strip"
    percent: tuple[str, ...] = ()

    def tokens(self) -> frozenset[str]:
        """Every spelling of a missing value."""
        return frozenset(NA_TOKENS) | frozenset(self.na_values)

    def missing_numbers(self) -> frozenset[float]:
        """The numbers among ``na_values``: they mean missing however a file writes them."""
        return frozenset(float(token) for token in self.na_values if _NUMBER.fullmatch(token))

    def missing_as(self, cell: str) -> str | None:
        """The spelling of a missing value that the cell is: ``-999`` for ``-999.00`` too, where that is named."""
        if cell in self.tokens():
            return cell
        number = cell.replace(self.decimal, ".")
        if self.na_values and _NUMBER.fullmatch(number) and float(number) in self.missing_numbers():
            return f"{float(number):.15g}"
        return None


def sniff(text: str, settings: ReaderSettings, *, label: str, encoding: str) -> Dialect:
    """The dialect of ``text``: settings win, the rest is inferred from its first lines.

    Raises ``RefusedError`` when no rows follow the header.
    """
    named = _EXCEL_SEPARATOR.fullmatch(text[: text.find("\n")].strip()) if settings.skip_rows is None else None
    skip = 1 if named else settings.skip_rows or 0
    lines = head(text, skip)
    if not lines:
        raise refuse("empty-file", f"{label} has no line after the first {skip}", fix="lower --skip-rows")
    delimiter = settings.delimiter or (named[1] if named else _delimiter(lines))
    rows = cells(lines, delimiter)
    header = _is_headed(rows, settings)
    if len(rows) < 2 and header:
        raise refuse("no-rows", f"{label} has a header but no rows", fix="check the export that wrote it", line=1)
    marks = decide_marks(zip_longest(*rows[header:], fillvalue=""), delimiter)
    unmarked = marks == Marks() and len(lines) == SAMPLE_LINES and is_doubtful_anywhere(text)
    if (marks.ambiguous or unmarked) and not settings.decimal:
        marks = whole_file_marks(text, delimiter=delimiter, skip_rows=skip + header, label=label)
    return Dialect(
        encoding=encoding,
        delimiter=delimiter,
        decimal=settings.decimal or marks.decimal or ".",
        thousands=settings.thousands or _thousands(marks, settings),
        skip_rows=skip,
        header=header,
        names=() if header else _invented_names(rows),
        na_values=settings.na_values,
        units=settings.units,
    )


def _thousands(marks: Marks, settings: ReaderSettings) -> str | None:
    other = {".": ",", ",": "."}.get(settings.decimal or "")
    if other in marks.doubtful:  # of 1.234 and --decimal , this is all that is left
        return other
    if settings.decimal and settings.decimal != (marks.decimal or settings.decimal):
        return None
    return None if marks.thousands == settings.decimal else marks.thousands


def whole_file_marks(text: str, *, delimiter: str, skip_rows: int, label: str) -> Marks:
    """The marks that all cells of the file agree on.

    Raises ``RefusedError`` if every cell can be read two ways, or if two cells contradict each other.
    """
    lines = text.split("\n")
    marks = decide_marks(zip_longest(*cells(lines[skip_rows:], delimiter), fillvalue=""), delimiter)
    if marks.ambiguous:
        line = next((number for number, line in enumerate(lines, 1) if marks.ambiguous in line), None)
        raise refuse(
            "ambiguous-decimal",
            f"{label} line {line}: {marks.ambiguous!r} can be read with a decimal or with a thousands mark",
            fix="--decimal .  # or --decimal ,",
            line=line,
        )
    if marks.contradiction:
        point, comma = marks.contradiction
        raise refuse(
            "mixed-decimals",
            f"{label} writes both {point!r} and {comma!r}",
            fix="correct the cells whose decimal mark is not that of the others",
        )
    return marks


def remarked(dialect: Dialect, columns: Sequence[Collection[str]], settings: ReaderSettings) -> Dialect:
    """A dialect whose marks fit ``columns``: the cells of numeric columns that are no numbers in this one.

    Raises ``RefusedError`` if they can be read two ways.
    """
    marks = decide_marks(columns, dialect.delimiter)
    if marks.ambiguous and not settings.decimal and dialect.thousands is None and dialect.decimal == ".":
        raise refuse(
            "ambiguous-decimal",
            f"{marks.ambiguous!r} can be read with a decimal or with a thousands mark",
            fix="--decimal .  # or --decimal ,",
        )
    decimal = settings.decimal or marks.decimal or dialect.decimal
    grouped = settings.thousands or _thousands(marks, settings) or dialect.thousands
    return dialect.model_copy(update={"decimal": decimal, "thousands": None if grouped == decimal else grouped})


def announcements(dialect: Dialect, settings: ReaderSettings, names: Sequence[str]) -> list[str]:
    """A sentence for everything about the dialect that was inferred and is not the usual; ``names`` of the columns."""
    said = []
    if dialect.encoding != "utf-8" and settings.encoding is None:
        said.append(f"encoding: {dialect.encoding} (--encoding)")
    if dialect.delimiter != "," and settings.delimiter is None:
        mark = "a tab" if dialect.delimiter == "\t" else dialect.delimiter
        said.append(f"cells are separated by {mark} (--delimiter)")
    if dialect.decimal != "." and settings.decimal is None:
        said.append("numbers have a decimal comma (--decimal)")
    if dialect.thousands and settings.thousands is None:
        said.append(f"digits are grouped by {dialect.thousands!r} (--thousands)")
    if not dialect.header:
        called = ", ".join(dialect.names)
        said.append(f"the first line is data; the columns are called {called} (--skip-rows 0 if it names them)")
    elif settings.skip_rows != 0 and (odd := [name for name in names if kind(name) in {"number", "time"}]):
        invented = _invented_names([names])[list(names).index(odd[0])]
        flag = "--time-col" if kind(odd[0]) == "time" else "--target"
        said.append(f"the first line names the columns, {odd[0]} among them ({flag} {invented} if it is data)")
    return said


def head(text: str, skip: int) -> list[str]:
    """The first lines that are not blank, after ``skip`` lines."""
    start = 0
    for _ in range(skip):
        start = text.find("\n", start) + 1
        if start == 0:
            return []
    lines: list[str] = []
    while start < len(text) and len(lines) < SAMPLE_LINES:
        stop = text.find("\n", start)
        stop = len(text) if stop < 0 else stop
        if text[start:stop].strip():
            lines.append(text[start:stop])
        start = stop + 1
    return lines


def cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Lines split into cells, quotes removed. Raises ``RefusedError`` for a cell too large to be one."""
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise refuse("not-csv", f"the first lines are not CSV: {error}", fix="check the quotes of the file") from error
    return [[cell.strip() for cell in row] for row in rows]


def _delimiter(lines: Sequence[str]) -> str:
    for preamble in (False, True):
        scores = {delimiter: _score(lines, delimiter, preamble=preamble) for delimiter in DELIMITERS}
        best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
        if scores[best] > 0:
            return best
        if len(lines) > 1 and all(re.fullmatch(r"[+-]?\d+,\d+", line.strip()) for line in lines[1:]):
            return ";"
    return ","


def _score(lines: Sequence[str], delimiter: str, *, preamble: bool) -> float:
    """Share of lines with the usual number of cells, times the share of cells free of other delimiters.

    0 where that number is 1, and where the first line has a single cell unless there may be a ``preamble``.
    """
    try:
        rows = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return 0.0
    fields, lines_alike = Counter(len(row) for row in rows).most_common(1)[0]
    if fields < 2 or (len(rows[0]) == 1 and len(rows) > 1 and not preamble):
        return 0.0
    others = set(DELIMITERS) - {delimiter, ","}
    parts = [cell for row in islice(rows, 50) for cell in row]
    clean = sum(not others & set(cell) for cell in parts) / len(parts)
    return round(lines_alike / len(rows) * clean, 6)


def _is_headed(rows: Sequence[Sequence[str]], settings: ReaderSettings) -> bool:
    """Whether the first line names the columns.

    ``--skip-rows 0`` says that it does; a flag that names a column of the first line, or one that only a file without
    names would get (``ds``, ``y``, ``c1``), decides too; else the cells do.
    """
    asked = {settings.time_col, settings.id_col, *settings.target, *(settings.past or ())}
    asked = {*asked, *settings.future, *settings.static} - {None}
    named, invented = asked <= set(rows[0]), asked <= set(_invented_names(rows))
    if settings.skip_rows == 0:
        return True
    return named if asked and named != invented else _has_header(rows)


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    first = rows[0]
    if not first[0] and len(first) > 1:
        return True
    kinds = [kind(cell) for cell in first]
    if "text" not in kinds:
        return not {"number", "time"} & set(kinds)
    below = rows[1] if len(rows) > 1 else []
    pairs = list(zip(first, kinds, below, strict=False))
    if any(found == "time" and kind(cell) == "time" for _, found, cell in pairs):
        return False
    if any(found == kind(cell) == "number" and not WHOLE.fullmatch(name) for name, found, cell in pairs):
        return False
    # a word in every row, such as eor at its end, stands in the header too
    same = sum(name == cell and found == "text" for name, found, cell in pairs)
    return not same or sum(found == "text" and kind(cell) in {"number", "time"} for _, found, cell in pairs) > same


def kind(cell: str) -> str:
    """``empty``, ``number``, ``time`` or ``text``: what a cell looks like on its own."""
    if cell in NA_TOKENS:
        return "empty"
    if _DATE.fullmatch(cell) and not re.fullmatch(r"\d{1,4}\.\d{1,2}", cell):
        return "time"
    return "number" if looks_numeric(undressed(cell)) else "text"


def _invented_names(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """``unique_id``, ``ds``, ``y`` where the kinds of the cells leave one choice, else ``c1``, ``c2``, ..."""
    kinds = [kind(cell) for cell in rows[0]]
    names = [f"c{index + 1}" for index in range(len(kinds))]
    numbers = [index for index, found in enumerate(kinds) if found == "number"]
    times = [index for index, found in enumerate(kinds) if found == "time"]
    texts = [index for index, found in enumerate(kinds) if found == "text"]
    if not times and len(numbers) == 2 and _counts_up(rows, numbers[0]):
        times, numbers = numbers[:1], numbers[1:]
    for name, found in (("ds", times), ("y", numbers), ("unique_id", texts)):
        if len(found) == 1:
            names[found[0]] = name
    return tuple(names)


def _counts_up(rows: Sequence[Sequence[str]], column: int) -> bool:
    counted = [row[column] for row in rows if len(row) > column]
    if not all(re.fullmatch(r"-?\d{1,18}", cell) for cell in counted):
        return False
    steps = {int(after) - int(before) for before, after in pairwise(counted)}
    return len(steps) == 1 and steps.pop() > 0
