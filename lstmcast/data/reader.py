"""Reader: from the files a person has to a Panel. Every inference is announced and kept in the Schema.

``examine`` collects findings; ``read`` is the same but raises the first that is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstmcast.config import ReaderSettings
from lstmcast.data import arrays, columns, gaps, survey
from lstmcast.data.aggregates import with_sums
from lstmcast.data.asked import refuse_wrong
from lstmcast.data.calendar import Frequency, Times
from lstmcast.data.calendar_features import add_calendar
from lstmcast.data.clock import Clock
from lstmcast.data.columns import Roles
from lstmcast.data.counting import Counting, Places, through
from lstmcast.data.dialect import Dialect
from lstmcast.data.doubled import merge_doubled
from lstmcast.data.findings import Finding, RefusedError
from lstmcast.data.gathering import gathered
from lstmcast.data.journey import Journey, StopError
from lstmcast.data.ledger import compared, ledger
from lstmcast.data.lineage import lineage, moved
from lstmcast.data.oddities import oddities
from lstmcast.data.panel import Panel, build
from lstmcast.data.rows import Rows, in_order
from lstmcast.data.schema import Schema, refuse_contradictions
from lstmcast.data.statics import by_name, statics
from lstmcast.data.table import Table, read_table
from lstmcast.outcome import Notice, OnProgress, silent


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and how.

    ``fingerprint`` is the sha256 of the bytes read, ``rows`` the number of input rows. The arrays int64 (rows,), of a
    wide file (rows · targets,) row by row, say of each input row, in the order of the file: ``panel_row`` its flat
    panel row (``placed``, as an array), -1 where it was left out; ``input_series`` (int32 or int64) its place in
    ``input_ids``; ``input_time``.
    """

    panel: Panel
    findings: tuple[Finding, ...]
    fingerprint: str
    rows: int
    placed: Places
    input_ids: tuple[str, ...]
    input_series: Times
    input_time: Times

    @property
    def panel_row(self) -> Times:
        return np.asarray(self.placed)


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
    refuse_wrong(settings)
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


def _panel(sources: Sequence[str], journey: Journey) -> tuple[Panel, Places, tuple[str, ...], Times, Times]:
    """The panel, and ``panel_row``, ``input_ids``, ``input_series`` and ``input_time`` of a ``Reading``."""
    table = read_table(sources, journey)
    roles = table.roles
    ids, codes = arrays.series(table, journey)
    targets, covariates = arrays.values(table, journey)
    told = statics(table.frame, roles, table.dialect, codes, table.lines, journey, count=len(ids))
    dialect = arrays.percent(table.dialect, table.lines, journey)
    clock = arrays.clock(table, journey)
    times = arrays.times(table, clock, codes)
    journey.stop_on_errors()
    read_as = Rows(ids, codes, times, targets, covariates, table.lines, Counting(len(codes)))
    ordered, found = in_order(read_as, clock)
    journey.findings += found
    rows, group, frequency = gathered(ordered, clock, journey)
    schema = journey.schema = journey.stored or _schema(roles, dialect, clock, frequency, journey)
    if schema.parent:
        parents = lineage(table.frame, schema.parent, ids=ids, codes=codes, lines=table.lines)
        journey.findings += moved(parents, journey.stored) if journey.stored else []
        schema = journey.schema = schema.model_copy(update={"parents": parents})
    journey.stop_on_errors()
    kept, merged, found = merge_doubled(
        rows,
        clock,
        how=schema.duplicates,
        repeated=lambda places: table.frame.iloc[places].duplicated().to_numpy(),
        separating=lambda: columns.separating(table.frame, roles),
        later=table.later,
    )
    journey.findings += found
    journey.stop_on_errors()
    if schema.parent:
        kept, schema, found = with_sums(kept, schema)
        journey.schema = schema
        journey.findings += found
    panel, place = _laid(arrays.unpivoted(kept, roles) if schema.wide else kept, schema, journey)
    _tell_ahead(table, schema, journey)
    if roles.static:
        panel = replace(panel, static=by_name(told, ids, panel.ids))
    panel = add_calendar(panel, journey)
    width = len(roles.targets) if schema.wide else 1
    place = _by_input_row(place, ordered, through(group, merged), width=width)
    if schema.wide:
        return panel, place, roles.targets, np.tile(np.arange(width), len(times)), times.repeat(width)
    return panel, place, ids, codes, times


def _tell_ahead(table: Table, schema: Schema, journey: Journey) -> None:
    """What is missing in rows of the future among the data is told as such, where these are rows of the file."""
    ahead = sum(finding.count for finding in journey.findings if finding.code == "future-block")
    if table.missing and ahead and table.later is None and schema.resample is None:
        told = table.missing(ahead if schema.wide else ahead * len(schema.targets))
        journey.findings = [told if finding.code == told.code else finding for finding in journey.findings]


def _laid(rows: Rows, schema: Schema, journey: Journey) -> tuple[Panel, Places]:
    """The panel of sorted, distinct rows on their grid, and the flat panel row of each, -1 where left out."""
    valued, places, found = survey.with_values(rows)
    journey.findings += found
    journey.stop_on_errors()
    journey.findings += gaps.gaps(valued, schema)
    journey.findings += gaps.sparse(valued, schema)
    journey.stop_on_errors()
    even = valued.is_even(schema.frequency)
    panel, place = build(
        valued.ids,
        valued.codes,
        valued.times,
        targets=valued.targets,
        covariates=valued.covariates,
        schema=schema,
        steps=None if even else valued.steps(schema.frequency),
        even=even,
    )
    journey.findings += survey.trailing(valued, panel, place)
    told = survey.series(valued, schema)
    journey.findings += [finding for finding in told if not (schema.classes and finding.code == "intermittent")]
    journey.findings += survey.ends(panel, journey.settings.stale_after or schema.stale_after)
    if journey.stored:
        journey.findings += compared(valued, schema)
    elif not schema.classes:  # whose numbers are names: nothing in them is large, rare or restated
        journey.findings += survey.incomplete_last(valued, schema)
        journey.findings += oddities(valued, schema)
        panel = replace(panel, schema=schema.model_copy(update={"ledger": ledger(valued, schema)}))
    if len(places) == len(rows.codes):
        return panel, place
    everywhere = np.full(len(rows.codes), -1)
    everywhere[places] = place
    return panel, everywhere


def _by_input_row(place: Places, rows: Rows, group: Places, *, width: int) -> Places:
    """Flat panel row of every input row (of every target of every input row, if wide), in the order of the file."""
    if width == 1 and isinstance(rows.origin, Counting):
        return through(group, place)
    at = np.asarray(group)
    by_target = np.where(at < 0, -1, np.asarray(place).reshape(width, -1)[:, at])
    result = np.empty((len(at), width), np.int64)
    result[np.asarray(rows.origin)] = by_target.T
    return result.ravel()


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
