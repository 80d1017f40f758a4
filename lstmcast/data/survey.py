"""Survey: what a person should know about series before training on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.ahead import stale
from lstmcast.data.calendar import Times
from lstmcast.data.counting import Counting, Places, by_series, stretches
from lstmcast.data.findings import Finding
from lstmcast.data.panel import Panel
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Schema

_HOLD_AHEAD = (
    "after the last value holds covariates known ahead",
    "after the last value hold covariates known ahead",
)
_LEFT_OUT = (
    "without a value before the first, after the last or in a long gap was left out",
    "without a value before the first, after the last or in a long gap were left out",
)
INTERMITTENT = 0.5
"""Share of zeros from which a series counts as intermittent, if it has ``FEWEST`` values."""

FEWEST = 10

LOOKED_AT = 500
"""Series whose last value is compared with those before it."""


def incomplete_last(rows: Rows, schema: Schema) -> list[Finding]:
    """Series whose last value is far below all others, as that of a day or month that is not over yet is."""
    if schema.clock.kind != "datetime" or schema.resample is not None:
        return []
    found = []
    season = max(schema.frequency.seasons()[:1] or (1,))
    bounds = np.r_[rows.first, len(rows.codes)]
    for first, stop in pairwise(bounds[: LOOKED_AT + 1].tolist()):
        y = rows.targets[first:stop, 0]
        y = y[np.isfinite(y)]
        before = y[-2 * season - 9 : -1]
        if len(before) >= max(8, season) and 0 < y[-1] < 0.5 * before.min() and before.max() < 4 * before.min():
            found.append((first, stop))
    if not found:
        return []
    row = found[0][0] + int(np.flatnonzero(np.isfinite(rows.targets[found[0][0] : found[0][1], 0]))[-1])
    name, when = rows.ids[rows.codes[row]], schema.clock.format(rows.times[row : row + 1])[0]
    return [
        Finding(
            "incomplete-last",
            "warning",
            f"the last value of series {name}, at {when}, is less than half of any before it; its step may not be over",
            unique_id=name,
            first_ds=when,
            count=len(found),
            example_line=int(rows.lines[row]),
            fix="delete the row until its step is over, or gather finer rows with --resample",
        )
    ]


def trailing(rows: Rows, panel: Panel, place: Places) -> list[Finding]:
    """Rows after the last value: the future block, or rows that were left out."""
    if isinstance(place, Counting):
        return []
    ahead, gone = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in stretches(len(place)):
        here = place[part]
        beyond = here >= panel.ends[panel.segment_of(np.maximum(here, 0))]
        ahead.append(part.start + np.flatnonzero(beyond & (here >= 0)))
        gone.append(part.start + np.flatnonzero(here < 0))
    found = []
    for places, code, text in (
        (np.concatenate(ahead), "future-block", _HOLD_AHEAD),
        (
            np.concatenate(gone),
            "empty-rows",
            _LEFT_OUT,
        ),
    ):
        if places.size:
            first = int(places[np.argmin(rows.lines[places])])
            found.append(
                Finding(
                    code,
                    "info",
                    f"{places.size} row{'s' if places.size > 1 else ''} {text[places.size > 1]}",
                    unique_id=panel.ids[rows.codes[first]],
                    first_ds=panel.schema.clock.format(rows.times[first : first + 1])[0],
                    last_ds=panel.schema.clock.format(rows.times[places].max(keepdims=True))[0],
                    count=int(places.size),
                    example_line=int(rows.lines[first]),
                )
            )
    return found


def series(rows: Rows, schema: Schema) -> list[Finding]:
    """Series that are constant, mostly zero, or short."""
    found = []
    for column, name in enumerate(schema.targets[: rows.targets.shape[1]]):
        count, low, high, zero = _extent(rows, column)
        zeros = zero / np.maximum(count, 1)
        constant = (low == high) & (count > 1)
        label = None if schema.wide else name
        found += _some(constant, rows, "constant", "never changes; its forecast is that value", column=label)
        sparse = (zeros >= INTERMITTENT) & ~constant & (count >= FEWEST)
        text = "is zero most of the time; compare models by MASE or WAPE, and keep forecasts from going below zero"
        found += _some(sparse, rows, "intermittent", text, column=label, fix="--min 0")
    return [*found, *_short(rows, schema, _seen(rows))]


def _seen(rows: Rows) -> Times:
    """Of each series the number of rows with a value."""
    many = len(rows.ids)
    parts = stretches(len(rows.codes))
    return sum((np.bincount(rows.codes[part][rows.seen[part]], minlength=many) for part in parts), np.zeros(many, int))


def _extent(rows: Rows, column: int) -> tuple[Times, NDArray[np.float64], NDArray[np.float64], Times]:
    """Of each series the number of its values, the least and the largest of them, and how many are zero."""
    many = len(rows.ids)
    count, zero = np.zeros(many, np.int64), np.zeros(many, np.int64)
    low, high = np.full(many, np.inf), np.full(many, -np.inf)
    for part, among in by_series(rows.first, len(rows.codes)):
        values = rows.targets[part, column]
        seen = np.isfinite(values)
        begin = np.maximum(rows.first[among] - part.start, 0)
        count[among] += np.add.reduceat(seen, begin, dtype=np.int64)
        zero[among] += np.add.reduceat(values == 0, begin, dtype=np.int64)
        low[among] = np.minimum(low[among], np.minimum.reduceat(np.where(seen, values, np.inf), begin))
        high[among] = np.maximum(high[among], np.maximum.reduceat(np.where(seen, values, -np.inf), begin))
    return count, low, high, zero


def _short(rows: Rows, schema: Schema, count: Times) -> list[Finding]:
    horizon = schema.frequency.default_horizon()
    season = max(schema.frequency.seasons()[:1] or (horizon,))
    short = np.flatnonzero(count < season + horizon)
    if not short.size:
        return []
    least = int(short[np.argmin(count[short])])
    return [
        Finding(
            "short-series",
            "warning",
            f"{short.size} of {len(rows.ids)} series {'have' if short.size > 1 else 'has'} less than {season} rows to "
            f"look back on + {horizon} to forecast = {season + horizon}; {rows.ids[least]} has {int(count[least])}",
            unique_id=rows.ids[least],
            count=int(short.size),
            fix=f"--horizon {max(1, int(count[least]) // 3)}"
            if short.size == len(rows.ids)
            else "--short skip  # or naive",
        )
    ]


def _some(
    which: NDArray[np.bool_], rows: Rows, code: str, text: str, *, column: str | None, fix: str | None = None
) -> list[Finding]:
    places = np.flatnonzero(which)
    if not places.size:
        return []
    more = f" (so are {places.size - 1} others)" if places.size > 1 else ""
    name = rows.ids[places[0]]
    return [
        Finding(
            code, "info", f"series {name} {text}{more}", unique_id=name, column=column, count=int(places.size), fix=fix
        )
    ]


def ends(panel: Panel, asked: int | None) -> list[Finding]:
    """Series that ended more than ``asked`` rows before the newest one (None: more than the longest gap)."""
    old = np.flatnonzero(stale(panel, panel.schema.max_gap if asked is None else asked))
    if not old.size:
        return []
    first = int(old[0])
    last = panel.last_segment()[first]
    more = f", as did {old.size - 1} others" if old.size > 1 else ""
    limit = panel.schema.max_gap if asked is None else asked
    return [
        Finding(
            "ended-early" if asked is None else "stale",
            "info" if asked is None else "warning",
            f"series {panel.ids[first]} ended more than {limit} rows before the newest{more}"
            + ("" if asked is None else "; stale"),
            unique_id=panel.ids[first],
            last_ds=panel.schema.clock.format(panel.times(panel.ends[last : last + 1] - 1))[0],
            count=int(old.size),
            fix=f"--stale-after {limit}  # marks them as stale" if asked is None else "leave out --stale-after",
        )
    ]


def with_values(rows: Rows) -> tuple[Rows, Places, list[Finding]]:
    """The rows of series that have a value at all, their places, and a finding about the others."""
    if rows.seen.all() and len(rows.first) == len(rows.ids):
        return rows, Counting(len(rows.codes)), []
    counts = _seen(rows)
    empty = np.flatnonzero(counts == 0)
    if not empty.size:
        return rows, Counting(len(rows.codes)), []
    name = rows.ids[empty[0]]
    total = len(empty) == len(rows.ids)
    finding = Finding(
        "empty-series",
        "error" if total else "warning",
        f"series {name} has no value" + (f", nor have {len(empty) - 1} others" if len(empty) > 1 else ""),
        unique_id=name,
        count=len(empty),
        fix="name the column to forecast with --target" if total else None,
    )
    kept = np.flatnonzero(counts[rows.codes] > 0)
    left = rows.take(kept)
    ids = tuple(name for name, count in zip(rows.ids, counts, strict=True) if count)
    return replace(left, ids=ids, codes=(np.cumsum(counts > 0) - 1)[left.codes]), kept, [finding]
