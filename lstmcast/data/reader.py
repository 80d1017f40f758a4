"""Reader: from the files a person has to a Panel. Every inference is announced and kept in the Schema.

``examine`` collects findings; ``read`` is the same but raises the first that is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import columns, regrid, styles, survey
from lstmcast.data.aggregates import with_sums
from lstmcast.data.calendar import Frequency, Times, from_wall, infer
from lstmcast.data.calendar_features import add_calendar
from lstmcast.data.categories import categories_of, coded
from lstmcast.data.clock import Clock
from lstmcast.data.clock_inference import infer_clock
from lstmcast.data.columns import Roles
from lstmcast.data.dialect import Dialect
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.journey import Journey, StopError
from lstmcast.data.ledger import compared, ledger
from lstmcast.data.lineage import lineage, moved
from lstmcast.data.numbers import to_floats
from lstmcast.data.oddities import oddities
from lstmcast.data.panel import Panel, build
from lstmcast.data.rows import Rows, in_order, merge_doubled, nearest_usual, on_grid
from lstmcast.data.schema import Schema, refuse_contradictions
from lstmcast.data.sources import Source, open_sources
from lstmcast.data.statics import by_name, statics
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
    later = origin == len(opened) - 1 if journey.future else None
    if journey.future and roles.id is None and len(opened) == 2:
        origin = np.zeros_like(origin)  # the future rows of the only series
        opened = opened[:1]
    ids, codes = _series(frame, roles, opened, origin, lines, journey)
    targets, covariates = _values(frame, roles, table.dialect, lines, journey)
    told = statics(frame, roles, table.dialect, codes, lines, journey, count=len(ids))
    dialect = _percent(table.dialect, lines, journey)
    clock = journey.stored.clock if journey.stored else _clock(frame, roles, lines, journey)
    times = _times(frame, roles, clock, codes, lines)
    journey.stop_on_errors()
    ordered, found = in_order(Rows(ids, codes, times, targets, covariates, lines, np.arange(len(frame))), clock)
    journey.findings += found
    rows, group, frequency = _gathered(ordered, clock, journey)
    schema = journey.schema = journey.stored or _schema(roles, dialect, clock, frequency, journey)
    if schema.parent:
        parents = lineage(frame, schema.parent, ids=ids, codes=codes, lines=lines)
        journey.findings += moved(parents, journey.stored) if journey.stored else []
        schema = journey.schema = schema.model_copy(update={"parents": parents})
    journey.stop_on_errors()
    kept, merged, found = merge_doubled(
        rows,
        clock,
        how=schema.duplicates,
        repeated=lambda: frame.duplicated().to_numpy(),
        separating=lambda: columns.separating(frame, roles),
        later=later,
    )
    journey.findings += found
    journey.stop_on_errors()
    group = np.where(group < 0, -1, merged[group])
    if schema.parent:
        kept, additive, found = with_sums(kept, schema)
        journey.findings += found
        schema = journey.schema = schema if journey.stored else schema.model_copy(update={"additive": additive})
    panel, place = _laid(_unpivoted(kept, roles) if schema.wide else kept, schema, journey)
    if roles.static:
        panel = replace(panel, static=by_name(told, ids, panel.ids))
    panel = add_calendar(panel, journey)
    width = len(roles.targets) if schema.wide else 1
    if schema.wide:
        ids, codes = roles.targets, np.tile(np.arange(width), len(times))
    return panel, _by_input_row(place, ordered, group, width=width), ids, codes, times.repeat(width)


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
    journey.findings += survey.ends(panel, journey.settings.stale_after or schema.stale_after)
    if journey.stored:
        journey.findings += compared(valued, schema)
    else:
        journey.findings += survey.incomplete_last(valued, schema)
        journey.findings += oddities(valued, schema)
        panel = replace(panel, schema=schema.model_copy(update={"ledger": ledger(valued, schema)}))
    everywhere = np.full(len(rows.codes), -1)
    everywhere[places] = place
    return panel, everywhere


def _gathered(rows: Rows, clock: Clock, journey: Journey) -> tuple[Rows, Times, Frequency]:
    """The rows on one grid (or a finding why not), the row each input row went into, and the frequency."""
    asked = journey.stored or journey.settings
    group = np.arange(len(rows.times))
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
        return rows, np.where(group < 0, -1, merged[group]), frequency
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


def _by_input_row(place: Times, rows: Rows, group: Times, *, width: int) -> Times:
    """Flat panel row of every input row (of every target of every input row, if wide), in the order of the file."""
    by_target = np.where(group < 0, -1, place.reshape(width, -1)[:, group])
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


def _percent(dialect: Dialect, lines: Times, journey: Journey) -> Dialect:
    """The dialect with the columns that are written in per cent; an error where that is not as it was."""
    now = tuple(finding.column for finding in journey.findings if finding.code == "percent" and finding.column)
    if journey.stored is None:
        return dialect.model_copy(update={"percent": now})
    for name in sorted(set(now) ^ set(dialect.percent)):
        changed = "is written in per cent and was not" if name in now else "is not written in per cent any more"
        text = f"column {name!r} {changed} when the model was trained"
        fix = "write it as it was, or train a new model"
        journey.findings.append(Finding("other-units", "error", text, column=name, example_line=int(lines[0]), fix=fix))
    return dialect


def _values(
    frame: pd.DataFrame, roles: Roles, dialect: Dialect, lines: Times, journey: Journey
) -> tuple[np.ndarray, np.ndarray]:
    read_columns = {}
    named = {*(journey.settings.past or ()), *journey.settings.future}
    for name in (*roles.targets, *roles.past, *roles.future):
        if journey.stored:
            words = journey.stored.categories.get(name, ())
        else:
            words = categories_of(frame[name], dialect) if name in named else ()
            journey.categories |= {name: words} if words else {}
        if words:
            kept = journey.stored is not None
            read_columns[name], found = coded(frame[name], words, dialect, name=name, lines=lines, known=kept)
        else:
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
    integer = clock.kind != "datetime"
    if journey.settings.freq is not None:
        return _as_asked("--freq", journey.settings.freq, clock)
    found = infer(rows.times, rows.following(), integer=integer, tz=clock.tz)
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
    frequency = Frequency.from_alias(alias, tz=None if integer else clock.tz)
    if (frequency.kind == "integer") != integer:
        kind = "whole numbers" if integer else "dates"
        raise UsageError(
            f"{flag} {alias} does not fit: times are {kind}",
            remedy=f"give {flag} a whole number" if integer else f"give {flag} an alias such as h, D or MS",
        )
    return frequency


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
        static=roles.static,
        dialect=dialect,
        clock=clock,
        frequency=frequency,
        gaps=settings.gaps,
        max_gap=max_gap,
        duplicates=settings.duplicates,
        short=settings.short,
        resample=settings.resample and frequency.name,
        agg=settings.agg,
        drop_incomplete=settings.drop_incomplete,
        since=settings.since,
        stale_after=settings.stale_after,
        future_fill=settings.future_fill,
        categories=journey.categories,
        parent=settings.parent,
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
