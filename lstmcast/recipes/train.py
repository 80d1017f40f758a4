"""``train``: CSV in, a verified model directory out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lstmcast.artifact import CHECKPOINTS, Model, require_free_place, save
from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.data.reader import Reading, read
from lstmcast.data.sources import is_url, lasting
from lstmcast.errors import ModelError
from lstmcast.fit import device
from lstmcast.fit.budget import expected_seconds
from lstmcast.fit.learn import GATE_COLUMNS, HISTORY_COLUMNS, Learned, learn
from lstmcast.fit.plan import Plan, make
from lstmcast.forecast.backtest import backtest_frame, scales
from lstmcast.forecast.classes import ClassVerdict, class_frame, judge_classes
from lstmcast.forecast.classical import best_classical
from lstmcast.forecast.coherent import Coherent
from lstmcast.forecast.conformal import cross_corrected
from lstmcast.forecast.memory import Memory
from lstmcast.forecast.paths import dependence
from lstmcast.forecast.predict import forecast, quantiles_at
from lstmcast.forecast.reliability import cross_coherent
from lstmcast.forecast.verdict import AGAINST, Verdict, judge
from lstmcast.net.ensemble import Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.outcome import Notice, OnProgress, Outcome, Table, silent
from lstmcast.process import peak_mb

_COMPARED = 256  # series whose forecast the saved model must repeat


def train(
    sources: list[str],
    *,
    settings: Settings,
    model: Path,
    resume: bool = False,
    dry_run: bool = False,
    probe: bool = True,
    explain_plan: bool = False,
    min_skill: float | None = None,
    on_progress: OnProgress = silent,
) -> Outcome:
    """Read, plan, fit, judge on held-out windows, save to the folder ``model``, re-load and verify.

    With ``dry_run`` nothing is fitted but, with ``probe``, ten steps, which tell the time and the memory it would take.
    The old model stays until the new one is whole. Exit code 1 if the skill against seasonal naive is below
    ``min_skill`` (the model is saved all the same). Raises what reading, planning, fitting and saving raise.
    """
    began = time.monotonic()
    require_free_place(model)
    threads = device.use_threads(settings.training.threads)
    device.choose(settings.training.device)
    reading = read(sources, settings.reader, on_progress=on_progress)
    panel = reading.panel
    plan = make(panel, settings)
    on_progress(Notice(_plan_in_a_line(plan)))
    if plan.architecture.context > plan.median_length:
        text = f"context {plan.architecture.context} is longer than the typical series ({plan.median_length} rows)"
        on_progress(Notice(f"{text}: most of what the network reads is padding", "warning"))
    table = _reasons(plan) if explain_plan else None
    if dry_run:
        return _dry(panel, plan, table, probe=probe)
    learned = learn(
        panel,
        settings,
        plan=plan,
        checkpoints=model / CHECKPOINTS,
        resume=resume,
        identity=_identity(reading, plan),
        ablates=_ablates(settings),
        on_progress=on_progress,
    )
    panel, plan = learned.reads(panel), learned.plan
    verdict, apart = _verdict(learned, panel)
    facts = _plan_facts(panel, plan) | {"verdict": verdict.facts(), "threads": threads, "steps": learned.steps}
    if apart is not None:
        facts |= {"coherent": plan.settings.network.coherent, "verdict_apart": apart.facts()}
    levels = plan.architecture.quantiles
    calibration = {
        "coverage": verdict.coverage(),
        "width_factors": learned.factors.tolist(),
        "dependence": _dependence(learned, levels),
    }
    if panel.schema.parents:
        calibration["errors"] = learned.reliability(panel).facts()
    record = _record(sources, replace(reading, panel=panel), learned, facts, calibration)
    saved = save(
        record,
        model,
        metrics=verdict.tidy,
        history=pd.DataFrame(learned.history, columns=HISTORY_COLUMNS),
        gates=pd.DataFrame(learned.gates, columns=GATE_COLUMNS) if learned.gates else None,
        verify=lambda copy: _reproduces(copy, learned.network, panel),
    )
    failed = min_skill is not None and not verdict.skill >= min_skill
    return Outcome(
        code=1 if failed else 0,
        facts=facts | {"model": str(model), "model_id": saved.identity, "seconds": round(time.monotonic() - began, 1)},
        lines=_lines(verdict, model, sources, apart=apart, min_skill=min_skill if failed else None),
        table=table,
    )


def _dependence(learned: Learned, levels: tuple[float, ...]) -> list[float]:
    """How errors of steps k apart go together; classes have no errors of a size."""
    if learned.plan.architecture.classes:
        return [0.0] * learned.plan.architecture.horizon
    return [float(value) for value in dependence(learned.held, learned.actual, levels).round(4)]


def _verdict(learned: Learned, panel: Panel) -> tuple[Verdict | ClassVerdict, Verdict | None]:
    """What the held-out windows say of the trial; where forecasts are made to add up, also of each series by itself."""
    plan = learned.plan
    if plan.architecture.classes:
        rows, limit = plan.split.validation, plan.split.limit
        frame = class_frame(panel, rows, learned.held, season=plan.season, limit=limit)
        return replace(judge_classes(frame, panel), encoder=learned.encoder), None
    trained, how = plan.architecture.quantiles, plan.settings.network.coherent
    cutoffs = plan.split.validation
    vouched = learned.held
    if plan.settings.training.calibrate:
        vouched = cross_corrected(vouched, learned.actual, trained, origin=learned.origin)

    def judged(quantiles: NDArray[np.float64], coherent: Coherent | None) -> Verdict:
        frame = backtest_frame(
            panel,
            cutoffs,
            quantiles,
            trained=trained,
            settings=plan.settings.network,
            season=plan.season,
            baselines=(AGAINST,),
            coherent=coherent,
        )
        return judge(frame, panel, limit=plan.split.limit, season=plan.season, baselines=(AGAINST,))

    def told(verdict: Verdict) -> Verdict:
        unit, _ = scales(panel, plan.split.limit, season=plan.season)
        median = learned.held[..., trained.index(0.5)]
        rival = best_classical(panel, cutoffs, median, learned.actual, unit=unit, season=plan.season)
        return replace(verdict, rival=rival, encoder=learned.encoder)

    apart = judged(vouched, None)
    if how in {None, "none"} or not len(cutoffs):
        return told(apart), None
    coherent = cross_coherent(
        panel,
        cutoffs,
        vouched,
        learned.actual,
        limit=plan.split.limit,
        season=plan.season,
        middle=trained.index(0.5),
        how=str(how),
    )
    return told(judged(coherent.quantiles, coherent)), apart


def _ablates(settings: Settings) -> bool:
    """Whether the encoder is left out once to see what it is worth: unless asked not to, or there is no time for it."""
    wanted = settings.training.ablation
    return settings.training.budget != "fast" if wanted is None else wanted


def _identity(reading: Reading, plan: Plan) -> str:
    """Data and settings in one hash: a checkpoint belongs to exactly these."""
    return hashlib.sha256(f"{reading.fingerprint} {plan.settings.model_dump_json()}".encode()).hexdigest()


def _record(
    sources: list[str], reading: Reading, learned: Learned, summary: dict[str, Any], calibration: dict[str, Any]
) -> Model:
    panel, settings = reading.panel, learned.plan.settings.reader
    last = panel.last_segment()
    until = panel.times(panel.ends[last] - 1)
    network = learned.network.cpu()
    memory = forecast(network, panel).memory if network.architecture.stateful else None
    return Model(
        schema=panel.schema,
        settings=learned.plan.settings,
        forecaster=network,
        sources=tuple(lasting(source, query=settings.query, parameters=settings.query_param) for source in sources),
        fingerprint=reading.fingerprint,
        trained_until=dict(zip(panel.ids, until.tolist(), strict=True)),
        summary=summary,
        calibration=calibration,
        state=None if memory is None else memory.arrays(),
    )


def _reproduces(copy: Model, original: Ensemble, panel: Panel) -> None:
    """The model on disk must give the very forecasts of the model in memory: a stateful one from its stored state for
    all series, any other for a sample of them."""
    if copy.architecture.stateful:
        memory = None if copy.state is None else Memory.of(copy.state, copy.forecaster.initial_state)
        again = forecast(copy.forecaster, panel, memory=memory).quantiles
        before = forecast(original, panel).quantiles
    else:
        sample = np.unique(np.linspace(0, len(panel.ids) - 1, _COMPARED).astype(int))
        cutoffs = panel.ends[panel.last_segment()[sample]]
        again, before = quantiles_at(copy.forecaster, panel, cutoffs), quantiles_at(original, panel, cutoffs)
    if not np.array_equal(again, before, equal_nan=True):
        raise ModelError(
            "the saved model does not reproduce the forecast of the trained one; the old model was kept",
            remedy="run `lstmcast doctor`; the disk or the memory of this machine may be faulty",
        )


def _plan_facts(panel: Panel, plan: Plan) -> dict[str, Any]:
    members = [Forecaster(member.architecture, generator=torch.Generator()) for member in plan.members]
    return {
        "series": len(panel.ids),
        "rows": int(panel.observed.any(axis=1).sum()),
        "frequency": panel.schema.frequency.name,
        "season": plan.season,
        "windows": plan.split.windows,
        "parameters": sum(p.numel() for member in members for p in member.parameters()),
        "members": len(members),
        "plan": {reason.key: {"value": reason.value, "why": reason.why} for reason in plan.reasons},
    }


def _plan_in_a_line(plan: Plan) -> str:
    a, t = plan.architecture, plan.settings.training
    mode = f"stateful, BPTT{t.tbptt}" if a.stateful else f"patch {a.patch}, base {a.base}"
    each = f"{len(plan.members)} networks" if len(plan.members) > 1 else "a network"
    return (
        f"plan ({plan.regime}): {each} of {a.layers}x{a.hidden} {a.cell}, horizon {a.horizon}, context {a.context}, "
        f"{mode}, {plan.steps} steps of {t.batch} (--explain-plan tells why)"
    )


def _reasons(plan: Plan) -> Table:
    return Table("plan", ("setting", "value", "why"), tuple((r.key, r.value, r.why) for r in plan.reasons))


def _dry(panel: Panel, plan: Plan, table: Table | None, *, probe: bool) -> Outcome:
    facts = _plan_facts(panel, plan)
    lines = [
        f"{facts['rows']:,} rows in {facts['series']:,} series; {facts['windows']:,} training windows, "
        f"{len(plan.split.validation):,} held out; {facts['parameters']:,} parameters",
    ]
    if probe:
        seconds = expected_seconds(panel, plan)
        facts |= {"expected_seconds": round(seconds, 1), "peak_mb": peak_mb()}
        lines.append(
            f"training takes about {seconds:.0f} s of one core, and memory up to {facts['peak_mb']:,} MB "
            "(what reading and ten steps took)"
        )
    return Outcome(facts=facts, lines=(*lines, "nothing was trained (--dry-run)"), table=table)


def _lines(
    verdict: Verdict | ClassVerdict, model: Path, sources: list[str], *, apart: Verdict | None, min_skill: float | None
) -> tuple[str, ...]:
    covered = [
        f"{name.removeprefix('coverage-')} % interval held {share:.1%}" for name, share in verdict.coverage().items()
    ]
    told = [f"verdict: {verdict.sentence()}" + (f"; {', '.join(covered)}" if covered else "")]
    if verdict.encoder is not None:
        told.append(verdict.encoder.sentence())
    if apart is not None and np.isfinite(apart.skill):
        told.append(f"forecasts add up; each series by itself would have had {apart.sentence().partition(' on ')[0]}")
    if np.isfinite(verdict.skill) and verdict.skill < 0:
        told.append("seasonal naive is the better forecast here: try more history, or another --context or --cell")
    if min_skill is not None:
        told.append(f"the skill {verdict.skill:.3f} is below --min-skill {min_skill:g}")
    told.append(f"model saved and verified in {model}")
    named = "" if any(is_url(source) for source in sources) else f" {' '.join(sources)}"
    told.append(f"next: lstmcast predict{named} -m {model}")
    return tuple(told)
