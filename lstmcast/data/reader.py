"""Reader: from the files a person has to a Panel. Every inference is announced and kept in the Schema.

``examine`` collects findings; ``read`` is the same but raises the first that is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import columns, survey
from lstmcast.data.calendar import Frequency, Times, infer
from lstmcast.data.clock import Clock
from lstmcast.data.clock_inference import infer_clock
from lstmcast.data.columns import Roles
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.journey import Journey, StopError
from lstmcast.data.numbers import to_floats
from lstmcast.data.panel import Panel, build
from lstmcast.data.rows import Rows, in_order, merge_doubled, on_grid
from lstmcast.data.schema import Schema, refuse_contradictions
from lstmcast.data.sources import Source, open_sources
from lstmcast.data.table import read_table
from lstmcast.errors import UsageError
from lstmcast.outcome import Notice, OnProgress, silent


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and how.

    ``fingerprint`` is the sha256 of the bytes read, ``rows`` the number of input rows. The arrays int64 (rows,), of a
    wide file (rows · targets,) row by row, say of each input row, in the order of the file: ``panel_row`` its flat
    panel row, -1 where it was left out; ``input_series`` its place in ``input_ids``; ``input_time``.
    """

    panel: Panel
    findings: tuple[Finding, ...]
    fingerprint: str
    rows: int
    panel_row: Times
    input_ids: tuple[str, ...]
    input_series: Times
    input_time: Times


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of looking at data that may not be usable.

    ``reading`` is None where a finding of severity error stood in the way, ``schema`` where it did so before every
    reading decision was made. The others as in ``Reading``.
    """

    reading: Reading | None
    findings: tuple[Finding, ...]
    fingerprint: str
    rows: int
    schema: Schema | None

    @property
    def panel(self) -> Panel | None:
        return self.reading.panel if self.reading else None


def read(
    sources: Sequence[str],
    settings: ReaderSettings,
    *,
    schema: Schema | None = None,
    future: str | None = None,
    on_progress: OnProgress = silent,
) -> Reading:
    """Like ``examine``, but the panel is there: raises ``DataError`` for the first finding of severity error.

    Warnings and other findings go to ``on_progress``.
    """
    examined = examine(sources, settings, schema=schema, future=future, on_progress=on_progress)
    for finding in examined.findings:
        if finding.severity != "error":
            on_progress(Notice(finding.message, level="warning" if finding.severity == "warning" else "info"))
    if examined.reading is None:
        raise RefusedError(next(finding for finding in examined.findings if finding.severity == "error"))
    return examined.reading


def examine(
    sources: Sequence[str],
    settings: ReaderSettings,
    *,
    schema: Schema | None = None,
    future: str | None = None,
    on_progress: OnProgress = silent,
) -> Examination:
    """Read ``sources`` (paths, globs, URLs, ``-``), infer what ``settings`` leave open, and collect what was found.

    With a stored ``schema`` nothing is inferred. ``future`` is a file of rows that continue those series: covariates
    known ahead, targets empty. Raises ``UsageError`` for settings that contradict each other or the
    schema; data that cannot be used end up as findings of severity error.
    """
    if schema is not None:
        refuse_contradictions(settings, schema)
    journey = Journey(settings, schema, on_progress, future=future)
    reading = None
    try:
        panel, place, ids, series, times = _panel(sources, journey)
        if not any(finding.severity == "error" for finding in journey.findings):
            found = tuple(journey.findings)
            reading = Reading(panel, found, journey.fingerprint, journey.rows, place, ids, series, times)
    except RefusedError as error:
        journey.findings.append(error.finding)
    except StopError:
        pass
    return Examination(reading, tuple(journey.findings), journey.fingerprint, journey.rows, journey.schema)


def _panel(sources: Sequence[str], journey: Journey) -> tuple[Panel, Times, tuple[str, ...], Times, Times]:
    """The panel, and ``panel_row``, ``input_ids``, ``input_series`` and ``input_time`` of a ``Reading``."""
    opened, journey.fingerprint = open_sources(
        [*sources, *([journey.future] if journey.future else [])],
        query=journey.settings.query,
        parameters=journey.settings.query_param,
    )
    table = read_table(opened, journey)
    frame, lines, origin, roles = table.frame, table.lines, table.origin, table.roles
    if journey.future and roles.id is None and len(opened) == 2:
        origin = np.zeros_like(origin)  # the future rows of the only series
        opened = opened[:1]
    ids, codes = _series(frame, roles, opened, origin, lines, journey)
    targets, covariates = _values(frame, roles, table.dialect, lines, journey)
    clock = journey.stored.clock if journey.stored else _clock(frame, roles, lines, journey)
    times = _times(frame, roles, clock, codes, lines)
    journey.stop_on_errors()
    rows, found = in_order(Rows(ids, codes, times, targets, covariates, lines, np.arange(len(frame))), clock)
    journey.findings += found
    frequency = _frequency(rows, clock, journey)
    schema = journey.schema = journey.stored or _schema(roles, table.dialect, clock, frequency, journey)
    rows, found = on_grid(rows, frequency, clock, snap=schema.duplicates != "error")
    journey.findings += found
    kept, group, found = merge_doubled(
        rows,
        clock,
        how=schema.duplicates,
        repeated=lambda: frame.duplicated().to_numpy(),
        separating=lambda: columns.separating(frame, roles),
    )
    journey.findings += found
    journey.stop_on_errors()
    panel, place = _laid(_unpivoted(kept, roles) if schema.wide else kept, schema, journey)
    width = len(roles.targets) if schema.wide else 1
    if schema.wide:
        ids, codes = roles.targets, np.tile(np.arange(width), len(times))
    return panel, _by_input_row(place, rows, group, width=width), ids, codes, times.repeat(width)


def _laid(rows: Rows, schema: Schema, journey: Journey) -> tuple[Panel, Times]:
    """The panel of sorted, distinct rows on their grid, and the flat panel row of each, -1 where left out."""
    valued, places, found = survey.with_values(rows)
    journey.findings += found
    journey.stop_on_errors()
    journey.findings += survey.gaps(valued, schema)
    journey.findings += survey.sparse(valued, schema)
    journey.stop_on_errors()
    panel, place = build(
        valued.ids, valued.codes, valued.times, targets=valued.targets, covariates=valued.covariates, schema=schema
    )
    journey.findings += survey.trailing(valued, panel, place)
    journey.findings += survey.series(valued, schema)
    everywhere = np.full(len(rows.codes), -1)
    everywhere[places] = place
    return panel, everywhere


def _by_input_row(place: Times, rows: Rows, group: Times, *, width: int) -> Times:
    """Flat panel row of every input row (of every target of every input row, if wide), in the order of the file."""
    by_target = place.reshape(width, -1)[:, group]
    result = np.empty((len(group), width), np.int64)
    result[rows.origin] = by_target.T
    return result.ravel()


def _series(
    frame: pd.DataFrame, roles: Roles, opened: list[Source], origin: Times, lines: Times, journey: Journey
) -> tuple[tuple[str, ...], Times]:
    """The ids in order of first appearance and the series of each row."""
    if roles.id is not None:
        codes, spelled = pd.factorize(frame[roles.id].astype(object))
        merged, names = pd.factorize(np.array([str(name).strip() for name in spelled], dtype=object))
        codes = np.where(codes < 0, -1, merged[codes]) if len(merged) else codes
        if padded := sum(str(name) != str(name).strip() for name in spelled):
            journey.say(f"spaces around {padded} name{'s' if padded > 1 else ''} of series are left out")
        empty = np.flatnonzero((codes < 0) | np.isin(codes, np.flatnonzero(names == "")))
        if empty.size:
            line = int(lines[empty[0]])
            raise refuse(
                "missing-id",
                f"column {roles.id!r} line {line}: the name of the series is missing ({empty.size} in all)",
                fix="fill it in, or name another column with --id-col",
                column=roles.id,
                line=line,
            )
        return tuple(str(name) for name in names), codes.astype(np.int64)
    if roles.wide or len(opened) == 1:
        return (opened[0].stem,), np.zeros(len(frame), np.int64)
    return tuple(source.stem for source in opened), origin.astype(np.int64)


def _values(
    frame: pd.DataFrame, roles: Roles, dialect: Dialect, lines: Times, journey: Journey
) -> tuple[np.ndarray, np.ndarray]:
    read_columns = {}
    for name in (*roles.targets, *roles.past, *roles.future):
        read_columns[name], found = to_floats(frame[name], dialect, name=name, lines=lines)
        journey.findings += found
    empty = np.zeros((len(frame), 0))
    targets = np.stack([read_columns[name] for name in roles.targets], axis=1)
    known = [read_columns[name] for name in (*roles.past, *roles.future)]
    with np.errstate(over="ignore"):
        covariates = (np.stack(known, axis=1) if known else empty).astype(np.float32)
    return targets, covariates


def _clock(frame: pd.DataFrame, roles: Roles, lines: Times, journey: Journey) -> Clock:
    if roles.time is None:
        return Clock(kind="row")
    texts = frame[roles.time].dropna().astype(object).unique()
    if not len(texts):
        raise refuse(
            "missing-time", f"column {roles.time!r} is empty", fix="name the time with --time-col", column=roles.time
        )
    clock, notes = infer_clock(texts, column=roles.time, settings=journey.settings, lines=lines)
    journey.say(*notes)
    return clock


def _times(frame: pd.DataFrame, roles: Roles, clock: Clock, codes: Times, lines: Times) -> Times:
    if clock.kind == "row":
        return np.asarray(pd.Series(codes).groupby(codes).cumcount().to_numpy(np.int64) + 1)
    return clock.parse(frame[roles.time].to_numpy(object), groups=codes, lines=lines, column=str(roles.time))


def _frequency(rows: Rows, clock: Clock, journey: Journey) -> Frequency:
    if journey.stored:
        return journey.stored.frequency
    asked = journey.settings.freq
    integer = clock.kind != "datetime"
    if asked is not None:
        frequency = Frequency.from_alias(asked, tz=None if integer else clock.tz)
        if (frequency.kind == "integer") != integer:
            kind = "whole numbers" if integer else "dates"
            raise UsageError(
                f"--freq {asked} does not fit: times are {kind}",
                remedy="give --freq a whole number" if integer else "give --freq an alias such as h, D or MS",
            )
        return frequency
    found = infer(rows.times, rows.following(), integer=integer, tz=clock.tz)
    if found is None:
        if integer:
            return Frequency(kind="integer")
        raise refuse(
            "no-frequency",
            "no series has two times, so their distance is unknown",
            fix="--freq D  # or the distance these rows have",
        )
    if clock.kind == "datetime":
        journey.say(f"frequency: {found.name} (--freq)")
    return found


def _schema(roles: Roles, dialect: Dialect, clock: Clock, frequency: Frequency, journey: Journey) -> Schema:
    settings = journey.settings
    max_gap = settings.max_gap
    if max_gap is None:
        max_gap = max(10, *frequency.seasons()[:1]) if frequency.seasons() else 10
    return Schema(
        time_col=roles.time,
        id_col=roles.id,
        targets=roles.targets,
        wide=roles.wide,
        past=roles.past,
        future=roles.future,
        dialect=dialect,
        clock=clock,
        frequency=frequency,
        gaps=settings.gaps,
        max_gap=max_gap,
        duplicates=settings.duplicates,
        short=settings.short,
    )


def _unpivoted(rows: Rows, roles: Roles) -> Rows:
    """Each target column a series of its own."""
    width, count = len(roles.targets), len(rows.times)
    return Rows(
        ids=roles.targets,
        codes=np.repeat(np.arange(width), count),
        times=np.tile(rows.times, width),
        targets=rows.targets.T.reshape(-1, 1),
        covariates=np.tile(rows.covariates, (width, 1)),
        lines=np.tile(rows.lines, width),
        origin=np.tile(rows.origin, width),
    )
