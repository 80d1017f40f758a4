"""Survey: what a person should know about series before training on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.ahead import stale
from lstmcast.data.calendar import Times
from lstmcast.data.findings import Finding
from lstmcast.data.holidays import explained
from lstmcast.data.panel import Panel
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Schema

INTERMITTENT = 0.5
"""Share of zeros from which a series counts as intermittent, if it has ``FEWEST`` values."""

FEWEST = 10

LONGEST_HOLIDAY = 8
"""Rows that a holiday takes at most."""

LOOKED_AT = 500
"""Series whose last value is compared with those before it."""

SPARSEST = 20
"""Rows of the grid for each row of the file that are laid out at most (beyond a million)."""


def gaps(rows: Rows, schema: Schema) -> list[Finding]:
    """Absent rows by length, and where they split a series. ``rows`` are sorted, distinct and on the grid."""
    seen = np.flatnonzero(np.isfinite(rows.targets).any(axis=1))
    same = rows.codes[seen][1:] == rows.codes[seen][:-1]
    steps = schema.frequency.locate(rows.opening(), rows.times)[0]
    filled = np.flatnonzero(rows.following())
    absent = (steps[filled] - steps[filled - 1] - 1)[steps[filled] - steps[filled - 1] > 1]
    found = []
    if absent.size:
        after = filled[steps[filled] - steps[filled - 1] > 1]
        found += _holidays(rows, schema, absent, after) or [_absent(rows, schema, absent, after)]
        found += _other_steps(rows, schema, steps)
    jumps = np.where(same, np.diff(steps[seen]) - 1, 0)
    long = np.flatnonzero(jumps > schema.max_gap)
    if long.size and schema.gaps != "zero":
        found.append(_split(rows, schema, seen, long, int(jumps.max())))
    return found


def _holidays(rows: Rows, schema: Schema, absent: Times, after: Times) -> list[Finding]:
    """The finding about absent rows where a calendar of holidays explains them; the rest counts as gaps."""
    short = after[absent <= LONGEST_HOLIDAY]
    lengths = absent[absent <= LONGEST_HOLIDAY]
    if schema.gaps == "error" or not short.size or len(short) < len(after):
        return []
    before = np.repeat(rows.times[short - 1], lengths)
    offset = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    gone = schema.frequency.advance(before, offset)
    match = explained(gone, rows.times, schema.frequency)
    if match is None:
        return []
    calendar, days = match
    total = len(np.unique(gone))
    begin, end = schema.clock.format(np.array([gone.min(), gone.max()]))
    rest = f"; {total - days} other day{'s' if total - days > 1 else ''} absent" if total > days else ""
    return [
        Finding(
            "holidays",
            "info",
            f"{days} absent days are holidays ({calendar}){rest}; masked",
            unique_id=rows.ids[rows.codes[short[0]]],
            first_ds=begin,
            last_ds=end,
            count=days,
            example_line=int(rows.lines[short[0]]),
            fix="--gaps zero  # if absent days mean zero",
        )
    ]


def incomplete_last(rows: Rows, schema: Schema) -> list[Finding]:
    """Series whose last value is far below all others, as that of a day or month that is not over yet is."""
    if schema.clock.kind != "datetime" or schema.resample is not None:
        return []
    found = []
    season = max(schema.frequency.seasons()[:1] or (1,))
    bounds = np.r_[np.flatnonzero(~rows.following()), len(rows.codes)]
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


def _absent(rows: Rows, schema: Schema, absent: Times, after: Times) -> Finding:
    lengths, counts = np.unique(absent, return_counts=True)
    common = sorted(zip(counts.tolist(), lengths.tolist(), strict=True), reverse=True)[:3]
    listed = ", ".join(f"{count} of {length} row{'s' if length > 1 else ''}" for count, length in common)
    first, last = after[0] - 1, after[-1]
    total = int(absent.sum())
    treated = {"mask": "masked", "zero": "taken as zero", "error": "not accepted"}
    return Finding(
        "gaps",
        "error" if schema.gaps == "error" else "info",
        f"{absent.size} gap{'s' if absent.size > 1 else ''} with {total} absent row{'s' if total > 1 else ''} "
        f"({listed}{', ...' if len(lengths) > 3 else ''}); {treated[schema.gaps]}",
        unique_id=rows.ids[rows.codes[first]],
        first_ds=schema.clock.format(rows.times[first : first + 1])[0],
        last_ds=schema.clock.format(rows.times[last : last + 1])[0],
        count=total,
        example_line=int(rows.lines[after[0]]),
        fix="--gaps mask  # or zero" if schema.gaps == "error" else None,
    )


def _other_steps(rows: Rows, schema: Schema, steps: Times) -> list[Finding]:
    """A warning for series most of whose rows are further apart than one step."""
    filled = np.flatnonzero(rows.following())
    apart = steps[filled] - steps[filled - 1]
    pairs = np.bincount(rows.codes[filled], minlength=len(rows.ids))
    wide = np.bincount(rows.codes[filled][apart > 1], minlength=len(rows.ids))
    coarse = np.flatnonzero((wide * 2 > pairs) & (pairs > 2))
    if not coarse.size or schema.gaps == "zero":
        return []
    name = rows.ids[coarse[0]]
    usual = int(np.median(apart[rows.codes[filled] == coarse[0]]))
    more = f" (so have {coarse.size - 1} others)" if coarse.size > 1 else ""
    return [
        Finding(
            "other-steps",
            "warning",
            f"series {name} has most rows {usual} steps of {schema.frequency.name} apart{more}; what lies between is "
            "taken as missing",
            unique_id=name,
            count=int(coarse.size),
            fix="train a model of their own on these series, or --gaps zero if absent rows mean zero",
        )
    ]


def _split(rows: Rows, schema: Schema, seen: Times, long: Times, longest: int) -> Finding:
    before, after = seen[long[0]], seen[long[0] + 1]
    count = int(long.size)
    return Finding(
        "long-gaps",
        "warning",
        f"{count} gap{'s are' if count > 1 else ' is'} longer than {schema.max_gap} rows (up to {longest}); "
        "the series is split there",
        unique_id=rows.ids[rows.codes[before]],
        first_ds=schema.clock.format(rows.times[before : before + 1])[0],
        last_ds=schema.clock.format(rows.times[after : after + 1])[0],
        count=count,
        example_line=int(rows.lines[after]),
        fix=f"--max-gap {longest}  # bridges them all",
    )


def trailing(rows: Rows, panel: Panel, place: Times) -> list[Finding]:
    """Rows after the last value: the future block, or rows that were left out."""
    segment = panel.segment_of(np.maximum(place, 0))
    ahead = (place >= 0) & (place >= panel.ends[segment])
    found = []
    for mask, code, text in (
        (ahead, "future-block", "after the last value hold covariates known ahead"),
        (place < 0, "empty-rows", "without a value before the first, after the last or in a long gap were left out"),
    ):
        places = np.flatnonzero(mask)
        if places.size:
            first = int(places[np.argmin(rows.lines[places])])
            found.append(
                Finding(
                    code,
                    "info",
                    f"{places.size} rows {text}",
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
    first = np.searchsorted(rows.codes, np.arange(len(rows.ids)))
    found = []
    for column, name in enumerate(schema.targets[: rows.targets.shape[1]]):
        values = rows.targets[:, column]
        seen = np.isfinite(values)
        count = np.add.reduceat(seen.astype(np.int64), first)
        low = np.minimum.reduceat(np.where(seen, values, np.inf), first)
        high = np.maximum.reduceat(np.where(seen, values, -np.inf), first)
        zeros = np.add.reduceat((values == 0).astype(np.int64), first) / np.maximum(count, 1)
        constant = (low == high) & (count > 1)
        label = None if schema.wide else name
        found += _some(constant, rows, "constant", "never changes; its forecast is that value", column=label)
        sparse = (zeros >= INTERMITTENT) & ~constant & (count >= FEWEST)
        text = "is zero most of the time; compare models by MASE or WAPE, and keep forecasts from going below zero"
        found += _some(sparse, rows, "intermittent", text, column=label, fix="--min 0")
    return [
        *found,
        *_short(rows, schema, np.add.reduceat(np.isfinite(rows.targets).any(axis=1).astype(np.int64), first)),
    ]


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


def with_values(rows: Rows) -> tuple[Rows, Times, list[Finding]]:
    """The rows of series that have a value at all, their places, and a finding about the others."""
    seen = np.isfinite(rows.targets).any(axis=1)
    counts = np.bincount(rows.codes[seen], minlength=len(rows.ids))
    empty = np.flatnonzero(counts == 0)
    if not empty.size:
        return rows, np.arange(len(rows.codes)), []
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


def sparse(rows: Rows, schema: Schema) -> list[Finding]:
    """An error where the grid is so fine that laying the rows on it would take memory without end."""
    steps = schema.frequency.locate(rows.opening(), rows.times)[0]
    jumps = np.where(rows.following()[1:], np.diff(steps), 0)
    if schema.gaps != "zero":
        jumps = np.where(jumps - 1 <= schema.max_gap, jumps, 0)
    grid = int(jumps.sum()) + len(rows.ids)
    if grid <= SPARSEST * len(rows.times) + 1_000_000:
        return []
    message = (
        f"{len(rows.times)} rows would fill {100 * len(rows.times) / grid:.2g} % of a grid with a row every "
        f"{schema.frequency.name}"
    )
    fix = "--freq D --duplicates sum  # or another coarser grid, or a smaller --max-gap"
    return [Finding("sparse", "error", message, count=grid, fix=fix)]
