"""Categories: covariates that are words. Each word gets a number that the Schema keeps; new words count as missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import ReaderSettings
from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding
from lstmcast.data.numbers import TRUTHS, is_number
from lstmcast.errors import UsageError

MOST = 50
"""Words a column may have to be taken for categories."""

UNKNOWN = "<unknown>"


def is_yes_or_no(column: pd.Series) -> bool:
    """Whether every cell that is not empty says yes or no."""
    if is_number(column) or not set(column.iloc[:50].dropna().astype(str).str.strip()) <= {*TRUTHS, ""}:
        return False
    words = {str(word).strip() for word in column.dropna().unique()} - {""}
    return bool(words) and words <= set(TRUTHS)


def categories_of(column: pd.Series, dialect: Dialect, *, most: int = MOST) -> tuple[str, ...]:
    """The words of a column in alphabetical order; empty where it holds numbers, yes and no, or more than ``most``."""
    if is_number(column) or pd.api.types.is_bool_dtype(column) or is_yes_or_no(column):
        return ()
    words = {str(word).strip() for word in column.dropna().unique()} - dialect.tokens()
    numbers = sum(any(sign.isdigit() for sign in word) and not any(sign.isalpha() for sign in word) for word in words)
    return tuple(sorted(words)) if 0 < len(words) <= most and numbers * 2 < len(words) else ()


def classes_of(column: pd.Series, dialect: Dialect, *, forced: bool) -> tuple[str, ...]:
    """The classes of a target column; empty where it holds numbers, or too many words.

    ``forced``: numbers, and yes and no, are names of classes too. Words that begin with a digit, such as 5 kg, are
    measures, unless most do not.
    """
    if not forced:
        words = categories_of(column, dialect)
        return words if sum(word[0].isdigit() for word in words) * 2 < len(words) else ()
    spelled = {_spelled(value) for value in column.dropna().unique()} - {*dialect.tokens(), ""}
    return tuple(sorted(spelled)) if 1 < len(spelled) <= MOST else ()


def refuse_arithmetic(settings: ReaderSettings, name: str) -> None:
    """Raises ``UsageError`` for settings that would add up or average the classes of the target ``name``."""
    wrong = {
        "--gaps zero": settings.gaps == "zero",
        f"--duplicates {settings.duplicates}": settings.duplicates in {"sum", "mean"},
        f"--agg {settings.agg}": settings.resample is not None and settings.agg in {"sum", "mean"},
        "--parent": bool(settings.parent),
    }
    if given := [flag for flag, wanted in wrong.items() if wanted]:
        raise UsageError(
            f"{given[0]} counts with numbers, and the target {name} holds classes",
            remedy="use --agg last or --duplicates last, or forecast a column of numbers",
        )


def _spelled(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        else str(value).strip()
    )


def coded(
    column: pd.Series,
    words: tuple[str, ...],
    dialect: Dialect,
    *,
    name: str,
    lines: Places,
    known: bool,
    what: str = "covariate",
) -> tuple[NDArray[np.float64], list[Finding]]:
    """float64 (R,) the place of each cell in ``words``, NaN where it is empty or not among them; what to tell of it.

    ``known``: the words were kept from training.
    """
    codes, distinct = pd.factorize(column)
    spelled = [_spelled(word) for word in distinct]
    place = {word: float(index) for index, word in enumerate(words)}
    values = np.array([*(place.get(word, np.nan) for word in spelled), np.nan])[codes]
    if not known:
        listed = ", ".join(words[:6]) + (f", ... ({len(words)} in all)" if len(words) > 6 else "")
        text = f"{what} {name} holds the categories {listed}; they are numbered in this order"
        return values, [Finding("categories", "info", text, column=name, count=len(words))]
    strange = [word for word in spelled if word not in place and word not in dialect.tokens()]
    if not strange:
        return values, []
    rows = np.flatnonzero(np.isin(codes, [spelled.index(word) for word in strange]))
    text = f"{what} {name} holds {strange[0][:60]!r}, which training never saw: {rows.size} cells count as {UNKNOWN}"
    return values, [
        Finding(
            "unknown-category",
            "warning",
            text,
            column=name,
            count=int(rows.size),
            example_line=int(lines[rows[0]]),
            fix="correct these cells, or train again",
        )
    ]
