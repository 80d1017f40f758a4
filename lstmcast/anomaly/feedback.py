"""Feedback: what a person said of earlier events raises the bar where alarms were wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lstmcast.errors import DataError

_RIGHT = {"true", "1", "yes", "y", "anomaly"}
_WRONG = {"false", "0", "no", "n", "normal"}
_ABOVE = 1.05  # of the strongest false alarm
COLUMN = "feedback"


def bars(path: Path) -> dict[str, float]:
    """By series, the score an alarm must reach so that the events marked false would not have been told again.

    ``path`` is an events file with one more column, ``feedback``: true, false or empty. A bar never rises above the
    weakest event marked true. Raises ``DataError`` for another file or word.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"--feedback {path} cannot be read: {error}", remedy="name the events file of an earlier run"
        ) from error
    needed = {"unique_id", "score", COLUMN}
    if not needed <= set(table.columns):
        raise DataError(
            f"--feedback {path} lacks the column {', '.join(sorted(needed - set(table.columns)))}",
            remedy=f"take an events file of detect-anomalies and add a column {COLUMN} with true or false",
        )
    said = table[COLUMN].str.strip().str.lower()
    unknown = said[~said.isin(_RIGHT | _WRONG | {""})]
    if len(unknown):
        raise DataError(
            f"--feedback {path} line {unknown.index[0] + 2}: {unknown.iloc[0]!r} is neither true nor false",
            remedy="write true, false or nothing",
        )
    table = table.assign(score=pd.to_numeric(table["score"], errors="coerce"))
    found = {}
    for name, part in table.groupby("unique_id"):
        words = said[part.index]
        wrong, right = part["score"][words.isin(_WRONG)], part["score"][words.isin(_RIGHT)]
        if wrong.notna().any():
            found[str(name)] = min(
                _ABOVE * float(wrong.max()), float(right.min()) if right.notna().any() else float("inf")
            )
    return found
