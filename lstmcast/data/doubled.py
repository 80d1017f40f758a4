"""Doubled: rows of one series that have the same time. Repeated ones are dropped, others merged or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import ZONES, Times, from_wall
from lstmcast.data.clock import Clock
from lstmcast.data.counting import Counting, Places
from lstmcast.data.findings import Finding
from lstmcast.data.rows import Rows, doubled


def merge_doubled(
    rows: Rows,
    clock: Clock,
    *,
    how: str,
    repeated: Callable[[Times], NDArray[np.bool_]],
    separating: Callable[[], tuple[str, str] | None],
    later: NDArray[np.bool_] | None = None,
) -> tuple[Rows, Places, list[Finding]]:
    """One row per series and time, and int64 (r,) which of them each row went into.

    ``repeated`` says which rows at these places in the file, ascending, equal an earlier one of them in every column;
    ``separating`` the column that would tell rows of the same time apart and how to use it. Rows that differ are merged
    by ``how``, or are an error; but those of ``later`` (bool by place in the file) may fill in what the row before them
    lacks.
    """
    places = doubled(rows)
    if not places.size:
        return rows, Counting(len(rows.times)), []
    same = np.zeros(len(rows.times), bool)
    same[places] = True
    findings = []
    copies = np.zeros(len(same), bool)
    at = np.flatnonzero(same | np.append(same[1:], np.False_))
    at = at[np.argsort(rows.origin[at], kind="stable")]
    copies[at] = same[at] & repeated(rows.origin[at])
    if copies.any():
        findings.append(_repeated(rows, copies, clock))
    if later is not None:
        rows, completing = _completed(rows, same & later[rows.origin])
        copies |= completing
    conflicting = same & ~copies
    group = np.cumsum(~same) - 1
    if conflicting.any():
        findings.append(_conflict(rows, conflicting, clock, how=how, separating=separating))
    kept = rows.take(~same)
    if conflicting.any() and how in {"sum", "mean", "last"}:
        distinct = rows.take(~copies)
        kept = _merged(kept, distinct, group[~copies], how)
    return kept, group, findings


def _completed(rows: Rows, later: NDArray[np.bool_]) -> tuple[Rows, NDArray[np.bool_]]:
    """The rows with covariates they lack taken from the ``later`` ones after them, and bool (r,) those taken from.

    Rows with a target, or with another value of a covariate than the row before them, are not taken from.
    """
    before = np.roll(rows.covariates, 1, axis=0)
    agrees = (np.isnan(before) | np.isnan(rows.covariates) | (before == rows.covariates)).all(axis=1)
    completing = later & agrees & np.isnan(rows.targets).all(axis=1)
    covariates, (at,) = rows.covariates.copy(), np.nonzero(completing)
    covariates[at - 1] = np.where(np.isnan(covariates[at - 1]), covariates[at], covariates[at - 1])
    return replace(rows, covariates=covariates), completing


def _merged(kept: Rows, distinct: Rows, group: Times, how: str) -> Rows:
    targets = pd.DataFrame(distinct.targets).groupby(group, sort=True)
    covariates = pd.DataFrame(distinct.covariates).groupby(group, sort=True)
    if how == "last":
        return replace(kept, targets=targets.last().to_numpy(), covariates=covariates.last().to_numpy(np.float32))
    merged = targets.sum(min_count=1) if how == "sum" else targets.mean()
    return replace(kept, targets=merged.to_numpy(), covariates=covariates.mean().to_numpy(np.float32))


def _repeated(rows: Rows, copies: NDArray[np.bool_], clock: Clock) -> Finding:
    first = int(np.flatnonzero(copies)[np.argmin(rows.lines[copies])])
    count = int(copies.sum())
    zone = _doubled_hour(rows.times[copies], clock)
    hint = "; clocks are set back in that hour, so it may have come twice" if zone else ""
    return Finding(
        "repeated-rows",
        "warning" if zone else "info",
        f"{count} row{'s repeat' if count > 1 else ' repeats'} another in every column; left out{hint}",
        unique_id=rows.ids[rows.codes[first]],
        first_ds=clock.format(rows.times[first : first + 1])[0],
        count=count,
        example_line=int(rows.lines[first]),
        fix=f"--tz {zone}  # or the zone these local times are in" if zone else None,
    )


def _conflict(
    rows: Rows,
    conflicting: NDArray[np.bool_],
    clock: Clock,
    *,
    how: str,
    separating: Callable[[], tuple[str, str] | None],
) -> Finding:
    places = np.flatnonzero(conflicting)
    first = int(places[np.argmin(rows.lines[places])])
    text = clock.format(rows.times[first : first + 1])[0]
    series = rows.ids[rows.codes[first]]
    count = len(places)
    code, fix = "same-time", "--duplicates mean  # or sum, first, last"
    message = (
        f"{count} row{'s have' if count > 1 else ' has'} the time of another row but other values ({series} at {text})"
    )
    if how != "error":
        message = f"{message}; merged by {how}"
    elif zone := _doubled_hour(rows.times[places], clock):
        code, fix = "dst-fold", f"--tz {zone}  # or the zone these local times are in"
        message = f"{message}; clocks are set back in that hour, so it comes twice"
    elif found := separating():
        column, fix = found
        message = f"{message}; column {column!r} tells them apart"
    return Finding(
        code,
        "error" if how == "error" else "warning",
        message,
        unique_id=series,
        first_ds=text,
        last_ds=clock.format(rows.times[places].max(keepdims=True))[0],
        count=count,
        example_line=int(rows.lines[first]),
        fix=fix if how == "error" else None,
    )


def _doubled_hour(times: Times, clock: Clock) -> str | None:
    """The zone in which all these wall-clock times come twice, if there is one."""
    if clock.kind != "datetime" or clock.tz is not None:
        return None
    return next(
        (name for name in ZONES if (from_wall(times, name) != from_wall(times, name, later=True)).mean() > 0.9), None
    )
