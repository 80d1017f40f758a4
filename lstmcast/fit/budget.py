"""Budget: a plan that ends on time, on the machine at hand."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

from lstmcast.atomic import replace_file
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.fit.loop import fit
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import Plan
from lstmcast.outcome import Notice, OnProgress, Progress, Report

SECONDS = {"fast": 20.0, "auto": 120.0, "best": 900.0}
"""What training may take, whatever the machine."""

_PROBE = 10  # steps; the first ones warm caches up
_LEAST = 100  # steps below which a network has hardly begun to learn
_FILE = "budget.json"


@dataclass(frozen=True, slots=True)
class Allotment:
    """Both stages, as large as time allows, and the seconds that one step of the first member takes."""

    trial: Plan
    final: Plan
    step_seconds: float

    def seconds(self, plan: Plan) -> float:
        """What ``plan`` will take on one core, roughly."""
        return self.step_seconds * _steps(plan)


def fit_into(
    panel: Panel,
    trial: Plan,
    final: Plan,
    *,
    processes: int,
    checkpoints: Path | None,
    resume: bool,
    on_progress: OnProgress,
) -> Allotment:
    """Take ten steps to see how long one takes; then, if the plan would last too long, take members and steps away.

    Steps the user has set are left alone. What was decided is remembered beside the checkpoints, so that a resumed
    training is the same training. Raises ``ModelError`` when that note is there but cannot be read.
    """
    seconds = SECONDS[trial.settings.training.budget]
    if resume and checkpoints is not None and (checkpoints / _FILE).is_file():
        share, members, each = _remembered(checkpoints / _FILE)
    else:
        each = _probe(panel, trial, on_progress)
        share, members = _share(trial, final, each, seconds, processes)
        if checkpoints is not None:
            with replace_file(checkpoints / _FILE) as file:
                json.dump({"share": share, "members": members, "step_seconds": each}, file)
    if share < 1 or members < len(final.members):
        final = final.first(members).shortened(share, least=_LEAST)
        trial = trial.first(min(members, len(trial.members))).shortened(share, least=_LEAST)
        on_progress(
            Notice(
                f"a step takes {each:.2g} s here: {members} member{'s' if members > 1 else ''} of {final.steps} steps, "
                f"to end within {seconds:g} s (--budget best allows more)"
            )
        )
    return Allotment(trial, final, each)


def _steps(plan: Plan) -> int:
    return sum(plan.alone(number).steps for number in range(len(plan.members)))


def _share(trial: Plan, final: Plan, each: float, seconds: float, processes: int) -> tuple[float, int]:
    """The share of the steps and the number of final members that fit into ``seconds``."""
    if trial.steps_given:
        return 1.0, len(final.members)

    def expected(members: int) -> float:
        rounds = math.ceil(members / min(processes, members))
        return each * (_steps(trial) / min(processes, len(trial.members)) + rounds * final.steps)

    members = len(final.members)
    while members > 1 and expected(members) > seconds:
        members -= 1
    return min(1.0, seconds / max(expected(members), 1e-9)), members


def _probe(panel: Panel, plan: Plan, on_progress: OnProgress) -> float:
    """Seconds per step of the first member."""
    alone = plan.alone(0)
    short = alone.shortened(_PROBE / max(alone.steps, 1), least=1)
    began = time.monotonic()
    times: list[float] = []

    def note(report: Report) -> None:
        if isinstance(report, Progress):
            times.append(time.monotonic() - began)
        else:
            on_progress(report)

    fit(panel, short, pools=Pools(panel, plan.split), on_progress=note)
    return (times[-1] - times[2]) / (len(times) - 3) if len(times) > 3 else 0.0


def _remembered(path: Path) -> tuple[float, int, float]:
    try:
        note = json.loads(path.read_bytes())
        return float(note["share"]), int(note["members"]), float(note["step_seconds"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}", remedy="train without --resume") from error
