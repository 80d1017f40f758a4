"""``run``: one scheduled night of a job. The only recipe that calls others; everything new and whole, or as it was."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstmcast import __version__
from lstmcast.artifact import CHECKPOINTS, MANIFEST, Model, load, seen_until
from lstmcast.atomic import finish_together, replace_together, sweep, whole_folder
from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.writer import write_json, write_table
from lstmcast.errors import (
    DataError,
    LstmcastError,
    ModelError,
    ResourceError,
    StoppedError,
    TooShortError,
    UsageError,
    is_out_of_memory,
)
from lstmcast.ops import delivery as deliveries
from lstmcast.ops import outputs, scoring, store
from lstmcast.ops.job import Job, read_job
from lstmcast.ops.lock import held
from lstmcast.ops.policy import Health, due, health, not_worse, promote
from lstmcast.ops.schedule import schedule
from lstmcast.outcome import Notice, OnProgress, Outcome, silent
from lstmcast.recipes.detect import detect_anomalies
from lstmcast.recipes.listing import choices
from lstmcast.recipes.plot import plot
from lstmcast.recipes.predict import predict
from lstmcast.recipes.train import train

_HALVINGS = 3
_UNFINISHED = -1  # exit code of a run that died


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
        program = shutil.which("lstmcast") or f"{sys.executable} -m lstmcast"
        text = schedule(path, program=program)
        return Outcome(facts={"schedule": text}, text=text)
    wishes = Wishes(now or dt.datetime.now().astimezone(), accept_older, fail_on_anomaly, fail_on_drift)
    with held(job.lock, kind=job.file.lock, timeout=lock_timeout), store.opened(job.store) as opened:
        return _Night(job, opened, wishes, on_progress).go()


@dataclass(slots=True)
class _Night:
    """One run under its lock: what it has learnt so far, in the order of the steps."""

    job: Job
    store: store.Store
    wishes: Wishes
    on_progress: OnProgress
    number: int = 0
    noted: dict[str, Any] | None = None
    trained: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def go(self) -> Outcome:
        job = self.job
        self.tidy()
        last = self.store.last_run(job.name)
        self.noted = last["cursor"] if last else None
        delivered = deliveries.look(job.sources, settle=job.file.settle.total_seconds(), cursor=self.noted)
        if last and self.is_unchanged(last, delivered):
            return self.nothing_new(last)
        with self.store.transaction() as writing:
            self.number = writing.run(self.row(_UNFINISHED))
        try:
            return self.work(delivered, last)
        except LstmcastError as error:
            with self.store.transaction() as writing:
                writing.amend(self.number, self.row(error.exit_code) | {"facts": {"error": error.message}})
            raise

    def tidy(self) -> None:
        """Finish or remove what a run that was killed left behind."""
        job = self.job
        if finish_together(self.journal):
            self.say("the last run died while publishing; its outputs are in place now", "warning")
        checkpoint = job.candidate / CHECKPOINTS / "latest.safetensors"
        for path in (*job.outputs().values(), self.journal, self.workplace, job.model, job.candidate, checkpoint):
            sweep(path)

    @property
    def journal(self) -> Path:
        return self.job.status.with_name(f".{self.job.name}.publishing")

    @property
    def workplace(self) -> Path:
        return self.job.forecasts.with_name(f"{self.job.name}.night")

    def is_unchanged(self, last: Mapping[str, Any], delivered: deliveries.Delivery) -> bool:
        same = bool(delivered.fingerprint) and last["fingerprint"] == delivered.fingerprint
        there = all(path.exists() for path in self.job.outputs().values()) and self.model_is_there()
        return same and there and last["identity"] == self.job.identity and last["version"] == __version__

    def nothing_new(self, last: Mapping[str, Any]) -> Outcome:
        facts = {"job": self.job.name, "noop": True, "newest": last["facts"]["newest"]}
        line = f"the input is as it was after the last run ({last['ended_at']}): nothing to do"
        times = np.array([last["facts"]["newest_time"]], dtype=np.int64)
        clock = load(self.job.model).schema.clock if self.job.file.stale_after else None
        ages = outputs.age(times, clock, self.wishes.now) if clock else None
        limit = self.job.file.stale_after
        if ages is not None and limit and ages[0] > limit.total_seconds():
            self.say(f"the newest row, {facts['newest']}, is older than stale_after allows", "warning")
            return Outcome(code=11, facts=facts | {"stale": True}, lines=(line,))
        return Outcome(facts=facts, lines=(line,))

    def work(self, delivered: deliveries.Delivery, last: Mapping[str, Any] | None) -> Outcome:
        """The night itself, between the lock and the last word."""
        job = self.job
        model = load(job.model) if self.model_is_there() else None
        self.refuse_a_foreign_status()
        self.workplace.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{self.workplace.name}."
        with tempfile.TemporaryDirectory(prefix=prefix, suffix=".tmp", dir=self.workplace.parent) as name:
            work = Path(name)
            reading, sources = self.read(delivered, model, work)
            self.refuse_older(reading.panel, last)
            self.score_the_past(reading.panel, again=sources == job.sources)
            scored = self.store.scored(job.name)
            model = self.renew(model, scored, reading, delivered)
            state = health(model, scored, since=self.since(model))
            self.facts["health"] = state.facts()
            forecasts, rows = self.predict(model, scored, reading.panel, sources, work)
            fresh = self.detect(sources, work)
            if job.file.report is not None:
                past = sources[0] if len(sources) == 1 and Path(sources[0]).is_file() else None
                report = work / f"report{job.file.report.suffix}"
                plot(str(work / "forecasts.csv"), history=past, output=report, on_progress=silent)
            code = self.verdict(forecasts, reading.panel, state, fresh)
            deliveries.require_at_rest(job.sources, delivered)
            self.publish(forecasts, reading.panel, work, delivered, model, code)
            self.note(rows, reading, delivered, model, code)
        return Outcome(code=code, facts=self.facts, lines=self.lines())

    def read(self, delivered: deliveries.Delivery, model: Model | None, work: Path) -> tuple[Reading, list[str]]:
        """The input, or only its tail where it did nothing but grow; and the files that were read."""
        job, noted = self.job, self.noted
        schema = model.schema if model else None
        fits = noted is not None and model is not None and not model.architecture.stateful
        if fits and noted and delivered.grew and noted["tail_rows"] <= 4 * deliveries.TAIL_ROWS * len(noted["last"]):
            tail = deliveries.write_tail(noted, work)
            try:
                reading = read([str(tail)], job.settings.reader, schema=schema, on_progress=silent)
            except DataError:
                reading = None  # told again, with the lines of the whole file, by the reading below
            if reading is not None and deliveries.continues(noted, reading):
                added = reading.rows - noted["tail_rows"]
                self.say(f"{added:,} rows were appended; {reading.rows:,} of the last rows are read")
                self.facts |= {"read": "tail", "new_rows": noted["new_rows"] + added}
                return reading, [str(tail)]
        reading = read(job.sources, job.settings.reader, schema=schema, on_progress=self.on_progress)
        self.facts |= {"read": "all", "new_rows": 0 if model is None else self.rows_since_training(model, reading.panel)}
        return reading, job.sources

    def rows_since_training(self, model: Model, panel: Panel) -> int:
        attempt = self.store.last_run(self.job.name, trained=True)
        floor = attempt["training"]["newest_time"] if attempt else np.iinfo(np.int64).min
        seen = np.maximum(seen_until(model, panel), floor)
        times = panel.times(np.arange(len(panel.values), dtype=np.int64))
        later = times > seen[panel.series[np.searchsorted(panel.offsets, np.arange(len(times)), side="right") - 1]]
        return int((panel.observed.any(axis=1) & later).sum())

    def refuse_a_foreign_status(self) -> None:
        status = self.job.status
        try:
            owner = json.loads(status.read_text("utf-8")).get("job") if status.exists() else self.job.name
        except (ValueError, AttributeError):
            owner = None
        if owner != self.job.name:
            raise UsageError(
                f"{status} belongs to {f'the job {owner!r}' if owner else 'something else'}",
                remedy="give this job a status file of its own: `status: FILE`",
            )

    def refuse_older(self, panel: Panel, last: Mapping[str, Any] | None) -> None:
        newest = int(outputs.newest(panel).max())
        self.facts["newest_time"] = newest
        self.facts["newest"] = panel.schema.clock.format(np.array([newest]))[0]
        before = last["facts"] if last else {"newest_time": newest}
        if newest < before["newest_time"] and not self.wishes.accept_older:
            raise DataError(
                f"the input ends at {self.facts['newest']}; the last run had rows up to {before['newest']}",
                remedy="deliver the whole file again; if rows were withdrawn on purpose, run with --accept-older",
            )
        gone = set(before.get("series_names", ())) - set(panel.ids)
        if gone:
            self.say(f"{len(gone)} series of the last run are no longer in the input, {min(gone)} for one", "warning")

    def score_the_past(self, panel: Panel, *, again: bool) -> None:
        times = panel.times(np.arange(len(panel.values), dtype=np.int64))
        waiting = self.store.to_score(self.job.name, first=int(times.min()), last=int(times.max()), again=again)
        found = scoring.score(waiting, panel, job=self.job.name, run=self.number)
        with self.store.transaction() as writing:
            writing.upsert(store.actuals, found.actuals)
            writing.upsert(store.scores, found.scores)
        self.facts |= {"scored": len(found.scores), "restated": found.restated}
        if found.scores:
            self.say(f"{len(found.scores):,} forecast rows met what came true")
        if found.restated:
            self.say(f"{found.restated:,} rows are not what they were before: their forecasts are scored anew", "warning")

    def renew(
        self, model: Model | None, scored: pd.DataFrame, reading: Reading, delivered: deliveries.Delivery
    ) -> Model:
        """The model of tonight: the current one, or a new one that is not worse."""
        job = self.job
        if model is None:
            self.say("there is no model yet: training one")
            self.train(reading.panel)
        else:
            attempt = self.store.last_run(job.name, trained=True)
            began = attempt["trained_at"] if attempt else _changed(job.model)
            state = health(model, scored, since=self.since(model))
            now, why = due(
                job.file.retrain,
                state,
                age=self.wishes.now - dt.datetime.fromisoformat(began),
                new_rows=self.facts["new_rows"],
                trained_rows=int(model.summary.get("rows", 0)),
            )
            self.facts["retrain"] = {"due": now, "why": why}
            self.say(f"{'training again' if now else 'the model stays'}: {why}")
            if not now:
                return model
            whole = reading.panel
            if self.facts["read"] == "tail":
                whole = read(job.sources, job.settings.reader, schema=model.schema, on_progress=silent).panel
            self.train(whole)
            deliveries.require_at_rest(job.sources, delivered)
            better, told = not_worse(model, job.candidate, whole)
            self.facts["promoted"] = better
            if not better:
                shutil.rmtree(job.candidate)
                self.say(f"the new model is not promoted: {told}", "warning")
                return model
            self.say(f"the new model is promoted: {told}")
        promote(job.candidate, job.model, old_models=job.old_models, keep=job.file.keep, now=self.wishes.now)
        return load(job.model)

    def train(self, panel: Panel) -> None:
        """Train the candidate; with half the batch, again and again, while the memory does not suffice."""
        settings = self.job.settings
        for _ in range(_HALVINGS + 1):
            try:
                self.train_once(settings)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                settings = self.with_half_the_batch(settings)
            else:
                break
        else:
            raise ResourceError(
                f"the memory does not suffice for training, not even for {settings.training.batch} windows a step",
                remedy="give the machine more memory, or set a smaller network.context or network.hidden in the job",
            )
        self.trained = self.wishes.now.isoformat()
        self.facts["trained"] = True
        self.facts["new_rows"] = 0
        training = {"newest_time": int(outputs.newest(panel).max())}
        with self.store.transaction() as writing:
            writing.amend(self.number, {"trained_at": self.trained, "training": training})

    def train_once(self, settings: Settings) -> None:
        job = self.job
        wanted: dict[str, Any] = {"settings": settings, "model": job.candidate, "on_progress": self.on_progress}
        if (job.candidate / CHECKPOINTS).is_dir():
            try:
                train(job.sources, **wanted, resume=True)
            except ModelError as error:
                self.say(f"an interrupted training cannot go on ({error.message}): it begins anew")
            else:
                return
        if job.candidate.exists():
            shutil.rmtree(job.candidate)
        try:
            train(job.sources, **wanted)
        except StoppedError as error:
            raise StoppedError(
                error.message,
                remedy=f"go on with: lstmcast run {job.path}",
                signal_number=error.signal_number,
            ) from error

    def with_half_the_batch(self, settings: Settings) -> Settings:
        plan = train(self.job.sources, settings=settings, model=self.job.candidate, dry_run=True).facts["plan"]
        before = settings.training.batch or int(plan["batch"]["value"])
        half = max(1, before // 2)
        self.say(f"out of memory: training again with {half} windows a step instead of {before}", "warning")
        return settings.model_copy(update={"training": settings.training.model_copy(update={"batch": half})})

    def predict(
        self, model: Model, scored: pd.DataFrame, panel: Panel, sources: list[str], work: Path
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """The forecasts as they will be published, and as the store keeps them."""
        part, network = self.job.file.predict, model.settings.network
        asked: dict[float, float] = {}
        if model.architecture.loss == "quantile":
            asked = scoring.adapted(part.levels or network.levels, scored)
        self.facts["levels"] = {f"{level:g}": wanted for level, wanted in asked.items()}
        output = work / "forecasts.csv"
        predict(
            sources,
            model=self.job.model,
            output=str(output),
            horizon=part.horizon,
            levels=tuple(asked.values()) or None,
            reader=self.job.settings.reader,
            device=self.job.settings.training.device,
            threads=self.job.settings.training.threads,
            on_progress=self.on_progress,
        )
        horizon = part.horizon or model.architecture.horizon
        naive = scoring.baseline(panel, horizon=horizon, season=int(model.summary["season"]))
        frame = outputs.read_frame(output)
        frame = outputs.finished(
            frame, panel, naive=naive, asked={v: k for k, v in asked.items()}, stale=self.stale(panel)
        )
        write_table(frame, str(output))
        rows = scoring.forecast_rows(frame, panel, naive=naive, job=self.job.name, run=self.number)
        return frame, rows

    def detect(self, sources: list[str], work: Path) -> list[dict[str, Any]]:
        """Look for anomalies; the events no earlier run has told of."""
        if self.job.file.detect is None:
            return []
        places = {"output": str(work / "anomalies.csv"), "events": str(work / "events.csv")}
        try:
            found = detect_anomalies(
                sources, settings=self.job.settings, model=self.job.model, **places, on_progress=self.on_progress
            ).facts["events"]
        except TooShortError as error:
            self.say(f"no anomalies are looked for tonight: {error.message}", "warning")
            self.facts["undetected"] = True
            return []
        known = self.store.known_events(self.job.name)
        fresh = [event for event in found if event["event_id"] not in known]
        self.facts |= {"events": len(found), "new_events": fresh}
        for event in fresh:
            self.say(f"new event, {event['severity']}: {event['message']}", "warning")
        return fresh

    def stale(self, panel: Panel) -> NDArray[np.bool_]:
        """bool (N,) series whose last row is older than ``stale_after``."""
        limit, ages = self.job.file.stale_after, outputs.age(outputs.newest(panel), panel.schema.clock, self.wishes.now)
        if limit is None:
            return np.zeros(len(panel.ids), dtype=bool)
        if ages is None:
            raise UsageError("stale_after needs times of a calendar", remedy="leave it out of the job file")
        return np.asarray(ages > limit.total_seconds())

    def verdict(self, frame: pd.DataFrame, panel: Panel, state: Health, fresh: list[dict[str, Any]]) -> int:
        """The exit code of the night."""
        series = outputs.series_status(frame, panel)
        counts = series["status"].value_counts().to_dict()
        self.facts |= {"job": self.job.name, "noop": False, "series": len(series), "status": counts}
        drifted = state.drop is not None and state.drop > self.job.file.retrain.max_skill_drop
        self.facts["drift"] = drifted
        if drifted:
            self.say(f"drift: the skill is {state.drop:.1%} lower than at training", "warning")
        if self.stale(panel).all():
            self.say(f"the newest row, {self.facts['newest']}, is older than stale_after allows", "warning")
            return 11
        if fresh and self.wishes.fail_on_anomaly:
            return 10
        if drifted and self.wishes.fail_on_drift:
            return 1
        return 6 if self.facts.get("undetected") or set(counts) & set(outputs.TROUBLE) else 0

    def publish(
        self,
        frame: pd.DataFrame,
        panel: Panel,
        work: Path,
        delivered: deliveries.Delivery,
        model: Model,
        code: int,
    ) -> None:
        """All outputs in their places, together; the status last."""
        job, places = self.job, self.job.outputs()
        sidecar = json.loads((work / "forecasts.csv.meta.json").read_text("utf-8"))
        sidecar |= {"output": str(job.forecasts), "sources": job.sources, "fingerprint": delivered.fingerprint}
        write_json(sidecar, work / "sidecar.json")
        if job.file.predict.format != "csv":
            write_table(frame, str(work / "forecasts.out"), format=job.file.predict.format)
        write_table(outputs.series_status(frame, panel), str(work / "series.csv"))
        names = {
            "forecasts": "forecasts.csv" if job.file.predict.format == "csv" else "forecasts.out",
            "sidecar": "sidecar.json",
            "anomalies": "anomalies.csv",
            "events": "events.csv",
            "report": f"report{job.file.report.suffix}" if job.file.report else "",
            "series": "series.csv",
        }
        made = {places[key]: work / name for key, name in names.items() if key in places and (work / name).is_file()}
        self.facts |= {"model_id": model.identity, "fingerprint": delivered.fingerprint}
        status = {
            **self.facts,
            "exit_code": code,
            "finished_at": self.wishes.now.isoformat(timespec="seconds"),
            "lstmcast_version": __version__,
            "sha256": outputs.digests(made),
        }
        write_json(status, work / "status.json")
        replace_together(made | {job.status: work / "status.json"}, journal=self.journal)

    def note(
        self,
        rows: list[dict[str, Any]],
        reading: Reading,
        delivered: deliveries.Delivery,
        model: Model,
        code: int,
    ) -> None:
        """The night in the store, in one transaction."""
        if self.facts["read"] == "tail" and self.noted:
            cursor = deliveries.advanced(self.noted | {"new_rows": 0}, delivered, reading)
        else:
            need = max(4 * model.architecture.context + model.architecture.horizon, deliveries.TAIL_ROWS)
            cursor = deliveries.cursor(delivered, reading, rows=need, new_rows=0)
        if cursor is not None:
            cursor["new_rows"] = self.facts["new_rows"]
        told = {**self.facts, "series_names": list(reading.panel.ids)}
        row = self.row(code) | {"fingerprint": delivered.fingerprint, "model_id": model.identity, "cursor": cursor}
        with self.store.transaction() as writing:
            writing.upsert(store.forecasts, rows)
            writing.upsert(store.events, [self.event(event) for event in self.facts.get("new_events", ())])
            writing.amend(self.number, row | {"facts": told})

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        plain = json.loads(json.dumps(event, default=str))
        columns = {key: str(event[key]) for key in ("event_id", "unique_id", "start", "severity", "message")}
        return columns | {"job": self.job.name, "run": self.number, "event": plain}

    def row(self, code: int) -> dict[str, Any]:
        now = self.wishes.now.isoformat(timespec="seconds")
        plain = {"job": self.job.name, "ended_at": now, "exit_code": code, "fingerprint": "", "model_id": ""}
        first = {"started_at": now, "identity": self.job.identity, "version": __version__, "facts": {}}
        return plain | first | ({"trained_at": self.trained} if self.trained else {})

    def since(self, model: Model) -> int | None:
        return max((int(time) for time in model.trained_until.values()), default=None)

    def model_is_there(self) -> bool:
        return (whole_folder(self.job.model) / MANIFEST).is_file()

    def say(self, text: str, level: Any = "info") -> None:
        self.on_progress(Notice(text, level))

    def lines(self) -> tuple[str, ...]:
        counts = ", ".join(f"{count} {status}" for status, count in self.facts["status"].items())
        return (
            f"{self.facts['series']} series forecast ({counts}) after {self.facts['newest']}: {self.job.forecasts}",
            f"next: lstmcast history {self.job.path}",
        )


def _changed(folder: Path) -> str:
    stamp = (whole_folder(folder) / MANIFEST).stat().st_mtime
    return dt.datetime.fromtimestamp(stamp, tz=dt.UTC).isoformat()
