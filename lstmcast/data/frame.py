"""Frame: the cells of one source in a table, numbers read as numbers; rows that do not fit are refused by line."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect, cells, kind
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.surroundings import MOST_BELOW, below_table, is_footer_text

NAMELESS = "column "

_NEWLINE, _QUOTE = b'\n"'
_SEARCHED = 20
"""Lines after the first odd one that are looked at for a footer."""

_LONGEST_HEADER = 100_000
"""Characters after which a quote that was never closed is no name of a column."""


@dataclass(frozen=True, slots=True)
class Body:
    """Column names and the text below them; ``first_line`` is the 1-based line it starts at."""

    names: tuple[str, ...]
    text: str
    first_line: int


def split_header(text: str, dialect: Dialect, *, label: str) -> Body:
    """The names of the columns and the rows below. Raises ``RefusedError`` for two columns of one name."""
    start, line = 0, 1
    for _ in range(dialect.skip_rows):
        start = text.find("\n", start) + 1
        line += 1
    while (stop := text.find("\n", start)) >= 0 and not text[start:stop].strip():
        start, line = stop + 1, line + 1
    first_line = line
    while dialect.header and 0 <= stop < start + _LONGEST_HEADER and text.count('"', start, stop) % 2:
        stop, line = text.find("\n", stop + 1), line + 1
    first = text[start:] if stop < 0 else text[start:stop]
    (row, *_) = cells([first], dialect.delimiter) or [[]]
    if not dialect.header:
        names = dialect.names + tuple(f"c{index + 1}" for index in range(len(dialect.names), len(row)))
        return Body(names, text[start:], line)
    names = tuple(" ".join(name.split("\n")) or f"{NAMELESS}{index + 1}" for index, name in enumerate(row))
    doubled = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if doubled is not None:
        raise refuse(
            "doubled-name",
            f"{label} has two columns called {doubled!r}",
            fix="rename one of them",
            column=doubled,
            line=first_line,
        )
    below = "" if stop < 0 else text[stop + 1 :]
    for _ in range(dialect.units_row):
        units, _, rest = below.partition("\n")
        if any(kind(cell) in {"number", "time"} for row in cells([units], dialect.delimiter) for cell in row):
            break
        below, line = rest, line + 1
    return Body(names, below, line + 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the rows of a body are: ``width`` cells per row, ``lines`` int64 the 1-based line each row starts on.

    ``blank`` are the rows without a character; ``data`` lacks a last line that was cut short.
    """

    data: bytes
    width: int
    lines: NDArray[np.int64]
    blank: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()


def load(
    body: Body,
    dialect: Dialect,
    *,
    label: str,
    as_text: Collection[str],
    whole_text: Collection[str],
    repeating: Collection[str] = (),
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Finding]]:
    """The rows as a frame, the line of each, and what was found on the way.

    Columns in ``as_text`` are read as text, those in ``whole_text`` also keep spellings such as ``NA`` (ids), and those
    of them in ``repeating`` hold each text only once; all others are read as numbers where every cell is one. Raises
    ``RefusedError`` for rows with more or fewer cells than columns.
    """
    layout = _layout(body, dialect, label=label)
    names = [*body.names, *(f"{NAMELESS}{index + 1}" for index in range(len(body.names), layout.width))]
    tokens = sorted(dialect.tokens())
    frame = _parsed(
        layout,
        dialect,
        label=label,
        dtype={
            index: "category" if name in repeating else str
            for index, name in enumerate(names)
            if name in as_text or name in whole_text
        },
        na_values={index: tokens for index, name in enumerate(names) if name not in whole_text},
    )
    frame.columns = pd.Index(names)
    keep = _filled(frame, layout.blank)
    if not keep.any():
        raise refuse("no-rows", f"{label} has a header but no rows", fix="check the export that wrote it")
    lines = layout.lines[: len(frame)]
    frame, lines = (frame, lines) if keep.all() else (frame[keep].reset_index(drop=True), lines[keep])
    asked = {*as_text, *whole_text}  # the time among them stays, so that it is told to be missing
    empty = [name for name in names if name.startswith(NAMELESS) and name not in asked and frame[name].isna().all()]
    return frame.drop(columns=empty), lines, list(layout.findings)


def spellings(body: Body, dialect: Dialect, *, label: str, names: Collection[str], lines: Places) -> dict[str, int]:
    """How often each spelling of a missing value occurs in the columns ``names`` on ``lines``."""
    places = [index for index, name in enumerate(body.names) if name in names]
    layout = _layout(body, dialect, label=label)
    cells = _parsed(layout, dialect, label=label, dtype=dict.fromkeys(places, str), usecols=places)
    kept = cells[np.isin(layout.lines[: len(cells)], np.asarray(lines))].to_numpy(object).ravel()
    counts = pd.Series(kept).str.strip().value_counts()
    spelled: Counter[str] = Counter()
    for cell, count in counts.items():
        if (token := dialect.missing_as(str(cell))) is not None:
            spelled[token] += int(count)
    return spelled


def _parsed(
    layout: Layout,
    dialect: Dialect,
    *,
    label: str,
    dtype: Mapping[int, type[str] | str],
    na_values: Mapping[Any, list[str]] | None = None,
    usecols: list[int] | None = None,
) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                BytesIO(layout.data),
                sep=dialect.delimiter,
                header=None,
                names=list(range(layout.width)),
                usecols=usecols,
                dtype=dtype,
                keep_default_na=False,
                na_values=na_values,
                na_filter=na_values is not None,
                index_col=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                decimal=dialect.decimal,
                low_memory=False,
                float_precision="round_trip",  # as blocks of plain lines are read
                encoding="utf-8",
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise _no_table(label, reason) from error
    if len(frame) > len(layout.lines):
        raise _no_table(label, "its quotes do not match")
    return frame


def _no_table(label: str, reason: str) -> RefusedError:
    return refuse("not-csv", f"{label} is not a table: {reason}", fix="check its quotes and its --delimiter")


def _layout(body: Body, dialect: Dialect, *, label: str) -> Layout:
    """Find the rows and count their cells. Raises ``RefusedError`` naming the first row with another number."""
    data = body.text.encode("utf-8")
    width = len(body.names)
    mark = dialect.delimiter.encode("utf-8")
    buffer = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(buffer == _NEWLINE)
    quotes = np.flatnonzero(buffer == _QUOTE)
    if len(mark) > 1 or not _are_paired(buffer, quotes, mark):
        # whoever reads this knows where the cells end; then lines are counted as if no cell had a line break
        return Layout(data, width, np.arange(len(newlines) + 1) + body.first_line, np.zeros(0, np.int64))
    stops = _unquoted(newlines, quotes)
    stops = stops if data.endswith(b"\n") else np.append(stops, len(data))
    starts = np.concatenate([[0], stops[:-1] + 1])
    if not quotes.size and _is_even(starts, stops, np.flatnonzero(buffer == mark[0]), width):
        return Layout(data, width, np.arange(len(starts)) + body.first_line, np.zeros(0, np.int64))
    lines = np.searchsorted(newlines, starts) + body.first_line
    marks = _unquoted(np.flatnonzero(buffer == mark[0]), quotes)
    cells = np.searchsorted(marks, stops) - np.searchsorted(marks, starts) + 1
    blank = np.flatnonzero(stops == starts)
    cells[blank] = width
    layout = Layout(data, width, lines, blank)
    odd = np.flatnonzero(cells != width)
    if not odd.size:
        return layout
    if (
        odd.size == len(stops) - len(blank)
        and (cells[odd] == width + 1).all()
        and (buffer[stops[odd] - 1] == mark[0]).all()
    ):
        return replace(layout, width=width + 1)
    odd = odd[[bool(data[start:stop].strip()) for start, stop in zip(starts[odd], stops[odd], strict=True)]]
    if not odd.size:
        return layout
    first = int(odd[0])
    tail = [data[start:stop].decode() for start, stop in zip(starts[first:], stops[first:], strict=True)][:_SEARCHED]
    tail = [text for text in tail if text.strip()]
    if 0 < len(tail) <= MOST_BELOW and first > 1 and is_footer_text(tail[0]):
        found = below_table(label, int(lines[first]), tail[:1], len(tail))
        return replace(layout, data=data[: starts[first]], lines=lines[:first], findings=(found,))
    cut_short = odd.size == 1 and first == len(stops) - 1 > 0 and cells[first] < width and not data.endswith(b"\n")
    if not cut_short:
        raise _ragged(odd, cells, lines, body, label=label)
    finding = Finding(
        "truncated-line",
        "warning",
        f"{label} line {lines[first]}, the last, is cut short ({cells[first]} of {width} cells); it is left out",
        example_line=int(lines[first]),
        fix="read the file again when it is complete",
    )
    return replace(layout, data=data[: starts[first]], lines=lines[:first], findings=(finding,))


def _is_even(starts: NDArray[np.int64], stops: NDArray[np.int64], marks: NDArray[np.int64], width: int) -> bool:
    """Whether every row has ``width`` cells, and at least two: what most files are, told without a search."""
    if width < 2 or len(marks) != len(starts) * (width - 1):
        return False
    first, last = marks[:: width - 1], marks[width - 2 :: width - 1]
    return bool((first >= starts).all() and (last < stops).all())


def _ragged(
    odd: NDArray[np.int64], cells: NDArray[np.int64], lines: NDArray[np.int64], body: Body, *, label: str
) -> RefusedError:
    first, width = int(odd[0]), len(body.names)
    line, count = int(lines[first]), int(cells[first])
    fix = "correct these lines, or name the separator with --delimiter"
    if width == 1 and odd.size * 2 > len(cells):
        fix = f"--skip-rows {line - 1}  # if the names of the columns are on line {line}"
    return refuse(
        "ragged-rows",
        f"{label} line {line} has {count} cell{'s' if count > 1 else ''}, not {width}"
        + (f"; {odd.size - 1} more lines have another number too" if odd.size > 1 else ""),
        fix=fix,
        line=line,
    )


def _unquoted(places: NDArray[np.int64], quotes: NDArray[np.int64]) -> NDArray[np.int64]:
    return places[np.searchsorted(quotes, places) % 2 == 0] if quotes.size else places


def _are_paired(buffer: NDArray[np.uint8], quotes: NDArray[np.int64], mark: bytes) -> bool:
    """Whether every quote stands at the edge of a cell or beside another, so that they open and close in turn."""
    if quotes.size % 2:
        return False
    if not quotes.size:
        return True
    edges = np.frombuffer(b'\n" ' + mark, np.uint8)
    framed = np.concatenate([[_NEWLINE], buffer, [_NEWLINE]])
    return bool((np.isin(framed[quotes], edges) | np.isin(framed[quotes + 2], edges)).all())


def _filled(frame: pd.DataFrame, blank: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows to keep: blank lines go, but in a single column a blank between values is a missing value."""
    keep = np.ones(len(frame), bool)
    first = frame.iloc[:, 0]
    suspects = np.flatnonzero(first.isna().to_numpy() | (first == "").to_numpy())
    if frame.shape[1] > 1:
        empty = frame.iloc[suspects].isna() | (frame.iloc[suspects] == "")
        keep[suspects[empty.to_numpy().all(axis=1)]] = False
        return keep
    last, empty_lines = len(frame), set(blank.tolist())
    while last - 1 in empty_lines:
        last -= 1
    keep[last:] = False
    return keep
