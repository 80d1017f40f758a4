"""Spans and stretches of time as a person writes them: ``36h``, and files of beginnings and ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, HOUR, MINUTE, SECOND, WEEK
from lstmcast.data.clock import Clock
from lstmcast.errors import DataError, UsageError

Times = NDArray[np.int64]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_SHORT = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?")
_SHORT_STYLES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_UNITS = {"s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}


@dataclass(frozen=True, slots=True)
class Stretches:
    """Beginnings and ends, both counted, by series; those under None hold for all series."""

    by_series: Mapping[str | None, tuple[Times, Times]]

    def of(self, series: str) -> tuple[Times, Times]:
        """int64 (k,) beginnings and ends that concern ``series``, in order of time."""
        parts = [self.by_series[key] for key in (None, series) if key in self.by_series]
        start = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, dtype=np.int64)
        end = np.concatenate([part[1] for part in parts]) if parts else np.empty(0, dtype=np.int64)
        order = np.argsort(start, kind="stable")
        return start[order], end[order]

    def cover(self, series: str, time: Times) -> NDArray[np.bool_]:
        """bool (n,) times inside one of them."""
        inside = np.zeros(len(time), dtype=bool)
        for start, end in zip(*self.of(series), strict=True):
            inside |= (time >= start) & (time <= end)
        return inside


NOTHING = Stretches({})


def parse_span(text: str, *, flag: str) -> int:
    """Nanoseconds of ``90s``, ``15min``, ``2h``, ``7d`` or ``3w``. Raises ``UsageError`` for anything else."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{flag} {text!r} is not a span of time", remedy=f"write for example {flag} 2h, 15min or 7d")
    return round(float(match[1]) * _UNITS[match[2]])


def read_stretches(path: Path, clock: Clock, *, flag: str) -> Stretches:
    """The file ``path`` with the columns ``start``, ``end`` and perhaps ``unique_id`` (empty: all series).

    Times are as in ``parse_times``; an end may be a date, which is then counted whole. Raises ``DataError``.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{flag} {path} cannot be read: {error}", remedy="name a CSV with start,end[,unique_id]"
        ) from error
    if not {"start", "end"} <= set(table.columns):
        raise DataError(
            f"{flag} {path} has the columns {', '.join(table.columns)}, not start and end",
            remedy="its first line must be start,end or unique_id,start,end",
        )
    ids = table["unique_id"] if "unique_id" in table else pd.Series([""] * len(table))
    try:
        start, end = (
            parse_times(table[name].str.strip().tolist(), clock, last=name == "end") for name in ("start", "end")
        )
    except (DataError, ValueError) as error:
        raise DataError(f"{flag} {path}: {error}", remedy="write its times like those of the data") from error
    if (end < start).any():
        row = int(np.argmax(end < start))
        raise DataError(f"{flag} {path} line {row + 2}: the end lies before the start", remedy="swap them")
    found = {}
    for name in dict.fromkeys(ids):
        chosen = (ids == name).to_numpy()
        found[name or None] = (start[chosen], end[chosen])
    return Stretches(found)


def parse_times(texts: Sequence[str], clock: Clock, *, last: bool = False) -> Times:
    """int64 (k,) times of ``texts``, written like those of the data, or as 2026-11-20 or 2026-11-20 03:10[:00].

    The short forms are read in the data's zone. A bare date is its first instant, or with ``last`` its last. Raises
    ``DataError`` for anything else, and for short forms where times are numbers.
    """
    try:
        return clock.parse(texts)
    except DataError:
        if clock.kind != "datetime" or not all(_SHORT.fullmatch(text) for text in texts):
            raise
    dates = np.array([len(text) == len("2026-11-20") for text in texts], dtype=np.bool_)
    short = Clock(kind="datetime", formats=_SHORT_STYLES, tz=clock.tz)
    return short.parse(texts) + np.where(dates & last, DAY - 1, 0)
