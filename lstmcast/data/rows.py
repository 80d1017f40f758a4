"""Rows: the file's rows as arrays, brought into order. What is not on the grid or there twice is found here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast.data.calendar import DAY, HOUR, MINUTE, SECOND, ZONES, Frequency, Times, from_wall
from lstmcast.data.clock import Clock
from lstmcast.data.findings import Finding

_USUAL = (
    *(n * SECOND for n in (1, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * HOUR for n in (1, 2, 3, 4, 6, 8, 12, 24)),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """r rows, in order of series and time once sorted.

    ``codes`` int64 (r,) series; ``times`` int64 (r,); ``targets`` float64 (r, D) and ``covariates`` float32 (r, K) with
    NaN where missing; ``lines`` int64 (r,) of the file; ``origin`` int64 (r,) place in the file.
    """

    ids: tuple[str, ...]
    codes: Times
    times: Times
    targets: NDArray[np.float64]
    covariates: NDArray[np.float32]
    lines: Times
    origin: Times

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Rows:
        """The rows at these places."""
        return replace(
            self,
            codes=self.codes[rows],
            times=self.times[rows],
            targets=self.targets[rows],
            covariates=self.covariates[rows],
            lines=self.lines[rows],
            origin=self.origin[rows],
        )

    def following(self) -> NDArray[np.bool_]:
        """bool (r,) False on the first row of each series."""
        return np.asarray(np.diff(self.codes, prepend=-1) == 0)

    def opening(self) -> Times:
        """int64 (r,) time of the first row of the series of each row."""
        first = np.flatnonzero(~self.following())
        return self.times[first].repeat(np.diff(first, append=len(self.times)))


def in_order(rows: Rows, clock: Clock) -> tuple[Rows, list[Finding]]:
    """The rows by series and time; a finding if a series ran backwards anywhere."""
    by_series = np.argsort(rows.codes, kind="stable") if (np.diff(rows.codes) < 0).any() else None
    grouped = rows if by_series is None else rows.take(by_series)
    back = np.flatnonzero(grouped.following()[1:] & (np.diff(grouped.times) < 0)) + 1
    if not back.size:
        return grouped, []
    first = int(back[np.argmin(grouped.lines[back])])
    finding = Finding(
        "unsorted",
        "info",
        f"rows are not in order of time ({back.size} step{'s' if back.size > 1 else ''} back); they were sorted",
        unique_id=rows.ids[grouped.codes[first]],
        first_ds=clock.format(grouped.times[first : first + 1])[0],
        count=int(back.size),
        example_line=int(grouped.lines[first]),
    )
    return rows.take(np.lexsort((rows.times, rows.codes))), [finding]


def merge_doubled(
    rows: Rows,
    clock: Clock,
    *,
    how: str,
    repeated: Callable[[], NDArray[np.bool_]],
    separating: Callable[[], tuple[str, str] | None],
    later: NDArray[np.bool_] | None = None,
) -> tuple[Rows, Times, list[Finding]]:
    """One row per series and time, and int64 (r,) which of them each row went into.

    ``repeated`` gives bool by place in the file: rows that equal an earlier one in every column; ``separating`` the
    column that would tell rows of the same time apart and how to use it. Rows that differ are merged by ``how``, or
    are an error; but those of ``later`` (bool by place in the file) may fill in what the row before them lacks.
    """
    same = np.r_[False, rows.following()[1:] & (np.diff(rows.times) == 0)]
    if not same.any():
        return rows, np.arange(len(same)), []
    findings = []
    copies = same & repeated()[rows.origin]
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


def on_grid(rows: Rows, frequency: Frequency, clock: Clock, *, snap: bool) -> tuple[Rows, list[Finding]]:
    """The rows, and a finding if some are not whole steps from the first of their series.

    With ``snap`` they go back to the step they lie in; else the finding is an error.
    """
    opening = rows.opening()
    steps, fits = frequency.locate(opening, rows.times)
    if fits.all():
        return rows, []
    off = np.flatnonzero(~fits)
    first = int(off[np.argmin(rows.lines[off])])
    text = clock.format(rows.times[first : first + 1])[0]
    between = rows.following()
    agreement = frequency.locate(rows.times[:-1], rows.times[1:])[1][between[1:]].mean()
    where = f"{rows.ids[rows.codes[first]]} at {text}"
    found = Finding(
        "snapped",
        "warning",
        f"{off.size} rows between two steps of {frequency.name} were put back to the step they lie in ({where})",
        unique_id=rows.ids[rows.codes[first]],
        first_ds=text,
        count=int(off.size),
        example_line=int(rows.lines[first]),
    )
    if snap:
        if frequency.kind in {"integer", "fixed"}:  # a little too early is jitter, not the step before
            steps = steps + ((rows.times - frequency.advance(opening, steps)) * 10 >= frequency.step * 9)
        return replace(rows, times=frequency.advance(opening, steps)), [found]
    message = (
        f"most steps are {frequency.name} and {np.floor(1000 * agreement) / 10:.1f} % of them agree, "
        f"but {off.size} of {len(fits)} rows are not on that grid, the first on line {rows.lines[first]} ({where})"
    )
    fix = f"--resample {frequency.name} --agg mean  # {_filled(rows, frequency)}"
    if nearest := nearest_usual(rows, frequency):
        fix = f"--resample {nearest} --agg mean  # {_filled(rows, Frequency.from_alias(nearest, tz=frequency.tz))}"
    elif agreement < 0.5 and frequency.kind == "fixed":
        gathering = _gathering(rows, frequency)
        fix = f"--resample {gathering.name} --agg mean  # {_filled(rows, gathering)}"
    elif finer := _finer(rows, frequency):
        name, filled = finer
        fix = f"{fix}; --freq {name} keeps every row and fills {100 * filled:.0f} % of the grid"
    return rows, [replace(found, code="off-grid", severity="error", message=message, fix=fix)]


def _gathering(rows: Rows, frequency: Frequency) -> Frequency:
    """The shortest step people would name, not below the usual distance, of which nine in ten hold a row."""
    usual = float(np.median(np.diff(rows.times)[rows.following()[1:]]))
    steps = [Frequency(kind="fixed", step=length, tz=frequency.tz) for length in _USUAL if length >= usual]
    return next((step for step in steps if _share(rows, step) >= 0.9), (steps or [frequency])[-1])


def _filled(rows: Rows, frequency: Frequency) -> str:
    return f"a step of {frequency.name} holds a row in {100 * _share(rows, frequency):.0f} % of cases"


def _share(rows: Rows, frequency: Frequency) -> float:
    """The share of the grid that the rows would fill if they were gathered into its steps."""
    opening, fresh = rows.opening(), ~rows.following()
    steps = frequency.locate(opening, rows.times)[0]
    held = int((fresh | (np.diff(steps, prepend=0) != 0)).sum())
    span = int((steps[np.r_[fresh[1:], True]] + 1).sum())
    return min(1.0, held / max(span, 1))


def nearest_usual(rows: Rows, frequency: Frequency) -> str | None:
    """The step people would name where the most common one is only near it: an hour for 3601 s, a month for 31 days."""
    if frequency.kind == "days" and 28 <= frequency.step <= 31:
        days = (rows.times // DAY).astype("datetime64[D]")
        months = days.astype("datetime64[M]").astype(np.int64)
        late = (days - days.astype("datetime64[M]")).astype(np.int64).mean() > 15
        return ("ME" if late else "MS") if (np.diff(months)[rows.following()[1:]] > 0).all() else None
    if frequency.kind != "fixed":
        return None
    usual = min(_USUAL, key=lambda length: abs(length - frequency.step))
    off = abs(usual - frequency.step)
    return Frequency(kind="fixed", step=usual).name if 0 < off * 10 < usual else None


def _finer(rows: Rows, frequency: Frequency) -> tuple[str, float] | None:
    """A finer grid that holds every row, and the share of it that the rows fill; None below a tenth."""
    steps = np.diff(rows.times)[rows.following()[1:]]
    if frequency.kind == "months" or not steps.size:
        return None
    common = gcd(*np.unique(steps).tolist())
    if common < 1:
        return None
    filled = len(rows.times) * common / max(int(steps.sum()), 1)
    if frequency.kind == "integer":
        name: str | None = str(common)
    elif frequency.tz is None and common % DAY == 0:
        name = Frequency(kind="days", step=common // DAY).name
    else:
        name = Frequency(kind="fixed", step=common).name if _is_usual(common) else None
    return (name, filled) if name and filled >= 0.1 else None


def _is_usual(length: int) -> bool:
    return any(length % unit == 0 for unit in (HOUR, MINUTE, SECOND))
