"""Statics: what is said of a series as a whole, the same in all of its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import Times
from lstmcast.data.categories import categories_of, coded
from lstmcast.data.columns import Roles
from lstmcast.data.counting import Places
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding
from lstmcast.data.journey import Journey
from lstmcast.data.numbers import to_floats

MOST = 1_000
"""Words a static column may have; the column that names the series may have any number."""


def statics(
    frame: pd.DataFrame, roles: Roles, dialect: Dialect, codes: Times, lines: Places, journey: Journey, *, count: int
) -> NDArray[np.float32]:
    """float32 (N, S) the value of each static covariate for each of ``count`` series, NaN where no row tells.

    Words are numbered in alphabetical order, or as the stored schema numbers them. ``codes`` (r,) is the series of each
    row. A column whose value changes within a series is a finding: an error, or once trained a warning, and the last
    value counts.
    """
    out = np.full((count, len(roles.static)), np.nan, np.float32)
    for place, name in enumerate(roles.static):
        values = _column(frame, name, roles, dialect, lines, journey)
        known = np.flatnonzero(np.isfinite(values))
        out[codes[known], place] = values[known]  # of several the last one stays
        odd = known[values[known].astype(np.float32) != out[codes[known], place]]
        if odd.size:
            journey.findings.append(_changing(frame, name, codes, lines, odd, stored=journey.stored is not None))
    return out


def by_name(told: NDArray[np.float32], ids: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
    """What is ``told`` (N, S) of the series ``ids``, for those ``wanted``; NaN for one that is not among them."""
    place = {name: number for number, name in enumerate(ids)}
    rows = np.array([place.get(name, len(ids)) for name in wanted], dtype=np.int64)
    return np.vstack([told, np.full((1, told.shape[1]), np.nan, np.float32)])[rows]


def _column(
    frame: pd.DataFrame, name: str, roles: Roles, dialect: Dialect, lines: Places, journey: Journey
) -> NDArray[np.float64]:
    if journey.stored:
        words = journey.stored.categories.get(name, ())
    else:
        names_series = name == roles.id
        words = _names(frame[name]) if names_series else categories_of(frame[name], dialect, most=MOST)
        journey.categories |= {name: words} if words else {}
    if words:
        values, found = coded(frame[name], words, dialect, name=name, lines=lines, known=journey.stored is not None)
    else:
        values, found = to_floats(frame[name], dialect, name=name, lines=lines)
    journey.findings += found
    return values


def _names(column: pd.Series) -> tuple[str, ...]:
    return tuple(sorted({str(name).strip() for name in column.dropna().unique()} - {""}))


def _changing(frame: pd.DataFrame, name: str, codes: Times, lines: Places, odd: Times, *, stored: bool) -> Finding:
    row = int(odd[0])
    same = np.flatnonzero(codes == codes[row])
    last = frame[name].iloc[same].dropna().iloc[-1]
    many = len(np.unique(codes[odd]))
    more = f" (so it does in {many - 1} other series)" if many > 1 else ""
    text = (
        f"static covariate {name} changes within a series: {str(frame[name].iloc[row])[:40]!r} in line "
        f"{int(lines[row])}, {str(last)[:40]!r} later{more}"
    )
    return Finding(
        "static-changes",
        "warning" if stored else "error",
        text + ("; the last value counts" if stored else ""),
        column=name,
        count=int(odd.size),
        example_line=int(lines[row]),
        fix=f"--past {name}  # if it changes in the course of time, or --future"
        if not stored
        else "correct these cells",
    )
