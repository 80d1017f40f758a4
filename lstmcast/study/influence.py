"""Influence: what of its input a forecast depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.data.windows import Batch
from lstmcast.forecast.network import predicted
from lstmcast.net.ensemble import Ensemble
from lstmcast.study.figure import Figure

_REPEATS = 3  # of each shuffle
_STRETCHES = 4  # a context is shuffled in, each by itself
Shuffle = Callable[[torch.Generator], Batch]


def gradients(network: Ensemble, batch: Batch, *, targets: Sequence[str]) -> Iterator[Figure]:
    """Mean |∂ŷ_h/∂x_{t−k}| of the median over windows, for each step h and each lag k of the context, k = 1 the newest.

    Both are in the user's units, so that 1 means: moves along. Statistics of the history count as given.
    """
    reach = max(shape.context for shape in network.architectures)
    context = batch.context.clone().requires_grad_()
    median = _median(network, replace(batch, context=context))
    count = batch.observed[:, -reach:].sum(0).clamp(min=1)
    for d, target in enumerate(targets):
        for step in range(median.shape[1]):
            (slope,) = torch.autograd.grad(median[:, step, d].sum(), context, retain_graph=True)
            felt = torch.where(batch.observed, slope, 0.0).abs()[:, -reach:].sum(0) / count
            for lag, value in enumerate(felt[:, d].flip(0).tolist(), start=1):
                yield Figure(None, "context", target, "gradient", value, lag=lag, step=step + 1)


def importance(
    network: Ensemble,
    batch: Batch,
    unit: NDArray[np.float64],
    *,
    targets: Sequence[str],
    covariates: Sequence[str],
    seed: int,
    on_done: Callable[[int, int], None],
) -> Iterator[Figure]:
    """How much MASE rises when one input is shuffled (Breiman 2001); ``unit`` (N, D) is what MASE divides by.

    Covariates are exchanged between windows. Of a target, the rows of a stretch of the context are shuffled in time
    within each window, so that its level stays what it was.
    """
    divisor = torch.from_numpy(unit)[batch.series.cpu()].unsqueeze(1).to(batch.context.device)
    shuffles = list(_shuffles(network, batch, targets, covariates))
    plain = _mase(network, batch, divisor)
    yield Figure(None, "input", "nothing shuffled", "MASE", plain)
    generator = torch.Generator().manual_seed(seed)
    for done, (part, subject, shuffle) in enumerate(shuffles, start=1):
        rises = [_mase(network, shuffle(generator), divisor) - plain for _ in range(_REPEATS)]
        yield Figure(None, part, subject, "importance", float(np.mean(rises)))
        on_done(done, len(shuffles))


def _shuffles(
    network: Ensemble, batch: Batch, targets: Sequence[str], covariates: Sequence[str]
) -> Iterator[tuple[str, str, Shuffle]]:
    reach = max(shape.context for shape in network.architectures)
    stretches = _STRETCHES if reach >= 2 * _STRETCHES else 1
    bounds = np.linspace(0, reach, stretches + 1).astype(int).tolist()
    spans = [(0, reach), *pairwise(bounds)] if stretches > 1 else [(0, reach)]
    for d, target in enumerate(targets):
        for newest, oldest in spans:
            yield f"rows {newest + 1}–{oldest} back", target, partial(_in_time, batch, d, newest, oldest)
    ahead = len(covariates) - batch.future.shape[2]
    for k, name in enumerate(covariates):
        yield "covariate", name, partial(_between_windows, batch, k, ahead)


def _in_time(batch: Batch, d: int, newest: int, oldest: int, generator: torch.Generator) -> Batch:
    """Target ``d``: the rows from ``newest`` to ``oldest`` rows before the cutoff in a random order."""
    rows = slice(batch.context.shape[1] - oldest, batch.context.shape[1] - newest)
    order = torch.rand(len(batch.context), oldest - newest, generator=generator).argsort(1).to(batch.context.device)
    context, observed = batch.context.clone(), batch.observed.clone()
    context[:, rows, d] = context[:, rows, d].gather(1, order)
    observed[:, rows, d] = observed[:, rows, d].gather(1, order)
    return replace(batch, context=context, observed=observed)


def _between_windows(batch: Batch, k: int, ahead: int, generator: torch.Generator) -> Batch:
    """Covariate ``k`` of each window becomes that of another; the first ``ahead`` are not known over the horizon."""
    other = torch.randperm(len(batch.past), generator=generator).to(batch.past.device)
    past, future = batch.past.clone(), batch.future.clone()
    past[..., k] = past[other, :, k]
    if k >= ahead:
        future[..., k - ahead] = future[other, :, k - ahead]
    return replace(batch, past=past, future=future)


def _mase(network: Ensemble, batch: Batch, divisor: Tensor) -> float:
    with torch.inference_mode():
        error = (_median(network, batch).double() - batch.target).abs() / divisor
    scored = error[batch.target_observed & error.isfinite()]
    return float(scored.mean()) if len(scored) else float("nan")


def _median(network: Ensemble, batch: Batch) -> Tensor:
    prediction = predicted(network, batch)
    return network.quantiles(prediction)[..., network.architecture.quantiles.index(0.5)]
