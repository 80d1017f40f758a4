"""Numbers: from the cells of a column to float64, with the cells that are none named."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.counting import Places, stretches
from lstmcast.data.dialect import NA_TOKENS, Dialect
from lstmcast.data.findings import Finding
from lstmcast.data.marks import looks_numeric
from lstmcast.data.units import currencies, is_percent, named, undressed

LARGEST = 1e32
"""Beyond this, float32 arithmetic on the value overflows."""

_FLAGS = dict.fromkeys(("True", "TRUE", "true"), "1") | dict.fromkeys(("False", "FALSE", "false"), "0")
TRUTHS = _FLAGS | dict.fromkeys(("yes", "Yes", "YES", "Y", "y"), "1") | dict.fromkeys(("no", "No", "NO", "N", "n"), "0")
_UNUSUAL = r"[^\d.,+\-eE'\u2019\u00a0\u202f ]|^\(|\d\s*-$"


def is_number(column: pd.Series) -> bool:
    """Whether every cell of the column was read as a number (an empty column is)."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def is_text(column: pd.Series) -> bool:
    """Whether the cells of the column were read as texts."""
    return pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)


def to_floats(
    column: pd.Series, dialect: Dialect, *, name: str, lines: Places
) -> tuple[NDArray[np.float64], list[Finding]]:
    """float64 (R,) of a column, NaN where missing, and findings of severity error for cells that are no numbers.

    Grouped digits are accepted where every group has three digits.
    """
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(np.float64)
        long = _too_long(values, name=name, lines=lines) if pd.api.types.is_integer_dtype(column) else []
        return values, [*_too_large(values, name=name, lines=lines), *long]
    texts = column.astype(object)
    present = texts.notna().to_numpy()
    cleaned = texts[present].astype(str).str.strip()
    words = TRUTHS if cleaned.isin([*TRUTHS, *dialect.tokens()]).all() else _FLAGS
    cleaned = cleaned.replace(words)
    numbers = pd.to_numeric(plain(cleaned, dialect), errors="coerce").to_numpy(np.float64)
    values = np.full(len(column), np.nan)
    values[present] = numbers
    missing = cleaned.isin([*NA_TOKENS, *dialect.na_values]).to_numpy()
    unknown = cleaned[np.isnan(numbers) & ~missing]
    findings = [*_too_large(values, name=name, lines=lines), *_too_long(values, name=name, lines=lines)]
    if len(unknown):
        findings.insert(0, _unknown(unknown, name=name, lines=lines))
    return values, [*findings, *_dressed(cleaned[~np.isnan(numbers)], name=name, lines=lines)]


def _dressed(cells: pd.Series, *, name: str, lines: Places) -> list[Finding]:
    """What was taken off the numbers; an error where it is not the same unit in every row."""
    worn = cells[cells.str.contains(_UNUSUAL)]
    marks = named(worn.unique())
    if not marks:
        return []
    share = np.array([is_percent(cell) for cell in cells], bool)
    money = currencies(marks)
    if (share.any() and not share.all()) or len(money) > 1:
        odd = (
            int(np.argmin(share)) if share.any() else int(cells.str.contains(money[1], regex=False).to_numpy().argmax())
        )
        return [
            Finding(
                "mixed-units",
                "error",
                f"column {name!r} holds numbers with {' and '.join(marks[:2] if len(money) > 1 else ['%'])} "
                f"{'beside each other' if len(money) > 1 else 'and without'} ({cells.iloc[odd]!r})",
                column=name,
                count=len(worn),
                example_line=int(lines[cells.index[odd]]),
                fix="write the column in one unit",
            )
        ]
    text = f"column {name!r}: {', '.join(marks)} around {len(worn)} number{'s' if len(worn) > 1 else ''} taken off"
    return [
        Finding(
            "percent" if share.any() else "units",
            "info",
            f"{text}; per cent are divided by 100" if share.any() else text,
            column=name,
            count=len(worn),
            example_line=int(lines[worn.index[0]]),
            fix="--units refuse  # if these cells are not numbers",
        )
    ]


def plain(cells: pd.Series, dialect: Dialect) -> pd.Series:
    """Units taken off, group marks removed where they group by three, and the decimal mark a point."""
    point = re.escape(dialect.decimal)
    if dialect.units == "strip" and (worn := cells.str.contains(_UNUSUAL)).any():
        cells = cells.mask(worn, cells[worn].map(undressed))
    if dialect.thousands:
        mark = re.escape(dialect.thousands)
        grouped = cells.str.fullmatch(rf"[+-]?\d{{1,3}}(?:{mark}\d{{3}})+(?:{point}\d*)?(?:e-2)?")
        cells = cells.where(~grouped, cells.str.replace(dialect.thousands, "", regex=False))
    if dialect.decimal == ".":
        return cells
    fits = cells.str.fullmatch(rf"[+-]?(?:\d+{point}?\d*|{point}\d+)(?:[eE][+-]?\d+)?")
    return cells.str.replace(dialect.decimal, ".", regex=False).where(fits, other="no number")


def _unknown(unknown: pd.Series, *, name: str, lines: Places) -> Finding:
    token = str(unknown.iloc[0])
    others = unknown.nunique() - 1
    line = int(lines[unknown.index[0]])
    total = f"{len(unknown)} cell{'s' if len(unknown) > 1 else ''}"
    more = f", and {others} other such text{'s' if others > 1 else ''}" if others else ""
    return Finding(
        "unknown-token",
        "error",
        f"column {name!r} line {line}: {token[:60]!r} is no number ({total}{more})",
        column=name,
        count=len(unknown),
        example_line=line,
        fix=_mend([str(text) for text in unknown.unique()]),
    )


def _mend(tokens: list[str]) -> str:
    if looks_numeric(tokens[0]):
        return "correct these cells, or name the marks: --decimal and --thousands"
    if re.search(r"\d", tokens[0]):
        return "write these cells as plain numbers, without units or signs"
    words = [token for token in tokens if not re.search(r"\d", token)]
    return " ".join(f"--na-values {_quoted(token)}" for token in words[:5]) + "  # if it means missing"


def _too_large(values: NDArray[np.float64], *, name: str, lines: Places) -> list[Finding]:
    rows = _beyond(values, LARGEST)
    if not rows.size:
        return []
    where = "line" if rows.size == 1 else "lines"
    shown = ", ".join(str(line) for line in lines[rows[:5]].tolist()) + (", ..." if rows.size > 5 else "")
    return [
        Finding(
            "infinite",
            "error",
            f"column {name!r} holds infinite or absurd values (beyond {LARGEST:.0e}) on {where} {shown}",
            column=name,
            count=int(rows.size),
            example_line=int(lines[rows[0]]),
            fix="correct these rows, or empty the cells to mark them missing",
        )
    ]


def _too_long(values: NDArray[np.float64], *, name: str, lines: Places) -> list[Finding]:
    """A warning for whole numbers of more digits than a float holds."""
    rows = _beyond(values, 2**53)
    rows = rows[np.abs(values[rows]) <= LARGEST]
    if not rows.size:
        return []
    return [
        Finding(
            "long-numbers",
            "warning",
            f"column {name!r} holds whole numbers beyond 2^53, of which about sixteen digits are kept",
            column=name,
            count=int(rows.size),
            example_line=int(lines[rows[0]]),
            fix="write fewer digits, for example the differences from a fixed level",
        )
    ]


def _beyond(values: NDArray[np.float64], limit: float) -> NDArray[np.int64]:
    """The rows whose value is larger than ``limit``, up or down."""
    parts = stretches(len(values))
    return np.concatenate(
        [np.zeros(0, np.int64), *(np.flatnonzero(np.abs(values[part]) > limit) + part.start for part in parts)]
    )


def _quoted(token: str) -> str:
    return token if re.fullmatch(r"[\w.#/+-]+", token) else f"'{token[:60]}'"
