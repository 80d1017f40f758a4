"""Ledger: what one run writes into the store, and when."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from lstmcast import __version__
from lstmcast.data.panel import Panel
from lstmcast.errors import LstmcastError, StoppedError
from lstmcast.ops import scoring, store
from lstmcast.ops.job import Job
from lstmcast.ops.store import Store

UNFINISHED = -1  # exit code of a run that died or is still at work


class Ledger:
    """The lines of one run: opened before it begins to work, closed when it is published or has failed."""

    def __init__(self, opened: Store, job: Job, now: dt.datetime) -> None:
        self._store, self._job = opened, job
        self._now = now.isoformat(timespec="seconds")
        first = {"started_at": self._now, "identity": job.identity, "version": __version__, "facts": {}}
        with opened.transaction() as writing:
            self.run = writing.run({"job": job.name, "fingerprint": "", "model_id": ""} | first | self._end(UNFINISHED))

    def score(self, panel: Panel, *, again: bool) -> scoring.Scored:
        """Score forecasts whose actuals have arrived; with ``again`` also look for actuals that have changed."""
        times = panel.times(np.concatenate([panel.offsets[:-1], panel.ends - 1]))
        waiting = self._store.to_score(self._job.name, first=int(times.min()), last=int(times.max()), again=again)
        found = scoring.score(waiting, panel, job=self._job.name, run=self.run)
        with self._store.transaction() as writing:
            writing.upsert(store.actuals, found.actuals)
            writing.upsert(store.scores, found.scores)
        return found

    def trained(self, *, until: int) -> None:
        """Note a training at once: one that is not promoted, or dies later, still was one."""
        with self._store.transaction() as writing:
            writing.amend(self.run, {"trained_at": self._now, "training": {"newest_time": until}})

    def drop(self) -> None:
        """Take the run out again: there was nothing to do."""
        with self._store.transaction() as writing:
            writing.withdraw(self.run)

    def fail(self, error: LstmcastError) -> None:
        """Close the run that ended in ``error``."""
        code = 128 + error.signal_number if isinstance(error, StoppedError) else error.exit_code
        with self._store.transaction() as writing:
            writing.amend(self.run, self._end(code) | {"facts": {"error": error.message}})

    def close(
        self,
        code: int,
        *,
        facts: dict[str, Any],
        forecasts: Iterable[list[dict[str, Any]]],
        events: list[dict[str, Any]],
        row: dict[str, Any],
    ) -> None:
        """Close the run that was published: its ``forecasts``, which come in parts, events and all else become visible
        together."""
        with self._store.transaction() as writing:
            for rows in forecasts:
                writing.upsert(store.forecasts, rows)
            writing.upsert(store.events, [self._event(event) for event in events])
            writing.amend(self.run, self._end(code) | row | {"facts": facts})

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        plain = json.loads(json.dumps(event, default=str))
        columns = {key: str(event[key]) for key in ("event_id", "unique_id", "start", "severity", "message")}
        return columns | {"job": self._job.name, "run": self.run, "event": plain}

    def _end(self, code: int) -> dict[str, Any]:
        return {"ended_at": self._now, "exit_code": code}
