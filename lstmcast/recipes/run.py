"""``run``: one scheduled night of a job. The only recipe that calls others; everything new and whole, or as it was."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lstmcast.artifact import Model, load
from lstmcast.data.schema import require_numbers
from lstmcast.errors import (
    LstmcastError,
    TooShortError,
)
from lstmcast.net.heads import is_probabilistic
from lstmcast.ops import outputs, publishing, scoring
from lstmcast.ops.candidate import train_candidate
from lstmcast.ops.delivery import Delivery, look, require_at_rest
from lstmcast.ops.intake import Intake, next_cursor, refuse_older, take_in, whole_panel
from lstmcast.ops.job import Job, read_job
from lstmcast.ops.ledger import Ledger
from lstmcast.ops.lock import held
from lstmcast.ops.policy import LATELY, Health, due, health, not_worse, promote, trained_at, trained_until
from lstmcast.ops.schedule import schedule, this_program
from lstmcast.ops.store import Store, opened
from lstmcast.ops.tonight import Tonight
from lstmcast.ops.unchanged import is_unchanged, model_is_there, nothing_new
from lstmcast.outcome import Notice, OnProgress, Outcome, once, silent
from lstmcast.recipes.detect import detect_anomalies
from lstmcast.recipes.listing import choices
from lstmcast.recipes.plot import plot
from lstmcast.recipes.predict import predict
from lstmcast.recipes.train import train


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks of one run. ``now`` is the time it is believed to be."""

    now: dt.datetime
    accept_older: bool = False
    fail_on_anomaly: bool = False
    fail_on_drift: bool = False


def run(
    path: Path,
    *,
    lock_timeout: float = 0,
    accept_older: bool = False,
    fail_on_anomaly: bool = False,
    fail_on_drift: bool = False,
    print_schedule: bool = False,
    now: dt.datetime | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Carry out the job in the YAML file ``path`` once, at the time ``now`` (aware; default: the clock's).

    Exit codes: 11 if the newest row is older than ``stale_after``, 10 and 1 as the two flags ask, 6 if some series fell
    back. Raises ``BusyError`` while the job is running or its input being written, ``DataError`` for input that cannot
    be used or ends before the last run's (unless ``accept_older``), and what the other recipes raise; the published
    outputs are then as they were.
    """
    job = read_job(path, choices=choices())
    if print_schedule:
        text = schedule(path, program=this_program())
        return Outcome(facts={"schedule": text}, text=text)
    wishes = Wishes(now or dt.datetime.now().astimezone(), accept_older, fail_on_anomaly, fail_on_drift)
    with held(job.lock, kind=job.file.lock, timeout=lock_timeout), opened(job.store) as store:
        return _Night(job, store, wishes, once(on_progress)).go()


@dataclass(slots=True)
class _Night:
    """One run under its lock, in the order of its steps; ``facts`` gathers what it has learnt."""

    job: Job
    store: Store
    wishes: Wishes
    on_progress: OnProgress
    facts: dict[str, Any] = field(default_factory=dict)

    def go(self) -> Outcome:
        job = self.job
        if publishing.tidy(job):
            self.say("the last run died while publishing; its outputs are in place now", "warning")
        last = self.store.last_run(job.name)
        noted = last["cursor"] if last else None
        delivered = look(job.sources, settle=job.file.settle.total_seconds(), cursor=noted)
        if last and is_unchanged(job, last, delivered):
            return nothing_new(job, last, self.wishes.now, self.on_progress)
        ledger = Ledger(self.store, job, self.wishes.now)
        try:
            return self.work(ledger, delivered, last)
        except LstmcastError as error:
            ledger.fail(error)
            raise

    def work(self, ledger: Ledger, delivered: Delivery, last: Mapping[str, Any] | None) -> Outcome:
        """The night itself: from the delivery to the published outputs and the closed ledger."""
        job = self.job
        publishing.refuse_a_foreign_status(job)
        model = load(job.model) if model_is_there(job) else None
        with publishing.working_folder(job) as name:
            work = Path(name)
            noted = last["cursor"] if last else None
            attempt = self.store.last_run(job.name, trained=True)
            trained_to = attempt["training"]["newest_time"] if attempt else None
            intake = take_in(
                job,
                delivered,
                noted=noted,
                model=model,
                trained_to=trained_to,
                work=work,
                on_progress=self.on_progress,
            )
            require_numbers(intake.panel.schema, "a scheduled run")
            if not delivered.fingerprint:  # a database tells what it holds only when it is read
                delivered = replace(delivered, fingerprint=intake.reading.fingerprint)
                if last and is_unchanged(job, last, delivered):
                    ledger.drop()
                    return nothing_new(job, last, self.wishes.now, self.on_progress)
            self.look_back(ledger, intake, last)
            scored = self.store.scored(job.name, cutoffs=LATELY)
            model, new_rows = self.renew(model, scored, intake, attempt, ledger)
            state = health(model, scored, since=trained_until(model))
            tonight, series = self.predict(model, scored, intake, work)
            events = self.detect(intake, work, first=last is None)
            self.report(intake, work)
            code = self.verdict(series, intake, state, events)
            require_at_rest(job.sources, delivered)
            self.facts |= {"model_id": model.identity, "fingerprint": delivered.fingerprint, "exit_code": code}
            told = {**self.facts, "finished_at": self.wishes.now.isoformat(timespec="seconds")}
            publishing.publish(
                job, work, forecasts=tonight.frames(), series=series, status=told, fingerprint=delivered.fingerprint
            )
            cursor = next_cursor(job, intake, delivered, model, noted)
            row = {
                "fingerprint": delivered.fingerprint,
                "model_id": model.identity,
                "cursor": cursor and cursor | {"new_rows": new_rows},
            }
            facts = self.facts | {"series_names": list(intake.panel.ids)}
            rows = tonight.rows(job=job.name, run=ledger.run)
            ledger.close(code, facts=facts, forecasts=rows, events=events, row=row)
        return Outcome(code=code, facts=self.facts, lines=self.lines())

    def look_back(self, ledger: Ledger, intake: Intake, last: Mapping[str, Any] | None) -> None:
        """Refuse input that lost its end; score the forecasts whose actuals have arrived."""
        gone = refuse_older(intake, None if self.wishes.accept_older else last)
        if gone:
            self.say(f"{len(gone)} series of the last run are no longer in the input, {gone[0]} for one", "warning")
        found = ledger.score(intake.panel, again=not intake.tail)
        self.facts |= {
            "newest": intake.ends_text,
            "newest_time": intake.ends,
            "read": "tail" if intake.tail else "all",
            "scored": len(found.scores),
            "restated": found.restated,
        }
        if found.scores:
            self.say(f"{len(found.scores):,} forecast rows met what came true")
        if found.restated:
            self.say(f"{found.restated:,} rows are not what they were: their forecasts are scored anew", "warning")

    def renew(
        self,
        model: Model | None,
        scored: pd.DataFrame,
        intake: Intake,
        attempt: Mapping[str, Any] | None,
        ledger: Ledger,
    ) -> tuple[Model, int]:
        """The model of tonight, the current one or a new one that is not worse; and the rows new since a training."""
        job, now = self.job, self.wishes.now
        if model is None:
            self.say("there is no model yet: training one")
            self.train(ledger, intake)
        else:
            began = attempt["trained_at"] if attempt else trained_at(job.model)
            wanted, why = due(
                job.file.retrain,
                health(model, scored, since=trained_until(model)),
                age=now - dt.datetime.fromisoformat(began),
                new_rows=intake.new_rows,
                trained_rows=int(model.summary.get("rows", 0)),
            )
            self.facts["retrain"] = {"due": wanted, "why": why}
            self.say(f"{'training again' if wanted else 'the model stays'}: {why}")
            if not wanted:
                return model, intake.new_rows
            self.train(ledger, intake)
            better, told = not_worse(model, job.candidate, whole_panel(job, intake, model))
            self.facts["retrain"] |= {"promoted": better, "comparison": told}
            if not better:
                shutil.rmtree(job.candidate)
                self.say(f"the new model is not promoted: {told}", "warning")
                return model, 0
            self.say(f"the new model is promoted: {told}")
        promote(job.candidate, job.model, old_models=job.old_models, keep=job.file.keep, now=now)
        return load(job.model), 0

    def train(self, ledger: Ledger, intake: Intake) -> None:
        train_candidate(self.job, train, self.on_progress)
        self.facts["trained"] = True
        ledger.trained(until=intake.ends)

    def predict(self, model: Model, scored: pd.DataFrame, intake: Intake, work: Path) -> tuple[Tonight, pd.DataFrame]:
        """The forecasts as they will be published, and how each series fared."""
        part, machine, panel = self.job.file.predict, self.job.settings.training, intake.panel
        asked: dict[float, float] = {}
        if is_probabilistic(model.architecture.loss):
            asked = scoring.adapted(part.levels or model.settings.network.levels, scored)
        self.facts["levels"] = {f"{level:g}": wanted for level, wanted in asked.items()}
        output = work / publishing.FORECASTS
        predict(
            intake.sources,
            model=self.job.model,
            output=str(output),
            horizon=part.horizon,
            levels=tuple(asked.values()) or None,
            reader=self.job.settings.reader,
            device=machine.device,
            threads=machine.threads,
            earlier=intake.earlier,
            advance_state=model.architecture.stateful,
            missing=self.job.missing_future,
            on_progress=self.on_progress,
        )
        horizon = part.horizon or model.architecture.horizon
        tonight = Tonight(output, panel, horizon=horizon, season=int(model.summary["season"]))
        nominal = {wanted: level for level, wanted in asked.items()}
        stale = outputs.stale(panel, self.job.file.stale_after, self.wishes.now)
        return tonight, tonight.finish(asked=nominal, stale=stale)

    def detect(self, intake: Intake, work: Path, *, first: bool) -> list[dict[str, Any]]:
        """Look for anomalies; the events no earlier run has told of. Those of the ``first`` are history."""
        if self.job.file.detect is None:
            return []
        try:
            found = detect_anomalies(
                intake.sources,
                settings=self.job.settings,
                model=self.job.model,
                output=str(work / publishing.ANOMALIES),
                events=str(work / publishing.EVENTS),
                earlier=intake.earlier,
                on_progress=self.on_progress,
            ).facts["events"]
        except TooShortError as error:
            self.say(f"no anomalies are looked for tonight: {error.message}", "warning")
            self.facts["undetected"] = True
            return []
        known = self.store.known_events(self.job.name)
        fresh = [event for event in found if event["event_id"] not in known]
        self.facts |= {"events": len(found), "new_events": fresh}
        if first and fresh:
            self.say(f"{len(fresh)} events in the rows up to now: {self.job.outputs()['events']}")
            return fresh
        for event in fresh:
            self.say(f"new event, {event['severity']}: {event['message']}", "warning")
        return fresh

    def report(self, intake: Intake, work: Path) -> None:
        """Draw the forecasts after the end of their history."""
        if self.job.file.report is not None:
            past = intake.sources[0] if len(intake.sources) == 1 and Path(intake.sources[0]).is_file() else None
            plot(str(work / publishing.FORECASTS), history=past, output=work / publishing.report_name(self.job))

    def verdict(self, series: pd.DataFrame, intake: Intake, state: Health, fresh: list[dict[str, Any]]) -> int:
        """The exit code of the night."""
        counts = series["status"].value_counts().to_dict()
        drop = state.drop
        drifted = drop is not None and drop > self.job.file.retrain.max_skill_drop
        self.facts |= {"job": self.job.name, "noop": False, "series": len(series), "status": counts}
        self.facts |= {"health": state.facts(), "drift": drifted}
        if late := outputs.behind(intake.panel):
            some = ", ".join(late[:3]) + (" and others" if len(late) > 3 else "")
            self.say(f"{len(late)} of {len(intake.panel.ids)} series end before the newest row: {some}")
        if drifted:
            self.say(f"drift: the skill is {drop:.1%} lower than at training", "warning")
        if outputs.stale(intake.panel, self.job.file.stale_after, self.wishes.now).all():
            self.say(f"the newest row, {intake.ends_text}, is older than stale_after allows", "warning")
            return 11
        if fresh and self.wishes.fail_on_anomaly:
            return 10
        if drifted and self.wishes.fail_on_drift:
            return 1
        return 6 if self.facts.get("undetected") or set(counts) & set(outputs.TROUBLE) else 0

    def say(self, text: str, level: Literal["info", "warning"] = "info") -> None:
        self.on_progress(Notice(text, level))

    def lines(self) -> tuple[str, ...]:
        counts = ", ".join(f"{count} {status}" for status, count in self.facts["status"].items())
        return (
            f"{self.facts['series']} series forecast ({counts}) after {self.facts['newest']}: {self.job.forecasts}",
            f"next: lstmcast history {self.job.path}",
        )
