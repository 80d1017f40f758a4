"""Gathering: the rows on one grid. Since when, at which frequency, in which steps."""

from __future__ import annotations

import numpy as np

from lstmcast.data import regrid, styles
from lstmcast.data.calendar import Frequency, from_wall
from lstmcast.data.clock import Clock
from lstmcast.data.counting import Counting, Places, through
from lstmcast.data.findings import RefusedError, refuse
from lstmcast.data.grid import nearest_usual, on_grid
from lstmcast.data.journey import Journey
from lstmcast.data.rows import Rows
from lstmcast.data.spacing import infer
from lstmcast.errors import UsageError


def gathered(rows: Rows, clock: Clock, journey: Journey) -> tuple[Rows, Places, Frequency]:
    """The rows on one grid (or a finding why not), the row each input row went into, and the frequency."""
    asked = journey.stored or journey.settings
    group: Places = Counting(len(rows.times))
    if asked.since is not None:
        rows, group, found = regrid.since(rows, _moment(asked.since, clock))
        journey.findings += found
        if not len(rows.times):
            raise refuse("no-rows", f"no row is left after --since {asked.since}", fix="give an earlier time")
    if asked.resample is not None:
        frequency = _as_asked("--resample", asked.resample, clock)
        rows, merged, found = regrid.bucketed(
            rows, frequency, clock, agg=asked.agg, drop_incomplete=asked.drop_incomplete
        )
        journey.findings += found
        return rows, through(group, merged), frequency
    asked_for = journey.stored is not None or journey.settings.freq is not None
    frequency = _frequency(rows, clock, journey)
    found = []
    if not asked_for and (usual := nearest_usual(rows, frequency)):
        near = Frequency.from_alias(usual, tz=frequency.tz)
        rows, found = regrid.steadied(rows, near, clock)
        frequency = near if found else frequency
    if not found:
        rows, found = regrid.steadied(rows, frequency, clock)
    journey.findings += found
    if clock.kind == "datetime" and not asked_for:
        journey.say(f"frequency: {frequency.name} (--freq)")
    rows, found = on_grid(rows, frequency, clock, snap=asked.duplicates != "error")
    change = None if asked_for else regrid.step_change(rows, clock)
    journey.findings += [change] if change else found
    return rows, group, frequency


def _frequency(rows: Rows, clock: Clock, journey: Journey) -> Frequency:
    if journey.stored:
        return journey.stored.frequency
    integer = clock.kind != "datetime"
    if journey.settings.freq is not None:
        return _as_asked("--freq", journey.settings.freq, clock)
    found = infer(rows.times, rows.following, integer=integer, tz=clock.tz)
    if found is None:
        if integer:
            return Frequency(kind="integer")
        raise refuse(
            "no-frequency",
            "no series has two times, so their distance is unknown",
            fix="--freq D  # or the distance these rows have",
        )
    return found


def _as_asked(flag: str, alias: str, clock: Clock) -> Frequency:
    integer = clock.kind != "datetime"
    frequency = Frequency.from_alias(alias, tz=None if integer else clock.tz, flag=flag)
    if (frequency.kind == "integer") != integer:
        kind = "whole numbers" if integer else "dates"
        raise UsageError(
            f"{flag} {alias} does not fit: times are {kind}",
            remedy=f"give {flag} a whole number" if integer else f"give {flag} an alias such as h, D or MS",
        )
    return frequency


def _moment(text: str, clock: Clock) -> int:
    """The time a person wrote, in the style of the file or as an ISO date. Raises ``UsageError`` for anything else."""
    try:
        return int(clock.parse([text])[0])
    except RefusedError as error:
        if clock.kind == "datetime" and (style := styles.recognise(text.strip(), day_first=False)):
            times, fits = styles.read(np.array([text.strip()], dtype=object), style)
            if fits.all():
                return int((times if styles.is_zoned(style) else from_wall(times, clock.tz))[0])
        raise UsageError(
            f"--since {text!r} is no time of this file", remedy="write it as in the file, or like 2024-01-31"
        ) from error
