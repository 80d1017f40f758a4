"""Grid: whether rows are whole steps from each other, and what to advise where they are not."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np

from lstmcast.data.calendar import DAY, HOUR, MINUTE, SECOND, Frequency
from lstmcast.data.clock import Clock
from lstmcast.data.findings import Finding
from lstmcast.data.rows import Rows

_USUAL = (
    *(n * SECOND for n in (1, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * HOUR for n in (1, 2, 3, 4, 6, 8, 12, 24)),
)


def on_grid(rows: Rows, frequency: Frequency, clock: Clock, *, snap: bool) -> tuple[Rows, list[Finding]]:
    """The rows, and a finding if some are not whole steps from the first of their series.

    With ``snap`` they go back to the step they lie in; else the finding is an error.
    """
    if rows.on_grid(frequency):
        return rows, []
    opening = rows.opening()
    steps, fits = frequency.locate(opening, rows.times)
    off = np.flatnonzero(~fits)
    first = int(off[np.argmin(rows.lines[off])])
    text = clock.format(rows.times[first : first + 1])[0]
    between = rows.following
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
    usual = float(np.median(np.diff(rows.times)[rows.following[1:]]))
    steps = [Frequency(kind="fixed", step=length, tz=frequency.tz) for length in _USUAL if length >= usual]
    return next((step for step in steps if _share(rows, step) >= 0.9), (steps or [frequency])[-1])


def _filled(rows: Rows, frequency: Frequency) -> str:
    return f"a step of {frequency.name} holds a row in {100 * _share(rows, frequency):.0f} % of cases"


def _share(rows: Rows, frequency: Frequency) -> float:
    """The share of the grid that the rows would fill if they were gathered into its steps."""
    steps, fresh = rows.steps(frequency), ~rows.following
    held = int((fresh | (np.diff(steps, prepend=0) != 0)).sum())
    span = int((steps[np.r_[fresh[1:], True]] + 1).sum())
    return min(1.0, held / max(span, 1))


def nearest_usual(rows: Rows, frequency: Frequency) -> str | None:
    """The step people would name where the most common one is only near it: an hour for 3601 s, a month for 31 days."""
    if frequency.kind == "days" and 28 <= frequency.step <= 31:
        days = (rows.times // DAY).astype("datetime64[D]")
        months = days.astype("datetime64[M]").astype(np.int64)
        late = (days - days.astype("datetime64[M]")).astype(np.int64).mean() > 15
        return ("ME" if late else "MS") if (np.diff(months)[rows.following[1:]] > 0).all() else None
    if frequency.kind != "fixed":
        return None
    usual = min(_USUAL, key=lambda length: abs(length - frequency.step))
    off = abs(usual - frequency.step)
    return Frequency(kind="fixed", step=usual).name if 0 < off * 10 < usual else None


def _finer(rows: Rows, frequency: Frequency) -> tuple[str, float] | None:
    """A finer grid that holds every row, and the share of it that the rows fill; None below a tenth."""
    steps = np.diff(rows.times)[rows.following[1:]]
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
