"""``detect-anomalies``: every row judged by forecasts that had not seen it, flagged within a budget, told as events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstmcast.anomaly.endings import ANOMALY, SEVERITIES, STALE, UNKNOWN, nagios, nagios_line, severe, staleness
from lstmcast.anomaly.events import Event
from lstmcast.anomaly.explain import explained, place_of
from lstmcast.anomaly.feedback import bars
from lstmcast.anomaly.history import remembered
from lstmcast.anomaly.judge import Case, Circumstances, decide, examine, tell
from lstmcast.anomaly.listen import Heard, listen
from lstmcast.anomaly.remembering import parts_of
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.rows import events_frame, rows_frame
from lstmcast.anomaly.selection import first_time, last_time, later_rows, since
from lstmcast.anomaly.spans import NOTHING, read_stretches
from lstmcast.anomaly.state import State, load_state, save_state
from lstmcast.anomaly.threshold import Flags, parse_budget
from lstmcast.anomaly.wishes import Wishes, digest, refuse, written
from lstmcast.config import DetectionSettings, Settings
from lstmcast.data.clock import Clock
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading
from lstmcast.data.schema import require_numbers
from lstmcast.data.writer import check_output, write_table
from lstmcast.errors import LstmcastError, UsageError
from lstmcast.masking import masked
from lstmcast.ops.continuing import Continued, continue_reading, note
from lstmcast.ops.delivery import TAIL_ROWS
from lstmcast.outcome import Notice, OnProgress, Outcome, Table, silent

if TYPE_CHECKING:
    from lstmcast.artifact import Model

_DAILY = 5  # rows a week from which a budget by the month makes sense
_TOLD = 5
_TOLD_BEFORE = 200  # events a channel whose names are kept: those found again tonight are kept besides


@dataclass(frozen=True, slots=True)
class Told:
    """The verdicts on a delivery: ``table`` by input row; ``events`` of ``cases``, in order of time within each."""

    cases: list[Case]
    flags: list[Flags]
    events: list[list[Event]]
    table: pd.DataFrame
    circumstances: Circumstances


def detect_anomalies(
    sources: list[str], *, settings: Settings, on_progress: OnProgress = silent, **asked: Any
) -> Outcome:
    """Score every row of ``sources`` (without any: of the files the model was trained on), flag, and group into events.

    Each row is forecast by a network taught on earlier rows, or by a model where one is given and the row is later than
    its training. With a state the rows of this delivery continue those of earlier ones. Exit code 10 if there is an
    event of the level asked for, 11 if the data are stale; with nagios codes 0 to 3, errors included. Raises what
    reading, loading and teaching raise. ``asked`` are the fields of ``Wishes``.
    """
    wishes = Wishes(**asked)
    if wishes.exit_codes == "plain":
        return _detect(sources, settings, wishes, on_progress)
    try:
        return _detect(sources, settings, wishes, on_progress)
    except LstmcastError as error:
        line = nagios_line(UNKNOWN, error.message.splitlines()[0])
        return Outcome(UNKNOWN, {"error": error.message}, (error.remedy,), table=Table("", (line,), ()))


def _detect(sources: list[str], settings: Settings, wishes: Wishes, on_progress: OnProgress) -> Outcome:
    if wishes.plot is not None or wishes.html is not None:
        from lstmcast.report.events_page import check_suffixes  # drawing takes a second to load

        check_suffixes(plot=wishes.plot, html=wishes.html)
    refuse(settings.detection, wishes)
    for place in (wishes.output, wishes.events):
        check_output(place)
    trained = _model(wishes.model, settings) if wishes.model is not None else None
    kept = load_state(wishes.state) if wishes.state is not None else None
    if wishes.state is not None:
        settings = settings.model_copy(update={"detection": settings.detection.model_copy(update={"mode": "online"})})
    delivered = _read(sources, settings, wishes, trained, kept, on_progress)
    reading = delivered.reading
    reading = replace(reading, panel=replace(reading.panel, earlier=delivered.earlier or wishes.earlier))
    asked = digest(settings, wishes)
    if kept is not None and (kept.fingerprint, kept.asked) == (delivered.fingerprint, asked) and written(wishes):
        said = "nothing new: the data are those of the last run, whose files stand"
        return _ended(reading.panel, wishes, (), kept.open_events, {"noop": True}, (said,), on_progress)
    heard = listen(
        reading.panel,
        settings,
        trained=trained,
        kept=kept,
        tail=delivered.tail,
        carry=wishes.state is not None,
        on_progress=on_progress,
    )
    told = _judged(reading, heard, settings, wishes, on_progress)
    table, found = _reported(told, reading.panel, heard, wishes, kept)
    form, safe = wishes.format, wishes.safe_csv
    write_table(table, wishes.output, format=form, keys=("unique_id", "channel", "ds"), safe=safe)
    write_table(events_frame(found), wishes.events, format=form, keys=("event_id",), safe=safe)
    _draw(table, found, reading.panel, heard, wishes)
    if wishes.state is not None:
        noted = note(delivered, rows=_tail_rows(heard.rhythm, trained)) if wishes.new_only else None
        save_state(_remember(delivered, noted, heard, told, kept, asked), wishes.state)
    facts = _facts(table, found, wishes, told)
    lines = _lines(facts, found)
    if wishes.labels is not None:
        facts["labels"], said_of_labels = _compared(told, reading.panel.schema.clock, wishes.labels)
        lines = (*said_of_labels, *lines)
    new = [event for event in found if kept is None or event.event_id not in kept.told]
    still_open = [event for event in found if event.open]
    explanation = _explained(told, reading.panel.schema.clock, wishes.explain) if wishes.explain else None
    return _ended(reading.panel, wishes, new, still_open, facts, lines, on_progress, explanation)


def _model(folder: Path, settings: Settings) -> Model:
    from lstmcast.artifact import load  # with torch, which takes two seconds to load
    from lstmcast.fit import device

    device.use_threads(settings.training.threads)
    return load(folder)


def _read(
    sources: list[str],
    settings: Settings,
    wishes: Wishes,
    trained: Model | None,
    kept: State | None,
    on_progress: OnProgress,
) -> Continued:
    if trained is None and not sources:
        raise UsageError("there is neither a data file nor a model", remedy="name the file: detect-anomalies DATA.csv")
    schema = kept.schema if kept else trained.schema if trained else None
    reader = settings.reader.asking_like(trained.settings.reader) if trained and sources else settings.reader
    named = sources or list(trained.sources if trained else ())
    new_alone = kept is not None and wishes.new_only and not (trained and trained.architecture.stateful)
    noted = kept.noted if kept is not None and new_alone else None
    rows = _tail_rows(kept.rhythm, trained) if kept is not None else 0
    read = continue_reading(named, reader, schema=schema, noted=noted, rows=rows, on_progress=on_progress)
    require_numbers(read.reading.panel.schema, "detect-anomalies")
    return read


def _tail_rows(rhythm: Rhythm, trained: Model | None) -> int:
    """Rows of a series in the tail of a file that grew: those that may still be corrected and a model's context."""
    reach = 2 * trained.forecaster.reach + trained.architecture.horizon if trained else 0
    return max(TAIL_ROWS, 2 * rhythm.rows, reach)


def _judged(reading: Reading, heard: Heard, settings: Settings, wishes: Wishes, on_progress: OnProgress) -> Told:
    schema, detection = reading.panel.schema, settings.detection
    clock = schema.clock
    ignored = read_stretches(wishes.ignore, clock, flag="--ignore") if wishes.ignore else NOTHING
    budget = _budget(detection, reading.panel)
    online = detection.mode == "online"
    circumstances = Circumstances(
        rhythm=heard.rhythm,
        frequency=schema.frequency,
        settings=detection,
        budget=parse_budget(budget, rows_per_week=schema.frequency.rows_per_week()),
        warm_up=heard.plan.warm_up if online or detection.warm_up is not None else None,
        look_back=not online,
        format=clock.format,
        ignored=ignored.cover,
        bars=bars(wishes.feedback) if wishes.feedback else {},
    )
    series_of, cases = [], []
    for n, (name, group) in enumerate(zip(heard.names, heard.series, strict=True)):
        for part in parts_of([channel.time for channel in group], group[0].forgotten, heard.plan.most):
            series_of.append(n)
            cases.append(examine(name, group, part, circumstances))
    if detection.threshold == "labels" and wishes.labels is not None:
        from lstmcast.anomaly.labels import best_bar  # with scikit-learn, another second

        bar = best_bar(cases, read_stretches(wishes.labels, clock, flag="--labels"))
        on_progress(Notice(f"threshold {bar:.4g}: the best on the first half of the incidents"))
        flags = decide(cases, circumstances, bar=bar)
    else:
        flags = decide(cases, circumstances)
    judged = [tell(case, chosen, circumstances) for case, chosen in zip(cases, flags, strict=True)]
    events = [found for _, found in judged]
    gaps = [[event for event in found if event.kind == "missing"] for found in events]
    table = rows_frame(reading, cases, [verdicts for verdicts, _ in judged], gaps, series_of)
    return Told(cases, flags, events, table, circumstances)


def _budget(detection: DetectionSettings, panel: Panel) -> str:
    per_week = panel.schema.frequency.rows_per_week()
    if detection.budget is not None or per_week is None:
        return detection.budget or "1/1000rows"
    return "1/month" if per_week >= _DAILY else "1/100rows"


def _reported(
    told: Told, panel: Panel, heard: Heard, wishes: Wishes, kept: State | None
) -> tuple[pd.DataFrame, list[Event]]:
    """The rows and events asked for: all, those of a time on, or those that no earlier run has told."""
    found = [event for events in told.events for event in events]
    if wishes.new_only and kept is not None:
        known = {
            name: last_time(kept.channels, [channel.name for channel in group])
            for name, group in zip(heard.names, heard.series, strict=True)
        }
        table = later_rows(told.table, panel.schema.clock, known)
        return table, [event for event in found if event.event_id not in kept.told]
    if wishes.since is None and wishes.last is None:
        return told.table, found
    return since(told.table, found, panel, first_time(panel, since=wishes.since, last=wishes.last))


def _draw(table: pd.DataFrame, found: list[Event], panel: Panel, heard: Heard, wishes: Wishes) -> None:
    for path in (wishes.plot, wishes.html):
        if path is not None:
            from lstmcast.report.events_page import save_events_page

            save_events_page(table, events_frame(found), panel.schema.clock, path, week=heard.rhythm.week)


def _remember(
    delivered: Continued,
    noted: Mapping[str, Any] | None,
    heard: Heard,
    told: Told,
    kept: State | None,
    asked: str,
) -> State:
    events = [event for found in told.events for event in found]
    found = dict.fromkeys(event.event_id for event in events)
    gone = [name for name in (kept.told if kept else ()) if name not in found][-_TOLD_BEFORE * len(heard.channels) :]
    channels = remembered(heard.series, heard.plan.most, day=heard.rhythm.rows)
    absent = heard.channels[len(channels) :]
    return State(
        schema=kept.schema if kept else delivered.reading.panel.schema,
        plan=heard.plan,
        rhythm=heard.rhythm,
        memory=heard.memory,
        channels={channel.name: channel for channel in [*channels, *absent]},
        fingerprint=delivered.fingerprint,
        asked=asked,
        told=(*gone, *found),
        open_events=tuple(event for event in events if event.open),
        noted=noted,
        carried=heard.carried,
    )


def _compared(told: Told, clock: Clock, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    from lstmcast.anomaly.labels import metrics

    labels = read_stretches(path, clock, flag="--labels")
    raised = [flags.raised for flags in told.flags]
    halved = 0.5 if told.circumstances.settings.threshold == "labels" else 0.0
    return metrics(told.cases, raised, labels, rows_per_week=told.circumstances.frequency.rows_per_week(), after=halved)


def _explained(told: Told, clock: Clock, wanted: str) -> tuple[Table, tuple[str, ...]]:
    k, row = place_of(wanted, told.cases, told.events, clock)
    return explained(told.cases[k], told.flags[k], row, told.circumstances)


def _facts(table: pd.DataFrame, found: list[Event], wishes: Wishes, told: Told) -> dict[str, Any]:
    scored = int((table["status"] == "ok").sum())
    facts = told.circumstances
    weeks = scored / per_week if (per_week := facts.frequency.rows_per_week()) else None
    return {
        "rows": len(table),
        "scored": scored,
        "anomalous_rows": int(table["is_anomaly"].sum()),
        "events": [asdict(event) for event in found],
        "series": len({case.name for case in told.cases}),
        "budget_per_row": facts.budget,
        "events_within_budget": round(facts.budget * scored, 1),
        "events_per_week_and_series": round(len(found) / weeks, 3) if weeks else None,
        "output": masked(wishes.output),
        "events_output": masked(wishes.events),
    }


def _lines(facts: dict[str, Any], found: list[Event]) -> tuple[str, ...]:
    worst = sorted(found, key=lambda event: -SEVERITIES.index(event.severity))[:_TOLD]
    told = [f"{event.severity}: {event.message}" for event in worst]
    if len(found) > len(worst):
        told.append(f"and {len(found) - len(worst)} more in {facts['events_output']}")
    count = f"{len(found)} event{'' if len(found) == 1 else 's'} in {facts['scored']:,} scored rows"
    told.append(f"{count}; the budget allows about {facts['events_within_budget']:g}")
    told.append(f"rows: {facts['output']}, events: {facts['events_output']}")
    told.append(f"next: lstmcast plot {facts['output']}")
    return tuple(told)


def _ended(
    panel: Panel,
    wishes: Wishes,
    new: Sequence[Event],
    still_open: Sequence[Event],
    facts: dict[str, Any],
    lines: tuple[str, ...],
    on_progress: OnProgress,
    explanation: tuple[Table, tuple[str, ...]] | None = None,
) -> Outcome:
    """The outcome with the exit code that was asked for."""
    late = staleness(panel, wishes.fail_on_stale)
    facts["stale"] = late is not None
    if late is not None:
        on_progress(Notice(late, "warning"))
    table, lines = explanation or (None, lines)
    if wishes.exit_codes == "nagios":
        code, line = nagios(new if wishes.state is None else [*new, *still_open], late)
        return Outcome(code, facts, lines, table=Table("", (line,), ()))
    failing = severe(new, wishes.fail_on_anomaly)
    for event in failing:  # the reason of the exit code, also for --quiet
        on_progress(Notice(event.message, "warning"))
    return Outcome(ANOMALY if failing else STALE if late is not None else 0, facts, lines, table=table)
