"""Regrid: rows that do not lie on one grid. Jitter snapped, rows gathered into coarser steps, changes of step found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, Frequency, Times, from_wall, to_wall
from lstmcast.data.clock import Clock
from lstmcast.data.findings import Finding
from lstmcast.data.rows import Rows

JITTER = 0.1
"""Part of a step by which a row may miss its grid and still be put on it."""

_AGREE = 0.9
_FEWEST = 8


def since(rows: Rows, first: int) -> tuple[Rows, Times, list[Finding]]:
    """The rows from the time ``first`` on, the place of each input row among them (-1: left out), and a finding."""
    late = rows.times >= first
    if late.all():
        return rows, np.arange(len(late)), []
    kept = rows.take(late)
    present = np.flatnonzero(np.bincount(kept.codes, minlength=len(rows.ids)))
    names = np.full(len(rows.ids), -1)
    names[present] = np.arange(len(present))
    kept = replace(kept, ids=tuple(rows.ids[code] for code in present), codes=names[kept.codes])
    gone = int((~late).sum())
    text = f"{gone} row{'s' if gone > 1 else ''} before --since {'are' if gone > 1 else 'is'} left out"
    found = Finding("before-since", "info", text, count=gone, example_line=int(rows.lines[np.argmin(late)]))
    return kept, np.where(late, np.cumsum(late) - 1, -1), [found]


def bucketed(
    rows: Rows, frequency: Frequency, clock: Clock, *, agg: str, drop_incomplete: bool
) -> tuple[Rows, Times, list[Finding]]:
    """One row per series and step of ``frequency``, the row each input row went into (-1: left out), and findings."""
    start = _floor(rows.times, frequency)
    fresh = ~rows.following | (np.diff(start, prepend=start[:1]) != 0)
    group = np.cumsum(fresh) - 1
    targets = pd.DataFrame(rows.targets).groupby(group, sort=True)
    values = targets.sum(min_count=1) if agg == "sum" else getattr(targets, agg)()
    covariates = pd.DataFrame(rows.covariates).groupby(group, sort=True).mean()
    merged = replace(
        rows.take(fresh),
        times=start[fresh],
        targets=values.to_numpy(np.float64),
        covariates=covariates.to_numpy(np.float32),
    )
    said = [
        Finding(
            "resampled",
            "info",
            f"{len(rows.times)} rows became {len(merged.times)} of {frequency.name}, the {agg} of what lies in each",
            count=len(rows.times),
            fix="--resample  # with another step, or --agg with another summary",
        )
    ]
    partial = _incomplete(rows, group, frequency)
    if not partial.size:
        return merged, group, said
    first = int(partial[0])
    when = clock.format(merged.times[first : first + 1])[0]
    name = rows.ids[merged.codes[first]]
    some = f"{len(partial)} last step{'s' if len(partial) > 1 else ''} (the first of {name} at {when})"
    found = Finding(
        "incomplete-last",
        "warning",
        f"{some} not over yet when the data end; {'left out' if drop_incomplete else 'kept'}",
        unique_id=rows.ids[merged.codes[first]],
        first_ds=when,
        count=len(partial),
        example_line=int(merged.lines[first]),
        fix="--no-drop-incomplete" if drop_incomplete else "--drop-incomplete",
    )
    if not drop_incomplete:
        return merged, group, [*said, found]
    kept = np.ones(len(merged.times), bool)
    kept[partial] = False
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    return merged.take(kept), place[group], [*said, found]


def _incomplete(rows: Rows, group: Times, frequency: Frequency) -> Times:
    """The groups of the last value of each series in which more rows would follow at the usual step."""
    seen = np.flatnonzero(np.isfinite(rows.targets).any(axis=1))
    if not seen.size:
        return seen
    last = seen[np.r_[rows.codes[seen][1:] != rows.codes[seen][:-1], True]]
    steps = np.diff(rows.times)[rows.following[1:]]
    steps = steps[steps > 0]
    usual = int(np.median(steps)) if steps.size else 0
    end = frequency.advance(_floor(rows.times[last], frequency), np.ones(len(last), np.int64))
    if frequency.kind == "months" and frequency.anchor == "end":
        end = _floor(rows.times[last], frequency) + DAY
    return np.unique(group[last[rows.times[last] + usual * 3 // 2 < end]])


def _floor(times: Times, frequency: Frequency) -> Times:
    """The step of the calendar each time lies in: midnights, Mondays, first (or last) days of months."""
    if frequency.kind == "integer":
        return times // frequency.step * frequency.step
    wall = to_wall(times, frequency.tz)
    if frequency.kind == "fixed":
        return from_wall(wall // frequency.step * frequency.step, frequency.tz)
    day = np.floor_divide(wall, DAY)
    if frequency.kind in {"days", "business"}:
        shift = 3 if frequency.step % 7 == 0 else 0  # 1970-01-01 was a Thursday
        step = frequency.step if frequency.kind == "days" else 1
        day = (day + shift) // step * step - shift
        if frequency.kind == "business":
            rolled = np.busday_offset(day.astype("datetime64[D]"), 0, roll="backward", weekmask=frequency.weekmask)
            day = rolled.astype(np.int64)
        return from_wall(day * DAY, frequency.tz)
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) // frequency.step * frequency.step
    after = month + frequency.step if frequency.anchor == "end" else month
    first = after.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return from_wall((first - (frequency.anchor == "end")) * DAY, frequency.tz)


def steadied(rows: Rows, frequency: Frequency, clock: Clock) -> tuple[Rows, list[Finding]]:
    """The rows with times that miss a fixed grid by less than ``JITTER`` of a step put on it, if that settles all."""
    if frequency.kind != "fixed":
        return rows, []
    if rows.on_grid(frequency):
        return rows, []
    step, opening = frequency.step, rows.opening()
    rounded = (opening + step // 2) // step * step
    anchor = np.where(np.abs(rounded - opening) < JITTER * step, rounded, opening)
    place = anchor + (rows.times - anchor + step // 2) // step * step
    off = np.abs(rows.times - place)
    if off.max() >= JITTER * step:
        return rows, []
    moved = np.flatnonzero(off)
    first = int(moved[np.argmin(rows.lines[moved])])
    text = clock.format(rows.times[first : first + 1])[0]
    found = Finding(
        "jitter",
        "info",
        f"{moved.size} rows miss the grid of {frequency.name} by at most {100 * off.max() / step:.1f} % of a step "
        f"({rows.ids[rows.codes[first]]} at {text}); they were put on it",
        unique_id=rows.ids[rows.codes[first]],
        first_ds=text,
        count=int(moved.size),
        example_line=int(rows.lines[first]),
        fix=f"--resample {frequency.name} --agg mean  # gathers them instead",
    )
    return replace(rows, times=place), [found]


def step_change(rows: Rows, clock: Clock) -> Finding | None:
    """A series whose step changes once and for good, and what to do about it."""
    if clock.kind != "datetime":
        return None
    lengths = np.diff(rows.first, append=len(rows.codes))
    longest = int(np.argmax(lengths))
    places = np.arange(rows.first[longest], rows.first[longest] + lengths[longest])
    code = int(rows.codes[places[0]])
    steps = np.diff(rows.times[places])
    if len(steps) < 2 * _FEWEST:
        return None
    before, after = _usual(steps[: len(steps) // 8 + _FEWEST // 2]), _usual(steps[-(len(steps) // 8 + _FEWEST // 2) :])
    coarse, fine = max(before, after), min(before, after)
    if fine <= 0 or coarse < 2 * fine or coarse >= 27 * DAY:
        return None
    score = np.cumsum((steps == before).astype(np.int64) - (steps == after))
    turn = int(np.argmax(score)) + 1
    first, rest = steps[:turn], steps[turn:]
    if min(len(first), len(rest)) < _FEWEST // 2:
        return None
    if (first == before).mean() < _AGREE or (rest == after).mean() < _AGREE:
        return None
    row = int(places[turn])
    when = clock.format(rows.times[row : row + 1])[0]
    names = [Frequency(kind="fixed", step=step).name for step in (before, after)]
    coarser = (
        Frequency(kind="fixed", step=coarse).name if coarse % DAY else Frequency(kind="days", step=coarse // DAY).name
    )
    quoted = f"'{when}'" if " " in when else when
    return Finding(
        "frequency-change",
        "error",
        f"series {rows.ids[code]} changes its step from {names[0]} to {names[1]} at {when}",
        unique_id=rows.ids[code],
        first_ds=when,
        last_ds=clock.format(rows.times[places[-1:]])[0],
        count=len(places) - turn if after == fine else turn,
        example_line=int(rows.lines[row]),
        fix=f"--since {quoted}  # (detect-anomalies: --set reader.since=...) "
        f"or --resample {coarser} --agg mean, to keep both parts",
    )


def _usual(steps: NDArray[np.int64]) -> int:
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])
