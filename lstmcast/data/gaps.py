"""Gaps: absent rows. How many there are, which calendar explains them, where they split a series."""

from __future__ import annotations

import numpy as np

from lstmcast.data.calendar import Times
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
    seen = np.flatnonzero(rows.seen)
    same = rows.codes[seen][1:] == rows.codes[seen][:-1]
    steps = rows.steps(schema.frequency)
    filled = np.flatnonzero(rows.following)
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
    filled = np.flatnonzero(rows.following)
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


def sparse(rows: Rows, schema: Schema) -> list[Finding]:
    """An error where the grid is so fine that laying the rows on it would take memory without end."""
    if rows.is_even(schema.frequency):
        return []
    jumps = np.where(rows.following[1:], np.diff(rows.steps(schema.frequency)), 0)
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
