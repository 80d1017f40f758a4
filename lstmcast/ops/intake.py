"""Intake: what a night reads. The whole input, or its tail alone where it did nothing but grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lstmcast.artifact import Model, load, seen_until, state_digest
from lstmcast.data.moments import Moments
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.errors import DataError
from lstmcast.ops import delivery as deliveries
from lstmcast.ops.delivery import Delivery
from lstmcast.ops.job import Job
from lstmcast.ops.outputs import newest
from lstmcast.ops.tail import is_short, read_tail
from lstmcast.outcome import OnProgress, silent


@dataclass(frozen=True, slots=True)
class Intake:
    """``sources`` were read: the job's own, or with ``tail`` a file of their last rows.

    ``new_rows`` observed rows are later than anything the last training saw; ``ends`` is the time of the newest row.
    ``earlier`` tells of the rows before the tail.
    """

    reading: Reading
    sources: list[str]
    tail: bool
    new_rows: int
    earlier: Moments | None = None

    @property
    def panel(self) -> Panel:
        return self.reading.panel

    @property
    def ends(self) -> int:
        return int(newest(self.panel).max())

    @property
    def ends_text(self) -> str:
        return self.panel.schema.clock.format(np.array([self.ends]))[0]


def take_in(
    job: Job,
    delivered: Delivery,
    *,
    noted: Mapping[str, Any] | None,
    model: Model | None,
    trained_to: int | None,
    work: Path,
    on_progress: OnProgress,
) -> Intake:
    """Read the delivery as ``model`` reads its files.

    ``noted`` is the cursor of the last run, ``trained_to`` the newest time the last training was given. A tail is
    written to ``work``. Raises what reading raises.
    """
    if noted is not None and model is not None and _tail_is_enough(job, noted, delivered, model):
        fits = partial(_at_one_level, model)
        tail = read_tail(noted, work, job.settings.reader, schema=model.schema, fits=fits, on_progress=on_progress)
        if tail is not None:
            return Intake(tail.reading, [tail.source], True, noted["new_rows"] + tail.added, tail.earlier)
    schema = model.schema if model else None
    reading = read(job.sources, job.settings.reader, schema=schema, on_progress=on_progress)
    new_rows = 0 if model is None else _rows_since_training(model, reading.panel, trained_to)
    return Intake(reading, job.sources, tail=False, new_rows=new_rows)


def whole_panel(job: Job, intake: Intake, model: Model) -> Panel:
    """All of the input, also where the night read its tail."""
    if not intake.tail:
        return intake.panel
    return read(job.sources, job.settings.reader, schema=model.schema, on_progress=silent).panel


def refuse_older(intake: Intake, last: Mapping[str, Any] | None) -> list[str]:
    """Raises ``DataError`` if the input ends before the last run's. Returns the series that are no longer there."""
    if last is None:
        return []
    before = last["facts"]
    if intake.ends < before["newest_time"]:
        raise DataError(
            f"the input ends at {intake.ends_text}; the last run had rows up to {before['newest']}",
            remedy="deliver the whole file again; if rows were withdrawn on purpose, run with --accept-older",
        )
    return sorted(set(before["series_names"]) - set(intake.panel.ids))


def next_cursor(
    job: Job, intake: Intake, delivered: Delivery, model: Model, noted: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What to note for the next night, also of the state that ``job`` left in its model; None where it must read
    everything."""
    found = deliveries.advanced(noted, delivered, intake.reading) if intake.tail and noted is not None else None
    if found is None:
        need = max(2 * model.forecaster.reach + model.architecture.horizon, deliveries.TAIL_ROWS)
        found = deliveries.cursor(delivered, intake.reading, rows=need)
    if found is None or not model.architecture.stateful:
        return found
    return found | {"state": state_digest(load(job.model))}


def _tail_is_enough(job: Job, noted: Mapping[str, Any], delivered: Delivery, model: Model) -> bool:
    if noted["offset"] is None or not delivered.grew:
        return False
    short = is_short(noted, rows=deliveries.TAIL_ROWS)
    if model.architecture.stateful:
        # the state must be the one that read the rows which were hashed; rows since the training are judged from the
        # state of the training, which the tail does not reach
        known = bool(noted.get("earlier")) and noted.get("state") == state_digest(model)
        return short and known and job.file.detect is None
    return short and (bool(noted.get("earlier")) or not model.forecaster.needs_spread)


def _at_one_level(model: Model, panel: Panel) -> bool:
    """Whether a tail is read to the digits of the whole: a level that is taken off before the cast is that of the rows
    read, and what a state has seen does not change with them."""
    if model.state is None:
        return True
    return not model.state["shift"].any() and not panel.shift.any()


def _rows_since_training(model: Model, panel: Panel, trained_to: int | None) -> int:
    seen = seen_until(model, panel)
    if trained_to is not None:
        seen = np.maximum(seen, trained_to)
    rows = np.arange(len(panel.values), dtype=np.int64)
    later = panel.times(rows) > seen[panel.series[panel.segment_of(rows)]]
    return int((panel.observed.any(axis=1) & later).sum())
