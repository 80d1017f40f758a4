"""Learn: from a panel and settings to an ensemble that knows how far it can be trusted.

First a trial on everything but the last rows, which tells how good the plan is, how wide its intervals must be and how
far its point forecast may leave the last value. Then the final networks, on all rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.fit import ablation, budget, checkpoint, device, ensemble
from lstmcast.fit.draw import draw, series_of
from lstmcast.fit.gates import Glance
from lstmcast.fit.interrupt import answering_signals
from lstmcast.fit.loop import Fitted
from lstmcast.fit.objective import Pools
from lstmcast.fit.plan import Plan, make
from lstmcast.forecast.backtest import actuals
from lstmcast.forecast.conformal import width_factors
from lstmcast.forecast.evidence import origins_of
from lstmcast.forecast.predict import quantiles_at
from lstmcast.forecast.reliability import Reliability
from lstmcast.forecast.verdict import Encoder
from lstmcast.net.ensemble import Ensemble
from lstmcast.outcome import OnProgress
from lstmcast.process import cores

Floats = NDArray[np.float64]

HISTORY_COLUMNS = ("stage", "member", "step", "loss", "learning_rate", "validation")
GATE_COLUMNS = ("stage", "member", *Glance._fields)


@dataclass(frozen=True, slots=True)
class Learned:
    """``network`` is to be used. ``plan`` held out the windows at ``plan.split.validation``: ``held`` (V, H, D, Q) is
    what the trial forecast there, ``actual`` (V, H, D) what came true, ``origin`` (V,) which of them begin together;
    ``factors`` (P, H) change the widths of intervals.

    ``encoder`` is what the recurrent encoder is worth there, None where that was not looked into. ``history`` holds
    rows of ``HISTORY_COLUMNS``, ``gates`` of ``GATE_COLUMNS``; ``steps`` were taken in all.
    """

    network: Ensemble
    plan: Plan
    held: Floats
    actual: Floats
    origin: NDArray[np.int64]
    factors: Floats
    encoder: Encoder | None
    history: tuple[tuple[str, int, int, float, float, float], ...]
    gates: tuple[tuple[str, int, int, str, str, float, float], ...]
    steps: int

    def reliability(self, panel: Panel) -> Reliability:
        """What the trial's forecasts tell of the errors of each series of ``panel``, which it was learned from."""
        plan = self.plan
        return Reliability.measured(
            panel,
            plan.split.validation,
            self.held[..., plan.architecture.quantiles.index(0.5)],
            self.actual,
            limit=plan.split.limit,
            season=plan.season,
            origins=plan.origins,
        )


@answering_signals()
def learn(
    panel: Panel,
    settings: Settings,
    *,
    plan: Plan | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    identity: str = "",
    ablates: bool = False,
    on_progress: OnProgress,
) -> Learned:
    """Train by ``settings``, or by a ``plan`` already made from them with rows held out.

    With ``ablates`` the first network is tried without its encoder too, where the budget has time for it. A signal at
    any time is answered at the next step, with a checkpoint; after the last one it is told at the end.

    Raises what ``fit.plan.make`` and ``fit.loop.fit`` raise, ``ModelError`` when there is nothing to resume.
    """
    if resume and checkpoints is not None and not any(checkpoint.exists(folder) for folder in _folders(checkpoints)):
        raise ModelError(f"there is no checkpoint in {checkpoints}", remedy="train without --resume")
    plan = make(panel, settings) if plan is None else plan
    refits = settings.training.refit and not settings.training.early_stop and plan.split.validation.size > 0
    final = make(panel, settings, hold_out=False) if refits else plan
    trial = plan.first(plan.tried) if refits else plan
    processes = _processes(settings)
    pools = Pools(panel, trial.split)
    allotted = budget.fit_into(
        panel,
        trial,
        final,
        pools=pools,
        processes=processes,
        checkpoints=checkpoints,
        resume=resume,
        on_progress=on_progress,
    )
    trial, final = allotted.trial, allotted.final

    def run(name: str, plan: Plan, pools: Pools) -> list[Fitted]:
        stage = ensemble.Stage(name, panel, plan, pools, checkpoints, resume, identity)
        side_by_side = processes if allotted.seconds(plan) > _WORTH_A_PROCESS_SECONDS else 1
        return ensemble.train(stage, side_by_side=side_by_side, on_progress=on_progress)

    tried = run("trial", trial, pools)
    bare = ablation.without_encoder(trial) if ablates and allotted.spare else None
    encoder = ablation.compared(tried[0], run("ablation", bare, pools)[0]) if bare is not None else None
    network = Ensemble([fitted.forecaster for fitted in tried])
    held, actual = _held_out(network, panel, plan, threads=processes)
    drawn = draw(panel, plan, held, actual, reach=network.reach, on_progress=on_progress)
    held, origin = drawn.held, origins_of(series_of(panel, plan.split.validation))
    trained = run("final", final, Pools(panel, final.split)) if refits else tried
    network = Ensemble(
        [fitted.forecaster for fitted in trained],
        trust=1.0 - drawn.last - drawn.seasonal,
        seasonal=drawn.seasonal,
        season=plan.season,
    )
    stages = [("trial", tried), *([("final", trained)] if refits else [])]
    return Learned(
        network=network.eval(),
        plan=plan,
        held=held,
        actual=actual,
        origin=origin,
        encoder=encoder,
        factors=_width_factors(settings, plan, held, actual, origin),
        history=tuple((name, k, *row) for name, fits in stages for k, one in enumerate(fits) for row in one.history),
        gates=tuple((name, k, *row) for name, fits in stages for k, one in enumerate(fits) for row in one.gates),
        steps=sum(fitted.steps for _, fits in stages for fitted in fits),
    )


def _width_factors(settings: Settings, plan: Plan, held: Floats, actual: Floats, origin: NDArray[np.int64]) -> Floats:
    factors = width_factors(held, actual, plan.architecture.quantiles, origin=origin)
    return factors if settings.training.calibrate else np.ones_like(factors)


_WORTH_A_PROCESS_SECONDS = 12.0
"""A process of its own costs some two seconds to start."""


def _processes(settings: Settings) -> int:
    """How many members may train side by side: on the CPU as many as there are cores, unless threads were asked for."""
    wish = settings.training
    return 1 if wish.threads or device.choose(wish.device).type != "cpu" else cores()


def _folders(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []


def _held_out(network: Ensemble, panel: Panel, plan: Plan, *, threads: int) -> tuple[Floats, Floats]:
    cutoffs = plan.split.validation
    held = quantiles_at(network.eval(), panel, cutoffs, threads=threads)
    return held, actuals(panel, cutoffs, horizon=plan.architecture.horizon)
