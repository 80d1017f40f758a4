"""A race: networks trained on the same windows, in the same order, for the same number of steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from lstmcast.config import Settings
from lstmcast.data.panel import Panel
from lstmcast.errors import UsageError
from lstmcast.family import nearest
from lstmcast.fit import device, optimiser
from lstmcast.fit.interrupt import Stop
from lstmcast.fit.loop import covariate_scale, make_objective, static_scale
from lstmcast.fit.plan import Plan, make
from lstmcast.forecast import metrics
from lstmcast.forecast.backtest import backtest_frame
from lstmcast.forecast.predict import quantiles_at
from lstmcast.forecast.verdict import AGAINST, judge
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import CELLS
from lstmcast.net.forecaster import Forecaster, architecture_faults
from lstmcast.study import COMPARATORS

_WARM = 3  # steps whose time is not counted: buffers are made, kernels chosen
OnStep = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One who takes part, or the reason why it cannot: ``refusal`` is empty where it can."""

    name: str
    plan: Plan
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Lap:
    """One candidate, trained with one seed.

    ``losses`` of every step; ``seconds`` the median time of a step; ``kept`` bytes that the forward pass of a step
    keeps for the backward pass, weights aside. ``mase`` on the held-out windows beside ``naive``, that of seasonal
    naive; NaN where it ``diverged`` or was ``stopped``.
    """

    name: str
    seed: int
    parameters: int
    losses: tuple[float, ...]
    seconds: float
    kept: int
    mase: float
    naive: float
    diverged: bool
    stopped: bool


def candidates(plan: Plan, names: tuple[str, ...]) -> tuple[Candidate, ...]:
    """``plan`` with each of the cells and comparators ``names`` in turn. Raises ``UsageError`` for an unknown name."""
    known = [*CELLS, *COMPARATORS]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no cell or comparator called {name!r}", remedy=nearest(name, known))
    return tuple(_candidate(plan, name) for name in names)


def configured(plan: Plan, panel: Panel, files: Mapping[str, Settings]) -> tuple[Candidate, ...]:
    """The plans of ``files``, settings by name, for the horizon, the windows and the seeds of ``plan``.

    Raises ``UsageError`` where a file asks for another horizon, or reads the data in another way.
    """
    return tuple(_configured(plan, panel, name, settings) for name, settings in files.items())


def _configured(plan: Plan, panel: Panel, name: str, settings: Settings) -> Candidate:
    horizon = plan.architecture.horizon
    if settings.network.horizon not in {None, horizon}:
        raise UsageError(
            f"{name} forecasts {settings.network.horizon} rows, the others {horizon}",
            remedy=f"give the same to all: --horizon {horizon}",
        )
    if settings.reader != plan.settings.reader:
        raise UsageError(
            f"{name} reads the data in a way of its own, and all candidates must see the same",
            remedy="leave the section reader out of the file, and give its settings as flags",
        )
    network = settings.network.model_copy(update={"horizon": horizon})
    try:
        own = make(panel, settings.model_copy(update={"network": network}))
    except UsageError as error:
        return Candidate(name, plan, error.message)
    return Candidate(name, replace(own, split=plan.split, season=plan.season))


def _candidate(plan: Plan, name: str) -> Candidate:
    try:
        shape = _architecture(plan.architecture, name)
    except UsageError as error:
        return Candidate(name, plan, error.message)
    return Candidate(name, replace(plan, architecture=shape), "; ".join(architecture_faults(shape)))


def _architecture(given: Architecture, name: str) -> Architecture:
    if name in COMPARATORS:
        return cast("Architecture", COMPARATORS.load(name)().architecture(given))
    return replace(given, cell=name)


def run(candidate: Candidate, panel: Panel, *, seed: int, steps: int, stop: Stop, on_step: OnStep) -> Lap:
    """Train ``candidate`` for ``steps`` and judge it on the held-out windows; ``stop`` ends it after a step."""
    place = device.choose(candidate.plan.settings.training.device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        torch.manual_seed(seed)  # dropout draws from the global generator
        network = _network(candidate, panel, seed=seed).to(place)
        losses, times, kept = _train(network, candidate.plan, panel, seed=seed, steps=steps, stop=stop, on_step=on_step)
    diverged = not np.isfinite(losses[-1])
    stopped = len(losses) < steps and not diverged
    mase = naive = float("nan")
    if not (diverged or stopped):
        mase, naive = _judged(network.eval(), candidate.plan, panel)
    return Lap(
        name=candidate.name,
        seed=seed,
        parameters=sum(p.numel() for p in network.parameters()),
        losses=tuple(losses),
        seconds=float(np.median(times[_WARM:] or times)),
        kept=kept,
        mase=mase,
        naive=naive,
        diverged=diverged,
        stopped=stopped,
    )


def _network(candidate: Candidate, panel: Panel, *, seed: int) -> Forecaster:
    generator = torch.Generator().manual_seed(seed)
    network = Forecaster(candidate.plan.architecture, generator=generator)
    if candidate.name in COMPARATORS:
        COMPARATORS.load(candidate.name)().move_into(network, generator=generator)
    network.set_covariate_scale(*covariate_scale(panel, candidate.plan))
    network.set_static_scale(*static_scale(panel))
    return network


def _train(
    network: Forecaster, plan: Plan, panel: Panel, *, seed: int, steps: int, stop: Stop, on_step: OnStep
) -> tuple[list[float], list[float], int]:
    """Losses and seconds of each step, and the bytes kept by the first; the network ends with its average weights."""
    settings = plan.settings.training
    objective = make_objective(panel, plan, network, seed=seed)
    update = optimiser.build(network, settings, learning_rate=cast("float", settings.learning_rate))
    rate = optimiser.schedule(update, settings, steps=steps)
    average = optimiser.WeightAverage(network, settings.ema)
    losses: list[float] = []
    times: list[float] = []
    memory = _Kept(network)
    network.train()
    while len(losses) < steps and not (losses and stop.requested):
        began = time.perf_counter()
        update.zero_grad(set_to_none=True)
        with memory:
            loss = objective.next_loss(network, told=optimiser.told(settings, len(losses), steps=steps)).value
        torch.autograd.backward(loss)
        optimiser.clip(list(network.parameters()), settings)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            break
        update.step()
        rate.step()
        average.update(len(losses) - 1)
        times.append(time.perf_counter() - began)
        on_step(len(losses), losses[-1])
    network.load_state_dict(average.weights)
    return losses, times or [float("nan")], memory.bytes


class _Kept:
    """Counts once, in the first step, the bytes kept for the backward pass; weights are there anyway."""

    def __init__(self, network: Forecaster) -> None:
        self._storages = {p.untyped_storage().data_ptr() for p in network.parameters()}
        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)
        self._done = False
        self.bytes = 0

    def __enter__(self) -> None:
        if not self._done:
            self._hooks.__enter__()

    def __exit__(self, *_: object) -> None:
        if not self._done:
            self._hooks.__exit__(None, None, None)
        self._done = True

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._storages:
            self._storages.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _judged(network: Forecaster, plan: Plan, panel: Panel) -> tuple[float, float]:
    """MASE on the held-out windows, its own and that of seasonal naive; NaN where nothing could be held out."""
    cutoffs = plan.split.validation
    if not len(cutoffs):
        return float("nan"), float("nan")
    frame = backtest_frame(
        panel,
        cutoffs,
        quantiles_at(network, panel, cutoffs),
        trained=plan.architecture.quantiles,
        settings=plan.settings.network,
        season=plan.season,
        baselines=(AGAINST,),
    )
    overall = judge(frame, panel, limit=plan.split.limit, season=plan.season, baselines=(AGAINST,)).overall
    if "mase" not in overall.index:
        return float("nan"), float("nan")
    return float(overall[metrics.MODEL]["mase"]), float(overall[AGAINST]["mase"])
