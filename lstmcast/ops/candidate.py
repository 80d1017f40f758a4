"""Candidate: the model that a night trains beside the present one, for as long as it has not proved itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from lstmcast.artifact import CHECKPOINTS
from lstmcast.config import Settings
from lstmcast.errors import ModelError, ResourceError, StoppedError, is_out_of_memory
from lstmcast.ops.job import Job
from lstmcast.outcome import Notice, OnProgress, Outcome

Train = Callable[..., Outcome]

_HALVINGS = 6


def train_candidate(job: Job, train: Train, on_progress: OnProgress) -> None:
    """Train it by ``train``; with half the batch, again and again, while the memory does not suffice.

    Raises ``ResourceError`` where that does not help, ``StoppedError`` after a signal, and what training raises.
    """
    settings = job.settings
    for _ in range(_HALVINGS + 1):
        try:
            _train_once(job, settings, train, on_progress)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            settings = _with_half_the_batch(job, settings, train, on_progress)
        else:
            return
    raise ResourceError(
        "the memory does not suffice for training, however small the batch",
        remedy="give the machine more memory, or set a smaller network.context or network.hidden in the job",
    )


def _train_once(job: Job, settings: Settings, train: Train, on_progress: OnProgress) -> None:
    """Train from the last checkpoint of an interrupted night, where its data and settings were these; else anew."""
    wanted: dict[str, Any] = {"settings": settings, "model": job.candidate, "on_progress": on_progress}
    try:
        if (job.candidate / CHECKPOINTS).is_dir():
            try:
                train(job.sources, **wanted, resume=True)
            except ModelError as error:
                on_progress(Notice(f"an interrupted training cannot go on ({error.message}): it begins anew"))
            else:
                return
        if job.candidate.exists():
            shutil.rmtree(job.candidate)
        train(job.sources, **wanted)
    except StoppedError as error:
        remedy = f"go on with: lstmcast run {job.path}"
        raise StoppedError(error.message, remedy=remedy, signal_number=error.signal_number) from error


def _with_half_the_batch(job: Job, settings: Settings, train: Train, on_progress: OnProgress) -> Settings:
    plan = train(job.sources, settings=settings, model=job.candidate, dry_run=True, probe=False).facts["plan"]
    before = settings.training.batch or int(plan["batch"]["value"])
    half = max(1, before // 2)
    told = f"out of memory: training again with {half} windows a step instead of {before}"
    on_progress(Notice(told, "warning"))
    return settings.model_copy(update={"training": settings.training.model_copy(update={"batch": half})})
