"""Learn: from a panel and settings to an ensemble that knows how far it can be trusted.

First a trial on everything but the last rows, which tells how good the plan is, how wide its intervals must be and how
far its point forecast may leave the last value. Then the final networks, on all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.fit import ablation, budget, checkpoint, covariates, device, ensemble
from lstmcast.fit.draw import draw, series_of
from lstmcast.fit.ensemble import Stage
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
from lstmcast.outcome import Notice, OnProgress
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

    def reads(self, panel: Panel) -> Panel:
        """``panel``, read as the one that was learned from, without covariates that were found not to help."""
        return panel if self.plan.architecture.past else panel.without_past()

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
        races=covariates.in_question(panel, settings, trial),
        checkpoints=checkpoints,
        resume=resume,
        on_progress=on_progress,
    )
    trial, final = allotted.trial, allotted.final

    def side_by_side(plan: Plan) -> int:
        return processes if allotted.seconds(plan) > _WORTH_A_PROCESS_SECONDS else 1

    def run(stage: Stage, begun: Sequence[Fitted] = ()) -> list[Fitted]:
        return ensemble.train(stage, begun=begun, side_by_side=side_by_side(stage.plan), on_progress=on_progress)

    stage, begun = Stage("trial", panel, trial, pools, checkpoints, resume, identity), []
    if allotted.races:
        bare = covariates.bare(stage)
        both = ensemble.race([stage, bare], side_by_side=side_by_side(trial.first(2)), on_progress=on_progress)
        worth = covariates.worth(stage, *both)
        on_progress(Notice(worth.sentence()))
        if not worth.pays:
            stage, panel, plan, final = bare, bare.panel, *map(covariates.without, (plan, final))
        plan, begun = plan.because(worth.reason()), [both[not worth.pays]]
    tried = run(stage, begun)
    blind = ablation.without_encoder(stage.plan) if ablates and allotted.spare else None
    encoder = None
    if blind is not None:
        encoder = ablation.compared(tried[0], run(replace(stage, name="ablation", plan=blind))[0])
    network = Ensemble([fitted.forecaster for fitted in tried])
    held, actual = _held_out(network, panel, plan, threads=processes)
    drawn = draw(panel, plan, held, actual, reach=network.reach, on_progress=on_progress)
    held, origin = drawn.held, origins_of(series_of(panel, plan.split.validation))
    trained = tried
    if refits:
        trained = run(replace(stage, name="final", panel=panel, plan=final, pools=Pools(panel, final.split)))
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
