"""Ensemble: the members of a plan, trained one after the other or side by side, with one progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lstmcast.data.panel import Panel
from lstmcast.fit import checkpoint, workers
from lstmcast.fit.loop import Fitted, fit
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import Plan
from lstmcast.outcome import OnProgress, Progress, Report


@dataclass(frozen=True, slots=True)
class Stage:
    """One round of training: the members of ``plan`` on ``panel``, called ``name`` in the folder of checkpoints."""

    name: str
    panel: Panel
    plan: Plan
    pools: Pools
    checkpoints: Path | None = None
    resume: bool = False
    identity: str = ""

    def folder(self, number: int) -> Path | None:
        """Where member ``number`` keeps its checkpoint."""
        return None if self.checkpoints is None else self.checkpoints / f"{self.name}-{number}"

    def member(self, number: int, on_progress: OnProgress) -> Fitted:
        """Train one member, from its checkpoint if there is one to resume."""
        folder = self.folder(number)
        return fit(
            self.panel,
            self.plan.alone(number),
            checkpoints=folder,
            resume=self.resume and folder is not None and checkpoint.exists(folder),
            identity=f"{self.identity} {self.name} {number}",
            pools=self.pools,
            on_progress=on_progress,
        )


def train(
    stage: Stage, *, begun: Sequence[Fitted] = (), side_by_side: int = 1, on_progress: OnProgress
) -> list[Fitted]:
    """All members of ``stage``, in their order, in up to ``side_by_side`` processes; the first ones have ``begun``.

    Where they are trained changes nothing in the result. Raises what ``fit.loop.fit`` raises, and ``ResourceError``
    when a process dies.
    """
    tasks = _Tasks(tuple((stage, number) for number in range(len(begun), len(stage.plan.members))))
    return [*begun, *_done(tasks, side_by_side, on_progress)]


def race(stages: Sequence[Stage], *, side_by_side: int = 1, on_progress: OnProgress) -> list[Fitted]:
    """The first member of each of ``stages``; otherwise as ``train``."""
    return _done(_Tasks(tuple((stage, 0) for stage in stages)), side_by_side, on_progress)


@dataclass(frozen=True, slots=True)
class _Tasks:
    """Members to train, each of a stage."""

    tasks: tuple[tuple[Stage, int], ...]

    def do(self, task: int, on_progress: OnProgress) -> Fitted:
        """Train one of them."""
        stage, number = self.tasks[task]
        return stage.member(number, on_progress)


def _done(tasks: _Tasks, side_by_side: int, on_progress: OnProgress) -> list[Fitted]:
    count = len(tasks.tasks)
    joined = _Joined([stage.plan.alone(number).steps for stage, number in tasks.tasks], on_progress)
    if side_by_side > 1 and count > 1:
        return workers.run(tasks.do, count, processes=side_by_side, tell=joined.tell)
    return [tasks.do(task, partial(joined.tell, task)) for task in range(count)]


class _Joined:
    """One progress out of those of all members, of so many ``steps`` each."""

    def __init__(self, steps: Sequence[int], on_progress: OnProgress) -> None:
        self._total = sum(steps)
        self._done = [0] * len(steps)
        self._on_progress = on_progress

    def tell(self, number: int, report: Report) -> None:
        """Pass on what member ``number`` reports."""
        if isinstance(report, Progress):
            self._done[number] = report.done
            report = Progress(report.stage, sum(self._done), self._total, report.detail)
        self._on_progress(report)
