"""Clock: between the texts of a time column and int64 times, in the file's own style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.config import Frozen
from lstmcast.data import epochs, styles
from lstmcast.data.calendar import Times, from_wall, to_wall
from lstmcast.data.counting import Places
from lstmcast.data.findings import RefusedError, refuse


class Clock(Frozen):
    """How the time column is read and written.

    ``kind`` ``row``: there is no time column and rows count from 1. ``formats``: strptime formats, the first is the
    one written. ``epoch_unit``: the times are numbers since 1970, or Excel serial days. ``tz``: the zone the wall clock
    is read in, as an IANA name or an offset; None for naive and integer time. ``padded``: 03.04. rather than 3.4.
    ``padded_hour`` likewise for hours. ``fraction``: decimals of seconds (or of epoch numbers). ``span``: the texts
    name the beginning and the end of a step; the beginning is read, and written.
    """

    kind: Literal["datetime", "integer", "row"]
    formats: tuple[str, ...] = ()
    epoch_unit: epochs.EpochUnit | None = None
    day_first: bool | None = None
    tz: str | None = None
    padded: bool = True
    padded_hour: bool = True
    fraction: int = 0
    span: bool = False

    def parse(
        self,
        texts: Sequence[str] | NDArray[np.object_],
        codes: NDArray[np.integer[Any]] | None = None,
        *,
        groups: Times | None = None,
        lines: Places | None = None,
        column: str = "time",
    ) -> Times:
        """int64 times of ``texts``: see ``calendar`` for the unit.

        With ``codes`` (R,) row r is ``texts[codes[r]]``, and -1 is none; else each text is a row.
        ``groups`` int64 (R,) the series of each row: an hour that comes twice when clocks are set back is told apart
        by its order within a series. ``lines`` (R,) the line of each text, for messages.
        Raises ``RefusedError`` naming the first line that is no time in this style.
        """
        distinct = np.asarray(texts, dtype=object)
        if codes is None:
            codes, distinct = pd.factorize(distinct)
            distinct = np.asarray(distinct, dtype=object)
        times, fits = self._read(np.array([str(text).strip() for text in distinct], dtype=object))
        if not fits.all() or (len(codes) and codes.min() < 0):
            bad = codes < 0
            bad[~bad] = ~fits[codes[~bad]]
            if bad.any():
                raise self._unreadable(
                    np.array([*distinct, None], dtype=object)[codes], bad, lines=lines, column=column
                )
        if self.kind != "datetime" or self.tz is None or self._instants():
            return times[codes]
        return _located(times, codes, self.tz, np.zeros(len(codes), np.int64) if groups is None else groups)

    def located(self, times: Times, *, groups: Times) -> Times:
        """Times that were read in the style of this clock (int64 (R,), of the wall clock if that is what it shows)."""
        if self.tz is None or self._instants():
            return times
        distinct, codes = np.unique(times, return_inverse=True)
        return _located(distinct, codes, self.tz, groups)

    def format(self, times: Times) -> list[str]:
        """The texts of int64 times, in the file's own style."""
        distinct, back = np.unique(np.asarray(times, np.int64), return_inverse=True)
        if self.kind != "datetime":
            written = [str(number) for number in distinct.tolist()]
        elif self.epoch_unit:
            written = epochs.write(distinct, self.epoch_unit, tz=self.tz, fraction=self.fraction)
        else:
            wall = to_wall(distinct, self.tz)
            written = styles.write(
                wall,
                self.formats[0],
                offsets=(wall - distinct) // 60_000_000_000,
                bare=("" if self.padded else "%d %m ") + ("" if self.padded_hour else "%H %I"),
                fraction=self.fraction,
            )
        return np.array(written, dtype=object)[back.ravel()].tolist() if written else []

    def _swapped(self, given: NDArray[np.object_]) -> str | None:
        """The same style with day and month exchanged, if all texts fit that."""
        style = self.formats[0].replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")
        texts = np.array([str(text).strip() for text in pd.unique(given)], dtype=object)
        return style if style != self.formats[0] and styles.read(texts, style)[1].all() else None

    def _instants(self) -> bool:
        """Whether the texts name instants by themselves, without a zone to read them in."""
        return self.epoch_unit in epochs.UNITS or (not self.epoch_unit and styles.is_zoned(self.formats[0]))

    def _read(self, distinct: NDArray[np.object_]) -> tuple[Times, NDArray[np.bool_]]:
        if self.span:
            distinct = np.array([styles.beginning(text) or "" for text in distinct], dtype=object)
        if self.kind != "datetime":
            return epochs.integers(distinct)
        if self.epoch_unit:
            return epochs.read(distinct, self.epoch_unit)
        times = np.zeros(len(distinct), np.int64)
        fits = np.zeros(len(distinct), bool)
        for style in self.formats:
            if not (~fits).any():
                break
            found, good = styles.read(distinct[~fits], style)
            places = np.flatnonzero(~fits)[good]
            times[places] = found[good]
            fits[places] = True
        return times, fits

    def _unreadable(
        self, given: NDArray[np.object_], bad: NDArray[np.bool_], *, lines: Places | None, column: str
    ) -> RefusedError:
        first = int(np.argmax(bad))
        line = None if lines is None else int(lines[first])
        where = f"entry {first + 1}" if line is None else f"line {line}"
        more = f" (and {int(bad.sum()) - 1} more)" if bad.sum() > 1 else ""
        text = given[first]
        if not isinstance(text, str) or not text.strip():
            return refuse(
                "missing-time",
                f"column {column!r}, {where}: the time is missing{more}",
                fix="fill in the time, or delete the row",
                column=column,
                line=line,
            )
        like = self.formats[0] if self.formats else "a whole number" if self.kind == "integer" else "a number"
        leading = styles.is_year_last(text.strip())
        day_first = bool(self.day_first) or "." in text or (leading is not None and leading[0] > 12)
        other = styles.recognise(text.strip(), day_first=day_first)
        # the first format is the one written, so it must say all that the others say
        asked = sorted((*self.formats, other or ""), key=lambda style: -style.count("%"))
        flags = " ".join(f"--date-format '{style}'" for style in asked)
        if other in self.formats and (swapped := self._swapped(given)):
            other, flags = swapped, f"--date-format '{swapped}'"
        return refuse(
            "bad-time",
            f"column {column!r}, {where}: {text[:60]!r} is not a time written like {like}{more}",
            fix=flags if self.formats and other not in {None, *self.formats} else "correct these rows",
            column=column,
            line=line,
        )


def _located(times: Times, codes: NDArray[np.integer[Any]], tz: str, groups: Times) -> Times:
    """Instants of wall-clock times; an hour that comes twice is the later one on its second appearance in a series.

    A time in it that comes once is the one that keeps the step of the rows before it: where clocks are set by half an
    hour, hourly rows hold a single 01:30.
    """
    first, later = from_wall(times, tz), from_wall(times, tz, later=True)
    rows = np.flatnonzero((first != later)[codes])
    if not rows.size:
        return np.asarray(first[codes])
    same = groups[1:] == groups[:-1]
    newest_first = bool(np.sign(np.diff(times[codes])[same]).sum() < 0)
    seen = pd.DataFrame({"group": groups[rows], "time": codes[rows]}).groupby(["group", "time"], sort=False)
    order = seen.cumcount(ascending=not newest_first).to_numpy()
    located: Times = first[codes]
    located[rows] = np.where(order > 0, later[codes[rows]], located[rows])
    lone = rows[seen["time"].transform("size").to_numpy() == 1]
    if lone.size:
        late = lone[_keeps_step(located, later[codes[lone]], lone, groups, newest_first=newest_first)]
        located[late] = later[codes[late]]
    return located


def _keeps_step(
    located: Times, later: Times, rows: NDArray[np.int64], groups: Times, *, newest_first: bool
) -> NDArray[np.bool_]:
    """Which of these rows go on by the step before them, in their series, if they are at ``later`` instead."""
    order = np.argsort(groups, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    back = 1 if newest_first else -1
    before = place[rows][:, None] + back * np.array([1, 2])
    there = ((before >= 0) & (before < len(order))).all(axis=1)
    before = order[np.where(there[:, None], before, 0)]
    there &= (groups[before] == groups[rows][:, None]).all(axis=1)
    expected = 2 * located[before[:, 0]] - located[before[:, 1]]
    return np.asarray(there & (np.abs(later - expected) < np.abs(located[rows] - expected)))
