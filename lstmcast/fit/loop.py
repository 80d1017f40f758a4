"""The training loop. It reads down the page."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Batch
from lstmcast.errors import DivergedError, ModelError, StoppedError
from lstmcast.fit import checkpoint, device, optimiser
from lstmcast.fit.gates import Glance, Watch
from lstmcast.fit.interrupt import polite_stop
from lstmcast.fit.objective import Loss, Objective, PoolObjective, Pools, RelativeObjective, WindowObjective
from lstmcast.fit.plan import Plan
from lstmcast.fit.tbptt import StreamObjective
from lstmcast.forecast.backtest import actuals, scaled_error, scales
from lstmcast.forecast.classes import log_loss
from lstmcast.forecast.predict import quantiles_at
from lstmcast.net.forecaster import Forecaster
from lstmcast.outcome import Notice, OnProgress, Progress

_MEASURED = 8_000_000  # values of covariates looked at to know their scale


@dataclass(frozen=True, slots=True)
class Fitted:
    """``history`` holds (step, training loss, learning rate, validation error or NaN) rows; ``steps`` were taken.
    ``gates`` is what was seen of them, where the settings ask for it."""

    forecaster: Forecaster
    history: tuple[tuple[int, float, float, float], ...]
    steps: int
    gates: tuple[Glance, ...] = ()

    @property
    def held_out_error(self) -> float:
        """That of the weights that were kept: the last ones, or with early stopping the best; NaN without a look."""
        errors = np.array([row[3] for row in self.history])
        return float(np.nanmin(errors)) if np.isfinite(errors).any() else float("nan")


def fit(
    panel: Panel,
    plan: Plan,
    *,
    checkpoints: Path | None = None,
    resume: bool = False,
    identity: str = "",
    pools: Pools | None = None,
    stoppable: bool = True,
    on_progress: OnProgress,
) -> Fitted:
    """Train a Forecaster by ``plan``.

    With early stopping the average weights that were best on the held-out windows are kept, else the last ones.
    ``checkpoints`` is the folder for resuming; ``resume`` continues from it and ends with the very weights of an
    uninterrupted run. ``identity`` names data and settings: a checkpoint of another identity is refused. ``pools`` is
    shared by those that train on the same panel and split, so that statistics of its histories are made once. What is
    not ``stoppable`` leaves a signal to the training after it.

    Raises ``DivergedError`` when the loss is not finite again at half the learning rate, ``StoppedError`` after a
    signal (the checkpoint is saved first), ``ModelError`` when there is no usable checkpoint to resume from.
    """
    place = device.choose(plan.settings.training.device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        run = _Run(panel, plan, checkpoints=checkpoints, identity=identity, pools=pools, on_progress=on_progress)
        if resume and checkpoints is not None:
            run.resume(checkpoints)
        try:
            return run.go(stoppable=stoppable)
        except _NotFinite as first:
            run.step_back()
            on_progress(Notice(f"{first}; going back to step {run.step}, with half the learning rate", "warning"))
            try:
                return run.go(stoppable=stoppable)
            except _NotFinite as second:
                raise DivergedError(
                    f"training diverged twice: {second}",
                    remedy=f"try --lr {run.rate / 5:.1g} or --clip 0.1, and look at the rows named",
                ) from second


class _NotFinite(Exception):  # noqa: N818  # never leaves this file
    pass


class _Run:
    """One attempt at training: the objects that step together, and their joint state."""

    def __init__(
        self,
        panel: Panel,
        plan: Plan,
        *,
        checkpoints: Path | None,
        identity: str,
        pools: Pools | None,
        on_progress: OnProgress,
    ) -> None:
        settings = plan.settings.training
        self.rate = cast(float, settings.learning_rate)
        torch.manual_seed(settings.seed)  # dropout draws from the global generator
        generator = torch.Generator().manual_seed(settings.seed)
        self.panel, self.plan, self.settings = panel, plan, settings
        self.checkpoints, self.identity, self.on_progress = checkpoints, identity, on_progress
        self.network = Forecaster(plan.architecture, generator=generator)
        self.network.set_covariate_scale(*covariate_scale(panel, plan))
        self.network.set_static_scale(*static_scale(panel))
        self.network.to(device.choose(settings.device))
        self.objective = make_objective(panel, plan, self.network, seed=settings.seed, pools=pools)
        self.parameters = list(self.network.parameters())
        self.optimiser = optimiser.build(self.network, settings, learning_rate=self.rate)
        self.schedule = optimiser.schedule(self.optimiser, settings, steps=plan.steps)
        self.average = optimiser.WeightAverage(self.network, settings.ema)
        self.history: list[tuple[int, float, float, float]] = []
        self.gates: list[Glance] = []
        self.watch = Watch(panel, plan.split, self.network) if settings.gate_steps else None
        self.best, self.waited = float("inf"), 0
        self.best_weights: dict[str, Tensor] | None = None
        self.unit: NDArray[np.float64] | None = None
        self.step = 0
        self.good = deepcopy(self.state())

    def go(self, *, stoppable: bool) -> Fitted:
        with polite_stop() as stop:
            while self.step < self.plan.steps and not self.is_patient_no_more():
                self.watch_gates()
                loss = self.take_step()
                self.on_progress(Progress("training", self.step, self.plan.steps, f"loss {loss:.4f}"))
                if self.step % self.settings.checkpoint_steps == 0 or self.step == self.plan.steps:
                    self.look(loss)
                    self.good = deepcopy(self.state())
                    self.save()
                if stoppable and stop.requested and self.step < self.plan.steps:
                    self.save()
                    raise self.stopped(stop.requested)
        self.watch_gates()
        self.network.load_state_dict(self.best_weights or self.average.weights)
        return Fitted(self.network.eval(), tuple(self.history), self.step, tuple(self.gates))

    def watch_gates(self) -> None:
        """Note how far the gates stand open, where it is time for that."""
        if self.watch and (self.step % (self.settings.gate_steps or 1) == 0 or self.step == self.plan.steps):
            self.gates += self.watch.look(self.network, self.step)

    def take_step(self) -> float:
        """One optimiser step; returns the loss."""
        if not self.network.training:
            self.network.train()
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.objective.next_loss(
            self.network, told=optimiser.told(self.settings, self.step, steps=self.plan.steps)
        )
        torch.autograd.backward(loss.value)
        norm = optimiser.clip(self.parameters, self.settings)
        value, steepness = float(loss.value.detach()), float(norm)
        if not (math.isfinite(value) and math.isfinite(steepness)):
            raise _NotFinite(self.culprit(loss, steepness))
        self.optimiser.step()
        self.schedule.step()
        self.average.update(self.step)
        self.step += 1
        return value

    def look(self, loss: float) -> None:
        """Note where training stands; remember the best average seen on held-out windows."""
        error = float("nan")
        if len(self.plan.split.validation) and (self.settings.early_stop or self.step == self.plan.steps):
            current = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.weights)
            error = self.held_out_error()
            self.network.load_state_dict(current)
            self.waited += 1
            if error < self.best and self.settings.early_stop:
                self.best, self.waited = error, 0
                self.best_weights = {name: tensor.clone() for name, tensor in self.average.weights.items()}
        self.history.append((self.step, loss, float(self.optimiser.param_groups[0]["lr"]), error))

    def held_out_error(self) -> float:
        """Mean absolute error on the held-out windows, each series and target in units of its own seasonal change; of
        classes the mean log loss."""
        split = self.plan.split
        if self.plan.architecture.classes:
            made = quantiles_at(self.network.eval(), self.panel, split.validation)
            return float(np.nanmean(log_loss(made, actuals(self.panel, split.validation, horizon=made.shape[1]))))
        if self.unit is None:
            self.unit, _ = scales(self.panel, split.limit, season=self.plan.season)
        return scaled_error(self.network.eval(), self.panel, split.validation, self.unit)

    def is_patient_no_more(self) -> bool:
        return self.settings.early_stop is not None and self.waited >= self.settings.early_stop

    def culprit(self, loss: Loss, norm: float) -> str:
        """Which series, column and row most likely made the loss not finite, at what rate and gradient norm."""
        rate = self.optimiser.param_groups[0]["lr"]
        text = f"the loss is not finite at step {self.step + 1} (learning rate {rate:.2g}, gradient norm {norm:.2g})"
        return f"{text}; the largest value in the batch is in {_largest(loss.batch, self.panel, self.plan)}"

    def step_back(self) -> None:
        """Return to the last good state and halve the learning rate from there on."""
        self.restore(self.good)
        self.rate /= 2
        self.schedule.base_lrs = [rate / 2 for rate in self.schedule.base_lrs]
        for group in self.optimiser.param_groups:
            group["lr"], group["initial_lr"] = group["lr"] / 2, group["initial_lr"] / 2

    def resume(self, folder: Path) -> None:
        """Continue from the checkpoint in ``folder``."""
        state = checkpoint.read(folder)
        if state["identity"] != self.identity:
            raise ModelError(
                f"the checkpoint in {folder} belongs to other data or other settings",
                remedy="repeat the interrupted command exactly, or train without --resume",
            )
        self.restore(state)
        self.good = deepcopy(self.state())

    def save(self) -> None:
        if self.checkpoints is not None:
            checkpoint.write(self.state(), self.checkpoints)

    def stopped(self, number: int) -> StoppedError:
        saved = self.checkpoints is not None
        return StoppedError(
            f"stopped at step {self.step} of {self.plan.steps}" + ("; the checkpoint is saved" if saved else ""),
            remedy="continue with the same command and --resume" if saved else "run the command again",
            signal_number=number,
        )

    def state(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "step": self.step,
            "rate": self.rate,
            "network": dict(self.network.state_dict()),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "objective": self.objective.state(),
            "random": _random_states(self.network.device),
            "best": self.best,
            "best_weights": self.best_weights,
            "waited": self.waited,
            "history": self.history,
            "gates": self.gates,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.rate = state["step"], state["rate"]
        self.network.load_state_dict(state["network"])
        place = self.network.device
        self.average.weights = {name: tensor.to(place) for name, tensor in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.objective.restore(state["objective"])
        torch.set_rng_state(state["random"][0])
        if len(state["random"]) > 1:
            torch.cuda.set_rng_state(state["random"][1], self.network.device)
        self.best, self.best_weights, self.waited = state["best"], state["best_weights"], state["waited"]
        self.history = [tuple(row) for row in state["history"]]
        self.gates = [Glance(*row) for row in state.get("gates", ())]


def make_objective(
    panel: Panel, plan: Plan, network: Forecaster, *, seed: int, pools: Pools | None = None
) -> Objective:
    """Where the losses of ``network`` come from: a stream, a pool of summarised histories, or windows."""
    settings = plan.settings.training
    lanes = cast(int, settings.batch)
    if settings.stateful and settings.tbptt:
        k1, k2 = settings.tbptt
        return StreamObjective(panel, plan.split, network, lanes=lanes, k1=k1, k2=k2, seed=seed)
    if network.architecture.encoder == "hierarchy":
        return RelativeObjective(panel, plan.split, network, batch=lanes, seed=seed)
    if network.architecture.summarises:
        return PoolObjective((pools or Pools(panel, plan.split)).of(network), batch=lanes, seed=seed)
    return WindowObjective(panel, plan.split, network, batch=lanes, seed=seed)


def _random_states(place: torch.device) -> list[Tensor]:
    """The generators dropout draws from: torch's on the CPU and, there, the GPU's."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(place)] if place.type == "cuda" else [])]


def covariate_scale(panel: Panel, plan: Plan) -> tuple[Tensor, Tensor]:
    """Mean and deviation (K,) of each covariate over the training rows, of very many over a sample of them; a covariate
    that never varies gets scale 1."""
    count = panel.covariates.shape[1]
    if not count:
        return torch.zeros(0), torch.ones(0)
    edges = np.zeros(len(panel.covariates) + 1, dtype=np.int64)
    np.add.at(edges, panel.offsets[:-1], 1)
    np.add.at(edges, plan.split.limit, -1)
    trains = np.flatnonzero(np.cumsum(edges[:-1]))
    trains = trains[:: max(1, -(-len(trains) * count // _MEASURED))]
    rows = np.ma.masked_invalid(panel.covariates[trains].astype(np.float64))
    mean = np.ma.filled(rows.mean(axis=0), 0.0)
    deviation = np.ma.filled(rows.std(axis=0), 0.0)
    deviation[deviation <= 1e-12 * np.maximum(np.abs(mean), 1.0)] = 1.0
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def static_scale(panel: Panel) -> tuple[Tensor, Tensor]:
    """Mean and deviation (S,) of each static covariate over the series."""
    told = np.ma.masked_invalid(panel.static.astype(np.float64))
    parts = (np.ma.filled(part, empty) for part, empty in ((told.mean(axis=0), 0.0), (told.std(axis=0), 1.0)))
    mean, deviation = (torch.from_numpy(np.asarray(part)).float() for part in parts)
    return mean, deviation


def _largest(batch: Batch, panel: Panel, plan: Plan) -> str:
    """Series, column and time of the largest absolute value of the context."""
    size = torch.where(batch.context.isfinite(), batch.context.abs(), torch.inf)
    lane, row, column = np.unravel_index(int(size.argmax()), size.shape)
    begin = int(batch.cutoff[lane]) - (1 if plan.architecture.stateful else plan.architecture.reach)
    series = panel.ids[int(batch.series[lane])]
    time = panel.schema.clock.format(panel.times(np.array([begin + row])))[0]
    return f"series {series}, column {series if panel.schema.wide else panel.schema.targets[column]}, at {time}"
