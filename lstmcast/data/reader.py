"""Reader: from the files a person has to a Panel. Every inference is announced and kept in the Schema.

``examine`` collects findings; ``read`` is the same but raises the first that is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from lstmcast.config import ReaderSettings
from lstmcast.data import columns, survey
from lstmcast.data.calendar import Frequency, Times, infer
from lstmcast.data.clock import Clock, infer_clock
from lstmcast.data.columns import Roles
from lstmcast.data.dialect import Dialect, announcements, cells, decode, head, remarked, sniff
from lstmcast.data.findings import Finding, RefusedError, refuse
from lstmcast.data.frame import Body, load, spellings, split_header
from lstmcast.data.numbers import is_number, to_floats
from lstmcast.data.panel import Panel, build
from lstmcast.data.rows import Rows, in_order, merge_doubled, on_grid
from lstmcast.data.schema import Schema, refuse_contradictions
from lstmcast.data.sources import Source, open_sources
from lstmcast.errors import UsageError
from lstmcast.outcome import Notice, OnProgress, silent

Loaded = tuple[pd.DataFrame, Times, list[Finding]]


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


@dataclass(slots=True)
class _Journey:
    """What is known so far while a file is read."""

    settings: ReaderSettings
    stored: Schema | None
    on_progress: OnProgress
    findings: list[Finding] = field(default_factory=list)
    future: str | None = None
    fingerprint: str = ""
    rows: int = 0
    schema: Schema | None = None

    def say(self, *texts: str) -> None:
        for text in texts:
            self.on_progress(Notice(text))

    def stop_on_errors(self) -> None:
        if any(finding.severity == "error" for finding in self.findings):
            raise _StopError


class _StopError(Exception):
    """The findings so far leave nothing to go on with."""


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
    """Read ``sources`` (paths, globs, ``-``), infer what ``settings`` leave open, and collect what was found.

    With a stored ``schema`` nothing is inferred. ``future`` is a file of rows that continue those series: covariates
    known ahead, targets empty. Raises ``UsageError`` for settings that contradict each other or the
    schema; data that cannot be used end up as findings of severity error.
    """
    if schema is not None:
        refuse_contradictions(settings, schema)
    journey = _Journey(settings, schema, on_progress, future=future)
    reading = None
    try:
        panel, place, ids, series, times = _panel(sources, journey)
        if not any(finding.severity == "error" for finding in journey.findings):
            found = tuple(journey.findings)
            reading = Reading(panel, found, journey.fingerprint, journey.rows, place, ids, series, times)
    except RefusedError as error:
        journey.findings.append(error.finding)
    except _StopError:
        pass
    return Examination(reading, tuple(journey.findings), journey.fingerprint, journey.rows, journey.schema)


def _panel(sources: Sequence[str], journey: _Journey) -> tuple[Panel, Times, tuple[str, ...], Times, Times]:
    """The panel, and ``panel_row``, ``input_ids``, ``input_series`` and ``input_time`` of a ``Reading``."""
    opened, journey.fingerprint = open_sources([*sources, *([journey.future] if journey.future else [])])
    frame, lines, origin, dialect, roles = _table(opened, journey)
    if journey.future and roles.id is None and len(opened) == 2:
        origin = np.zeros_like(origin)  # the future rows of the only series
        opened = opened[:1]
    ids, codes = _series(frame, roles, opened, origin, lines, journey)
    targets, covariates = _values(frame, roles, dialect, lines, journey)
    clock = journey.stored.clock if journey.stored else _clock(frame, roles, lines, journey)
    times = _times(frame, roles, clock, codes, lines)
    journey.stop_on_errors()
    rows, found = in_order(Rows(ids, codes, times, targets, covariates, lines, np.arange(len(frame))), clock)
    journey.findings += found
    frequency = _frequency(rows, clock, journey)
    schema = journey.schema = journey.stored or _schema(roles, dialect, clock, frequency, journey)
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


def _laid(rows: Rows, schema: Schema, journey: _Journey) -> tuple[Panel, Times]:
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


def _table(opened: list[Source], journey: _Journey) -> tuple[pd.DataFrame, Times, Times, Dialect, Roles]:
    """All rows of all sources, the line and source of each, how they are written, and the roles of the columns."""
    settings, stored = journey.settings, journey.stored
    dialect, bodies, sample = _bodies(opened, settings, stored, ahead=journey.future is not None)
    if stored:
        found, time = {}, stored.time_col
        texts, ids = {name for name in (stored.time_col,) if name}, {name for name in (stored.id_col,) if name}
    else:
        found = columns.kinds(bodies[0].names, sample)
        time = columns.pick_time(found, settings, stamped=columns.stamped(bodies[0].names, sample))
        texts, ids = columns.as_text(found, time, settings)

    repeating = columns.repeating(bodies[0].names, sample, ids)
    opened[:] = [replace(source, data=b"") for source in opened]  # its text is all that is needed now

    def tables(written: Dialect) -> list[Loaded]:
        return [
            load(body, written, label=source.label, as_text=texts, whole_text=ids, repeating=repeating)
            for source, body in zip(opened, bodies, strict=True)
        ]

    loaded = tables(dialect)
    numeric = [name for name, look in found.items() if look == "number" and name not in texts | ids]
    if odd_cells := _no_numbers(loaded, numeric):
        mended = remarked(dialect, odd_cells, settings)
        loaded = loaded if mended.decimal == dialect.decimal else tables(mended)
        dialect = mended
    journey.findings += [finding for _, _, findings in loaded for finding in findings]
    past = len(loaded)
    if journey.future is not None:
        past -= 1
        loaded[-1] = _ahead(loaded[-1], loaded[0][0], stored, label=opened[-1].label)
    origin = np.repeat(np.arange(len(loaded)), [len(table) for table, _, _ in loaded])
    frame = loaded[0][0] if len(loaded) == 1 else pd.concat([table for table, _, _ in loaded], ignore_index=True)
    lines = np.concatenate([lines for _, lines, _ in loaded])
    journey.rows = len(frame)
    if stored is None:
        journey.say(*announcements(dialect, settings, bodies[0].names))
    roles = columns.follow(frame, stored) if stored else columns.assign(frame, found, time, settings)
    journey.say(*roles.notes)
    if gone := [name for name in roles.targets if frame[name].isna().any()]:
        journey.findings.append(
            _missing(frame, gone, lines, _spellings(opened[:past], bodies[:past], loaded[:past], dialect, gone))
        )
    return frame, lines, origin, dialect, roles


def _bodies(
    opened: list[Source], settings: ReaderSettings, stored: Schema | None, *, ahead: bool
) -> tuple[Dialect, list[Body], list[list[str]]]:
    """How the sources are written, the rows of each as text, and the cells of the first ones.

    With ``ahead`` the last source holds what is known of the future: it need not have all columns.
    """
    asked = settings.encoding or (stored.dialect.encoding if stored else None)
    texts = [decode(source, asked) for source in opened]
    first, encoding = texts[0]
    dialect = stored.dialect if stored else sniff(first, settings, label=opened[0].label, encoding=encoding)
    bodies = [split_header(text, dialect, label=source.label) for source, (text, _) in zip(opened, texts, strict=True)]
    alike = len(bodies) - ahead
    for source, body in zip(opened[:alike], bodies[:alike], strict=True):
        if set(body.names) != set(bodies[0].names):
            odd = sorted(set(body.names) ^ set(bodies[0].names))
            raise refuse(
                "different-columns",
                f"{source.label} and {opened[0].label} do not have the same columns ({odd[0]!r})",
                fix="read files with the same columns together",
                column=odd[0],
            )
    return dialect, bodies, cells(head(first, dialect.skip_rows), dialect.delimiter)[dialect.header :]


def _ahead(loaded: Loaded, like: pd.DataFrame, stored: Schema | None, *, label: str) -> Loaded:
    """Rows of the future with the columns of the past: what is not known yet is missing."""
    table, lines, findings = loaded
    needed = (stored.time_col, stored.id_col, *stored.future) if stored else ()
    if absent := [name for name in needed if name is not None and name not in table]:
        raise refuse(
            "missing-column",
            f"{label} has no column {absent[0]!r}",
            fix=f"the rows known ahead need the columns {', '.join(name for name in needed if name)}",
            column=absent[0],
        )
    return table.reindex(columns=like.columns), lines, findings


def _no_numbers(loaded: list[Loaded], names: list[str]) -> list[set[str]]:
    """The cells of each of these columns that holds something other than numbers."""
    return [
        set(table[name].dropna().astype(str).str.strip())
        for table, _, _ in loaded
        for name in names
        if name in table and not is_number(table[name])
    ]


def _spellings(
    opened: list[Source], bodies: list[Body], loaded: list[Loaded], dialect: Dialect, names: list[str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    for source, body, (_, lines, _) in zip(opened, bodies, loaded, strict=True):
        counts.update(spellings(body, dialect, label=source.label, names=names, lines=lines))
    return counts


def _missing(frame: pd.DataFrame, names: list[str], lines: Times, counts: Counter[str]) -> Finding:
    absent = frame[names].isna().to_numpy()
    listed = ", ".join(f"{count} {token!r}" if token else f"{count} empty" for token, count in counts.most_common(5))
    total = int(absent.sum())
    return Finding(
        "missing-values",
        "info",
        f"{total} value{'s are' if total > 1 else ' is'} missing ({listed})",
        column=names[0] if len(names) == 1 else None,
        count=total,
        example_line=int(lines[np.argmax(absent.any(axis=1))]),
    )


def _series(
    frame: pd.DataFrame, roles: Roles, opened: list[Source], origin: Times, lines: Times, journey: _Journey
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
    frame: pd.DataFrame, roles: Roles, dialect: Dialect, lines: Times, journey: _Journey
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


def _clock(frame: pd.DataFrame, roles: Roles, lines: Times, journey: _Journey) -> Clock:
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


def _frequency(rows: Rows, clock: Clock, journey: _Journey) -> Frequency:
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


def _schema(roles: Roles, dialect: Dialect, clock: Clock, frequency: Frequency, journey: _Journey) -> Schema:
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
