"""Gaps: absent rows. How many there are, which calendar explains them, where they split a series."""

from __future__ import annotations

import numpy as np

from lstmcast.data.calendar import Times
from lstmcast.data.counting import stretches
from lstmcast.data.findings import Finding
from lstmcast.data.holidays import explained
from lstmcast.data.rows import Rows
from lstmcast.data.schema import Schema

LONGEST_HOLIDAY = 8
"""Rows that a holiday takes at most."""

SPARSEST = 20
"""Rows of the grid for each row of the file that are laid out at most (beyond a million)."""


def gaps(rows: Rows, schema: Schema) -> list[Finding]:
    """Absent rows by length, and where they split a series. ``rows`` are sorted, distinct and on the grid."""
    if rows.is_even(schema.frequency):
        return []
    steps = rows.steps(schema.frequency)
    after = np.concatenate(
        [part.start + np.flatnonzero(_jumps(rows, steps, part) > 1) for part in stretches(len(steps))]
    )
    found = []
    if after.size:
        absent = steps[after] - steps[after - 1] - 1
        found += _holidays(rows, schema, absent, after) or [_absent(rows, schema, absent, after)]
        found += _other_steps(rows, schema, steps, after)
    return found if schema.gaps == "zero" else [*found, *_split(rows, schema, steps)]


def _jumps(rows: Rows, steps: Times, part: slice) -> Times:
    """int64 steps from the row before, of each row of a stretch; 0 on the first row of a series."""
    before = steps[part.start - 1] if part.start else 0
    return np.where(rows.following[part], np.diff(steps[part], prepend=before), 0)


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


def _other_steps(rows: Rows, schema: Schema, steps: Times, after: Times) -> list[Finding]:
    """A warning for series most of whose rows are further apart than one step; ``after`` are the rows that are."""
    pairs = np.bincount(rows.codes[rows.first], np.diff(rows.first, append=len(steps)) - 1, minlength=len(rows.ids))
    wide = np.bincount(rows.codes[after], minlength=len(rows.ids))
    coarse = np.flatnonzero((wide * 2 > pairs) & (pairs > 2))
    if not coarse.size or schema.gaps == "zero":
        return []
    name = rows.ids[coarse[0]]
    start, stop = np.searchsorted(rows.codes, [coarse[0], coarse[0] + 1])
    usual = int(np.median(np.diff(steps[start:stop])))
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


def _split(rows: Rows, schema: Schema, steps: Times) -> list[Finding]:
    """A warning where no value comes for so long that a series is split."""
    count, longest, first, last = 0, 0, (0, 0), np.zeros(0, np.int64)
    for part in stretches(len(steps)):
        seen = np.append(last, part.start + np.flatnonzero(rows.seen[part]))
        gone = np.where(np.diff(rows.codes[seen]) == 0, np.diff(steps[seen]) - 1, 0)
        long = np.flatnonzero(gone > schema.max_gap)
        if long.size:
            first = first if count else (int(seen[long[0]]), int(seen[long[0] + 1]))
            count, longest = count + int(long.size), max(longest, int(gone.max()))
        last = seen[-1:]
    if not count:
        return []
    before, after = first
    message = (
        f"{count} gap{'s are' if count > 1 else ' is'} longer than {schema.max_gap} rows (up to {longest}); "
        "the series is split there"
    )
    return [
        Finding(
            "long-gaps",
            "warning",
            message,
            unique_id=rows.ids[rows.codes[before]],
            first_ds=schema.clock.format(rows.times[before : before + 1])[0],
            last_ds=schema.clock.format(rows.times[after : after + 1])[0],
            count=count,
            example_line=int(rows.lines[after]),
            fix=f"--max-gap {longest}  # bridges them all",
        )
    ]


def sparse(rows: Rows, schema: Schema) -> list[Finding]:
    """An error where the grid is so fine that laying the rows on it would take memory without end."""
    if rows.is_even(schema.frequency):
        return []
    steps, grid = rows.steps(schema.frequency), len(rows.ids)
    for part in stretches(len(steps)):
        jumps = _jumps(rows, steps, part)
        grid += int(jumps.sum() if schema.gaps == "zero" else jumps[jumps - 1 <= schema.max_gap].sum())
    if grid <= SPARSEST * len(rows.times) + 1_000_000:
        return []
    message = (
        f"{len(rows.times)} rows would fill {100 * len(rows.times) / grid:.2g} % of a grid with a row every "
        f"{schema.frequency.name}"
    )
    fix = "--freq D --duplicates sum  # or another coarser grid, or a smaller --max-gap"
    return [Finding("sparse", "error", message, count=grid, fix=fix)]
