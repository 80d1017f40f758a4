"""Unchanged: whether a night has anything to do, and what one says that has not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmcast import __version__
from lstmcast.artifact import MANIFEST, load
from lstmcast.atomic import whole_folder
from lstmcast.ops import outputs
from lstmcast.ops.delivery import Delivery
from lstmcast.ops.job import Job
from lstmcast.outcome import Notice, OnProgress, Outcome


def model_is_there(job: Job) -> bool:
    """Whether the job has a model yet."""
    return (whole_folder(job.model) / MANIFEST).is_file()


def is_unchanged(job: Job, last: Mapping[str, Any], delivered: Delivery) -> bool:
    """Whether input, job, program and outputs are those of the ``last`` run that published."""
    same = bool(delivered.fingerprint) and last["fingerprint"] == delivered.fingerprint
    there = all(path.exists() for path in job.outputs().values()) and model_is_there(job)
    return same and there and last["identity"] == job.identity and last["version"] == __version__


def nothing_new(job: Job, last: Mapping[str, Any], now: dt.datetime, on_progress: OnProgress) -> Outcome:
    """Exit code 0, or 11 where the newest row has grown older than ``stale_after`` meanwhile."""
    facts = {"job": job.name, "noop": True, "newest": last["facts"]["newest"]}
    line = f"the input is as it was after the last run ({last['ended_at']}): nothing to do"
    limit = job.file.stale_after
    if limit is not None:
        clock = load(job.model).schema.clock
        ages = outputs.age(np.array([last["facts"]["newest_time"]]), clock, now)
        if ages is not None and ages[0] > limit.total_seconds():
            on_progress(Notice(f"the newest row, {facts['newest']}, is older than stale_after allows", "warning"))
            return Outcome(code=11, facts=facts | {"stale": True}, lines=(line,))
    return Outcome(facts=facts, lines=(line,))
