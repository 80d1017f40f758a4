"""Frame: the cells of one source in a table, numbers read as numbers; rows that do not fit are refused by line."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.dialect import Dialect, cells
from lstmcast.data.findings import Finding, refuse

NAMELESS = "column "


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
    first = text[start:] if stop < 0 else text[start:stop]
    (row,) = cells([first], dialect.delimiter) or [[]]
    if not dialect.header:
        names = dialect.names + tuple(f"c{index + 1}" for index in range(len(dialect.names), len(row)))
        return Body(names, text[start:], line)
    names = tuple(name or f"{NAMELESS}{index + 1}" for index, name in enumerate(row))
    doubled = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if doubled is not None:
        raise refuse(
            "doubled-name",
            f"{label} has two columns called {doubled!r}",
            fix="rename one of them",
            column=doubled,
            line=line,
        )
    return Body(names, "" if stop < 0 else text[stop + 1 :], line + 1)


def load(
    body: Body, dialect: Dialect, *, label: str, as_text: Collection[str], whole_text: Collection[str]
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Finding]]:
    """The rows as a frame, the line of each, and what was found on the way.

    Columns in ``as_text`` are read as text, those in ``whole_text`` also keep spellings such as ``NA`` (ids); all
    others as numbers where every cell is one. Raises ``RefusedError`` for rows with more or fewer cells than columns.
    """
    data = body.text.encode("utf-8")
    width, blank, findings, data = _shape(data, body, dialect, label=label)
    names = [*body.names, *(f"{NAMELESS}{index + 1}" for index in range(len(body.names), width))]
    tokens = sorted(dialect.tokens())
    frame = _parsed(
        data,
        dialect,
        label=label,
        width=width,
        dtype={index: str for index, name in enumerate(names) if name in as_text or name in whole_text},
        na_values={index: tokens for index, name in enumerate(names) if name not in whole_text},
    )
    frame.columns = pd.Index(names)
    lines = np.arange(len(frame), dtype=np.int64) + body.first_line
    keep = _filled(frame, blank)
    if not keep.any():
        raise refuse("no-rows", f"{label} has a header but no rows", fix="check the export that wrote it")
    frame, lines = (frame, lines) if keep.all() else (frame[keep].reset_index(drop=True), lines[keep])
    empty = [name for name in names if name.startswith(NAMELESS) and frame[name].isna().all()]
    return frame.drop(columns=empty), lines, findings


def spellings(
    body: Body, dialect: Dialect, *, label: str, names: Collection[str], lines: NDArray[np.int64]
) -> dict[str, int]:
    """How often each spelling of a missing value occurs in the columns ``names``."""
    places = [index for index, name in enumerate(body.names) if name in names]
    width, _, _, data = _shape(body.text.encode("utf-8"), body, dialect, label=label)
    cells = _parsed(data, dialect, label=label, width=width, dtype=dict.fromkeys(places, str), usecols=places)
    kept = cells.iloc[lines - body.first_line].to_numpy(object).ravel()
    counts = pd.Series(kept).str.strip().value_counts()
    return {str(token): int(count) for token, count in counts.items() if token in dialect.tokens()}


def _parsed(
    data: bytes,
    dialect: Dialect,
    *,
    label: str,
    width: int,
    dtype: dict[int, type[str]],
    na_values: Mapping[Any, list[str]] | None = None,
    usecols: list[int] | None = None,
) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                BytesIO(data),
                sep=dialect.delimiter,
                header=None,
                names=list(range(width)),
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
                encoding="utf-8",
            )
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        ValueError,
        OverflowError,
    ) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise refuse(
            "not-csv", f"{label} is not a table: {reason}", fix="check its quotes and its --delimiter"
        ) from error


def _shape(
    data: bytes, body: Body, dialect: Dialect, *, label: str
) -> tuple[int, NDArray[np.int64], list[Finding], bytes]:
    """Cells per row, the blank lines, findings, and the data without a last line that was cut short."""
    expected = len(body.names)
    blank = np.zeros(0, np.int64)
    if b'"' in data:
        return expected, blank, [], data
    buffer = np.frombuffer(data, np.uint8)
    stops = np.flatnonzero(buffer == 10)
    if not data.endswith(b"\n"):
        stops = np.append(stops, len(data))
    starts = np.concatenate([[0], stops[:-1] + 1])
    marks = np.flatnonzero(buffer == ord(dialect.delimiter)) if ord(dialect.delimiter) < 128 else None
    blank = np.flatnonzero(stops == starts)
    if marks is None:
        return expected, blank, [], data
    fields = np.searchsorted(marks, stops) - np.searchsorted(marks, starts) + 1
    fields[blank] = expected
    odd = np.flatnonzero(fields != expected)
    spaces = np.array([not data[starts[line] : stops[line]].strip() for line in odd[:10_000]], bool)
    blank = np.concatenate([blank, odd[: len(spaces)][spaces]]).astype(np.int64)
    odd = np.concatenate([odd[: len(spaces)][~spaces], odd[len(spaces) :]])
    if not odd.size:
        return expected, blank, [], data
    if odd.size == stops.size - blank.size and (fields[odd] == expected + 1).all():
        ends = buffer[stops[odd] - 1]
        if (ends == ord(dialect.delimiter)).all():
            return expected + 1, blank, [], data
    first = int(odd[0])
    line = body.first_line + first
    if odd.size == 1 and first == stops.size - 1 and not data.endswith(b"\n") and fields[first] < expected and first:
        finding = Finding(
            "truncated-line",
            "warning",
            f"{label} line {line}, the last, is cut short ({int(fields[first])} of {expected} cells); it is left out",
            example_line=line,
            fix="read the file again when it is complete",
        )
        return expected, blank, [finding], data[: starts[first]]
    raise refuse(
        "ragged-rows",
        f"{label} line {line} has {int(fields[first])} cells, not {expected}"
        + (f"; so have {odd.size - 1} more lines another number" if odd.size > 1 else ""),
        fix="correct these lines, or name the separator with --delimiter",
        line=line,
    )


def _filled(frame: pd.DataFrame, blank: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows to keep: blank lines go, but in a single column a blank between values is a missing value."""
    keep = np.ones(len(frame), bool)
    suspects = np.flatnonzero(frame.iloc[:, 0].isna().to_numpy() | (frame.iloc[:, 0] == "").to_numpy())
    if frame.shape[1] > 1:
        empty = frame.iloc[suspects].isna() | (frame.iloc[suspects] == "")
        keep[suspects[empty.to_numpy().all(axis=1)]] = False
        return keep
    last, empty_lines = len(frame), set(blank.tolist())
    while last - 1 in empty_lines:
        last -= 1
    keep[last:] = False
    return keep
