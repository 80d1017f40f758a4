"""Budget: a plan that ends on time, on the machine at hand."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lstmcast.atomic import replace_file
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.fit.loop import fit
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import Plan
from lstmcast.outcome import Notice, OnProgress, Progress, Report, silent

SECONDS = {"fast": 20.0, "auto": 120.0, "best": 900.0}
"""What training may take, whatever the machine."""

_PROBE = 10  # steps; the first ones warm caches up
_LEAST = 100  # steps below which a network has hardly begun to learn
_FILE = "budget.json"


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the ``steps``, how many members are ``tried`` and trained in the end, whether there is time for the
    race that was asked for, and whether there is ``spare`` time for one network more."""

    steps: float
    tried: int
    members: int
    races: bool
    spare: bool


@dataclass(frozen=True, slots=True)
class Allotment:
    """Both stages, as large as time allows, the seconds that one step of the first member takes, whether the first
    network ``races`` against another, and whether one network more would still end on time."""

    trial: Plan
    final: Plan
    step_seconds: float
    races: bool
    spare: bool

    def seconds(self, plan: Plan) -> float:
        """What ``plan`` will take on one core, roughly."""
        return self.step_seconds * _steps(plan)


def fit_into(
    panel: Panel,
    trial: Plan,
    final: Plan,
    *,
    pools: Pools,
    processes: int,
    races: bool = False,
    checkpoints: Path | None,
    resume: bool,
    on_progress: OnProgress,
) -> Allotment:
    """Take ten steps to see how long one takes; then, if the plan would last too long, take members and steps away.

    With ``races`` the first network of the trial is to be trained twice, if there is time for it. ``pools`` are those
    of the trial. Steps the user has set are left alone. What was decided is remembered beside the checkpoints, so that
    a resumed training is the same training. Raises ``ModelError`` when that note is there but cannot be read.
    """
    seconds = SECONDS[trial.settings.training.budget]
    if resume and checkpoints is not None and (checkpoints / _FILE).is_file():
        share, each = _remembered(checkpoints / _FILE)
    else:
        each = _probe(panel, trial, pools, on_progress)
        share = _share(trial, final, each, seconds, processes, races=races)
        if checkpoints is not None:
            with replace_file(checkpoints / _FILE) as file:
                json.dump(asdict(share) | {"step_seconds": each}, file)
    if share.steps < 1 or share.members < len(final.members):
        final = final.first(share.members).shortened(share.steps, least=_LEAST)
        told = f"{share.members} member{'s' if share.members > 1 else ''} of {final.steps} steps"
        on_progress(
            Notice(f"a step takes {each:.2g} s here: {told}, to end within {seconds:g} s (--budget best allows more)")
        )
    trial = trial.first(share.tried).shortened(share.steps, least=_LEAST)
    return Allotment(trial, final, each, share.races, share.spare)


def expected_seconds(panel: Panel, plan: Plan) -> float:
    """Processor seconds that training by ``plan`` will take, roughly: ten steps are taken to tell.

    The networks are trained twice, once without the held-out rows; the budget ends both.
    """
    total = 2 * _steps(plan) * _probe(panel, plan, Pools(panel, plan.split), silent)
    return total if plan.steps_given else min(total, SECONDS[plan.settings.training.budget])


def _steps(plan: Plan) -> int:
    return sum(plan.alone(number).steps for number in range(len(plan.members)))


def _share(trial: Plan, final: Plan, each: float, seconds: float, processes: int, *, races: bool) -> Share:
    """What fits into ``seconds``: members of the trial go first, then final ones, then steps."""
    if trial.steps_given:
        return Share(1.0, len(trial.members), len(final.members), races, spare=True)

    def expected(tried: int, members: int) -> float:
        rounds = math.ceil(members / processes) + (0 if trial is final else math.ceil(tried / processes))
        return each * rounds * final.steps

    tried, members = len(trial.members), len(final.members)
    while tried > 1 and trial is not final and expected(tried, members) > seconds:
        tried -= 1
    while members > 1 and expected(tried, members) > seconds:
        members -= 1
    tried = members if trial is final else tried
    total, more = expected(tried, members), each * final.steps
    races = races and total + more <= seconds
    spare = total + more * (1 + races) <= seconds
    return Share(min(1.0, seconds / max(total, 1e-9)), tried, members, races, spare)


def _probe(panel: Panel, plan: Plan, pools: Pools, on_progress: OnProgress) -> float:
    """Seconds per step of the first member.

    Those of the processor: what else the machine does during ten steps says nothing of the minutes after, and must not
    change the model.
    """
    alone = plan.alone(0)
    short = alone.shortened(_PROBE / max(alone.steps, 1), least=1)
    short = replace(short, split=replace(short.split, validation=short.split.validation[:0]))  # steps, no verdict
    began = time.thread_time()
    times: list[float] = []

    def note(report: Report) -> None:
        if isinstance(report, Progress):
            times.append(time.thread_time() - began)
        else:
            on_progress(report)

    fit(panel, short, pools=pools, stoppable=False, on_progress=note)  # the trial saves what it has, and stops
    return (times[-1] - times[2]) / (len(times) - 3) if len(times) > 3 else 0.0


def _remembered(path: Path) -> tuple[Share, float]:
    try:
        note = json.loads(path.read_bytes())
        few = {key: int(note[key]) for key in ("tried", "members")}
        share = Share(float(note["steps"]), **few, races=bool(note["races"]), spare=bool(note["spare"]))
        return share, float(note["step_seconds"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}", remedy="train without --resume") from error
