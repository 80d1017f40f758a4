"""``detect-anomalies``: every row scored by forecasts that had not seen it, flagged within a budget, told as events."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcast.anomaly.crossfit import distances, out_of_sample
from lstmcast.anomaly.events import Event
from lstmcast.anomaly.judge import in_input_order, judge
from lstmcast.anomaly.threshold import parse_budget
from lstmcast.artifact import Model, load
from lstmcast.config import DetectionSettings, Settings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.writer import Format, check_output, write_table
from lstmcast.errors import DataError, UsageError
from lstmcast.fit import device
from lstmcast.fit.facts import measure
from lstmcast.forecast.intervals import significant
from lstmcast.masking import masked
from lstmcast.outcome import Notice, OnProgress, Outcome, silent

_DAILY = 5  # rows a week from which a budget by the month makes sense


def detect_anomalies(
    sources: list[str],
    *,
    settings: Settings,
    model: Path | None = None,
    output: str = "anomalies.csv",
    events: str = "events.csv",
    format: Format | None = None,  # noqa: A002  # the flag's name
    safe_csv: bool = False,
    since: str | None = None,
    fail_on_anomaly: bool = False,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Score every row of ``sources`` (without any: of the files the model was trained on), flag, and group into events.

    Rows later than a model's training are judged by the model; the others by two forecasters fitted to the data given,
    each judging the half it has not seen (``detection.fit``: auto, always, never). Exit code 10 with
    ``fail_on_anomaly`` if there is an event. Raises what reading, loading and fitting raise.
    """
    device.use_threads(settings.training.threads)
    for place in (output, events):
        check_output(place)
    trained = load(model) if model is not None else None
    reading = _read(sources, settings, trained, on_progress)
    panel = reading.panel
    known = measure(panel)
    season = next(iter(known.seasons or panel.schema.frequency.seasons()), 24)
    budget = _budget(settings.detection, panel)
    per_row = parse_budget(budget, rows_per_week=panel.schema.frequency.rows_per_week())
    forecasts = out_of_sample(panel, settings, trained, distances(season, known.median_length), on_progress)
    rows, found = judge(panel, forecasts, settings.detection, budget=per_row, day=season)
    table = in_input_order(rows, reading)
    if since is not None:
        table, found = _since(table, found, panel, since)
    write_table(table, output, format=format, keys=("unique_id", "channel", "ds"), safe=safe_csv)
    write_table(_events_frame(found), events, format=format, keys=("event_id",), safe=safe_csv)
    if fail_on_anomaly:  # the reason of the exit code, also for --quiet
        for event in found:
            on_progress(Notice(event.message, "warning"))
    facts = _facts(table, found, output, events, budget=budget, per_row=per_row)
    return Outcome(code=10 if fail_on_anomaly and found else 0, facts=facts, lines=_lines(facts, found))


def _read(sources: list[str], settings: Settings, trained: Model | None, on_progress: OnProgress) -> Reading:
    if trained is None and not sources:
        raise UsageError("there is neither a data file nor a model", remedy="name the file: detect-anomalies DATA.csv")
    if trained is None:
        return read(sources, settings.reader, on_progress=on_progress)
    reader = settings.reader.asking_like(trained.settings.reader) if sources else settings.reader
    return read(sources or list(trained.sources), reader, schema=trained.schema, on_progress=on_progress)


def _budget(detection: DetectionSettings, panel: Panel) -> str:
    per_week = panel.schema.frequency.rows_per_week()
    if detection.budget is not None or per_week is None:
        return detection.budget or "1/1000rows"
    return "1/month" if per_week >= _DAILY else "1/100rows"


def _since(table: pd.DataFrame, found: list[Event], panel: Panel, since: str) -> tuple[pd.DataFrame, list[Event]]:
    clock = panel.schema.clock
    try:
        first = int(clock.parse([since])[0])
    except DataError as error:
        raise UsageError(
            f"--since {since!r} is not a time of this file",
            remedy=f"write it like {clock.format(panel.start[:1])[0]}",
        ) from error
    kept = clock.parse(table["ds"].tolist()) >= first
    if not kept.any():
        raise UsageError(f"there is no row at or after --since {since}", remedy=f"the last is {table['ds'].max()}")
    ends = clock.parse([event.end for event in found]) if found else np.empty(0, dtype=np.int64)
    return table[kept], [event for event, end in zip(found, ends, strict=True) if end >= first]


def _events_frame(found: list[Event]) -> pd.DataFrame:
    names = [field.name for field in fields(Event)]
    frame = pd.DataFrame([asdict(event) for event in found], columns=names)
    return frame.assign(
        open=frame["open"].astype(int),
        deviation_pct=frame["deviation_pct"].astype(float).round(1),
        p_value=significant(frame["p_value"].to_numpy(dtype=np.float64)),
    )


def _facts(
    table: pd.DataFrame, found: list[Event], output: str, events: str, *, budget: str, per_row: float
) -> dict[str, Any]:
    scored = int((table["status"] == "ok").sum())
    return {
        "rows": len(table),
        "scored": scored,
        "anomalous_rows": int(table["is_anomaly"].sum()),
        "events": [asdict(event) for event in found],
        "budget": budget,
        "events_within_budget": round(per_row * scored, 1),
        "output": masked(output),
        "events_output": masked(events),
    }


def _lines(facts: dict[str, Any], found: list[Event]) -> tuple[str, ...]:
    order = {"critical": 0, "warning": 1, "info": 2}
    worst = sorted(found, key=lambda event: order[event.severity])[:5]
    told = [f"{event.severity}: {event.message}" for event in worst]
    if len(found) > len(worst):
        told.append(f"and {len(found) - len(worst)} more in {facts['events_output']}")
    count = f"{len(found)} event{'' if len(found) == 1 else 's'} in {facts['scored']:,} scored rows"
    told.append(f"{count}; a budget of {facts['budget']} per series allows about {facts['events_within_budget']:g}")
    told.append(f"rows: {facts['output']}, events: {facts['events_output']}")
    told.append(f"next: lstmcast plot {facts['output']}")
    return tuple(told)
