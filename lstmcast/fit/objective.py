"""Objectives: where the next loss comes from. Either independent windows, or a stream with carried state."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.relatives import Relatives
from lstmcast.data.windows import Batch, Sampler, Split, Windows
from lstmcast.forecast.network import predicted
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.smoothing import Summary
from lstmcast.net.teacher import Teacher, draw


class Loss(NamedTuple):
    """A scalar with its graph, and the batch it came from (to name the culprit when it is not finite)."""

    value: Tensor
    batch: Batch


class Objective(Protocol):
    """Yields the loss of the next optimiser step; its position can be saved and restored exactly."""

    def next_loss(self, network: Forecaster, *, told: float = 0.0) -> Loss:
        """``told`` is the share of the forecast that a decoder reads as it came true, where it reads its own."""
        ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


def teacher(batch: Batch, network: Forecaster, told: float, generator: torch.Generator) -> Teacher | None:
    """What is told of the windows of a batch, each patch with the chance ``told``."""
    patch = network.architecture.patch
    return draw(batch.target, batch.target_observed, patch=patch, share=told, generator=generator)


_AHEAD = 400_000  # values in windows gathered ahead
_POOL = 40_000  # histories summarised before training
_BLOCK = 4096  # at once


class Pool(NamedTuple):
    """Training windows (M,) whose histories are summarised already. ``chances`` (M,) cumulated: a series with n windows
    among them is drawn √n times as often as one with a single window."""

    windows: Windows
    cutoffs: Tensor
    summary: Summary
    chances: Tensor


class Pools:
    """The pools of one panel and split, one for each way in which networks look at a history."""

    def __init__(self, panel: Panel, parts: Split) -> None:
        self._panel, self._parts = panel, parts
        self._made: dict[tuple[int, int, int], Pool] = {}

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which makes its own: they are larger than what they are made from."""
        return self.__dict__ | {"_made": {}}

    def of(self, network: Forecaster) -> Pool:
        """The pool for ``network``; made at the first call."""
        shape = network.architecture
        key = (shape.reach, shape.horizon, shape.season)
        if key not in self._made:
            self._made[key] = self._make(network)
        return self._made[key]

    def _make(self, network: Forecaster) -> Pool:
        shape, parts = network.architecture, self._parts
        every = np.concatenate([np.arange(a, b + 1) for a, b in zip(parts.first, parts.last, strict=True)])
        cutoffs = torch.from_numpy(every[np.unique(np.linspace(0, len(every) - 1, _POOL).astype(np.int64))])
        windows = Windows(self._panel, context=shape.reach, horizon=shape.horizon)
        summaries, series = [], []
        for chunk in torch.split(cutoffs, _BLOCK):
            batch = windows.gather(chunk)
            summary = network.summarise(batch.context, batch.observed)
            if summary is not None:
                summaries.append(summary)
            series.append(batch.series)
        of_series = torch.cat(series)
        chance = torch.bincount(of_series)[of_series].double().rsqrt()
        joined = Summary(*(torch.cat(part) for part in zip(*summaries, strict=True)))
        return Pool(windows, cutoffs, joined, chance.cumsum(0) / chance.sum())


class PoolObjective:
    """Windows drawn at random from a pool."""

    def __init__(self, pool: Pool, *, batch: int, seed: int) -> None:
        self._pool, self._batch = pool, batch
        self._generator = torch.Generator().manual_seed(seed)

    def next_loss(self, network: Forecaster, *, told: float = 0.0) -> Loss:
        pool = self._pool
        drawn = torch.rand(self._batch, generator=self._generator, dtype=torch.float64)
        at = torch.searchsorted(pool.chances, drawn).clamp(max=len(pool.cutoffs) - 1)
        batch = pool.windows.gather(pool.cutoffs[at]).to(network.device)
        summary = Summary(*(part.to(network.device) for part in pool.summary.pick(at)))
        prediction = predicted(network, batch, summary=summary, teacher=teacher(batch, network, told, self._generator))
        return Loss(network.loss(prediction, batch.target, batch.target_observed), batch)

    def state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])


class WindowObjective:
    """Windows drawn at random: a series uniformly, then one of its windows uniformly.

    Some batches are gathered ahead, as a small one costs little but the calls that make it.
    """

    def __init__(self, panel: Panel, parts: Split, network: Forecaster, *, batch: int, seed: int) -> None:
        shape = network.architecture
        self._windows = Windows(panel, context=shape.reach, horizon=shape.horizon, spread=network.needs_spread)
        self._sampler = Sampler(panel, parts)
        self._batch = batch
        self._generator = torch.Generator().manual_seed(seed)
        columns = panel.values.shape[1] + panel.covariates.shape[1]
        self._ahead = max(1, min(16, _AHEAD // (batch * (shape.reach + shape.horizon) * columns)))
        self._teacher = torch.Generator().manual_seed(seed)  # its own, as windows are drawn ahead
        self._begun, self._taken = self._generator.get_state(), 0
        self._batches: list[Batch] = []

    def next_loss(self, network: Forecaster, *, told: float = 0.0) -> Loss:
        if self._taken == len(self._batches):
            self._draw()
        batch = self._batches[self._taken].to(network.device)
        self._taken += 1
        prediction = predicted(network, batch, teacher=teacher(batch, network, told, self._teacher))
        return Loss(network.loss(prediction, batch.target, batch.target_observed), batch)

    def _draw(self) -> None:
        self._begun, self._taken = self._generator.get_state(), 0
        several = self._windows.gather(self._sampler.draw(self._batch * self._ahead, self._generator))
        self._batches = [several.lanes(a, a + self._batch) for a in range(0, len(several.cutoff), self._batch)]

    def state(self) -> dict[str, Any]:
        """The generator before the batches at hand, how many of these are used up, and the teacher's generator."""
        return {"generator": self._begun, "taken": self._taken, "teacher": self._teacher.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
        self._draw()
        self._taken = state["taken"]
        self._teacher.set_state(state["teacher"])


class RelativeObjective:
    """Whole trees of related series at one time: windows are drawn as by ``WindowObjective``, and all relatives of each
    are read, and learned from, with it."""

    def __init__(self, panel: Panel, parts: Split, network: Forecaster, *, batch: int, seed: int) -> None:
        shape = network.architecture
        self._windows = Windows(panel, context=shape.reach, horizon=shape.horizon, spread=network.needs_spread)
        self._sampler = Sampler(panel, parts)
        self._relatives = Relatives(panel)
        self._panel, self._parts = panel, parts
        sizes = np.bincount(self._relatives.tree)
        self._draws = max(1, round(batch * sizes.sum() / np.square(sizes).sum()))  # of the trees that windows lie in
        self._generator = torch.Generator().manual_seed(seed)

    def next_loss(self, network: Forecaster, *, told: float = 0.0) -> Loss:
        drawn = self._sampler.draw(self._draws, self._generator).numpy()
        ((_, read),) = self._relatives.together(drawn, most=None)
        batch = self._windows.gather(torch.from_numpy(read.cutoffs), torch.from_numpy(read.parents)).to(network.device)
        segment = self._panel.segment_of(read.cutoffs - 1)
        trains = (self._parts.first[segment] <= read.cutoffs) & (read.cutoffs <= self._parts.last[segment])
        known = batch.target_observed & torch.from_numpy(trains).to(network.device)[:, None, None]
        prediction = predicted(network, batch, teacher=teacher(batch, network, told, self._generator))
        return Loss(network.loss(prediction, batch.target, known), batch)

    def state(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._generator.set_state(state["generator"])
