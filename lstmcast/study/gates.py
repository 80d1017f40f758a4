"""Gates: how far they stand open, how long they keep, and what reaches the end of a context from its past."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_selection import mutual_info_regression
from torch import Tensor

from lstmcast.data.windows import Batch
from lstmcast.forecast.network import predicted
from lstmcast.net.ensemble import Ensemble
from lstmcast.net.forecaster import Forecaster
from lstmcast.net.scan import scan
from lstmcast.net.stack import Reading, Stack
from lstmcast.study.figure import Figure

_UNITS, _SAMPLES, _NEIGHBOURS = 16, 1000, 3  # of each estimate of mutual information (Kraskov et al. 2004)


def observe(network: Ensemble, batch: Batch) -> list[tuple[Reading, ...]]:
    """What the cells of each member read while they forecast ``batch``; nothing for a member without a chain of them.

    A network that carries its state begins anew with each window here.
    """
    seen: list[tuple[Tensor, tuple[Tensor, ...]]] = []
    stacks = [member.stack for member in members(network)]
    hooks = [stack.register_forward_pre_hook(lambda _, given: seen.append(given)) for stack in stacks]
    with torch.inference_mode():
        predicted(network, batch)
        for hook in hooks:
            hook.remove()
        return [
            stack.readings(*given) if isinstance(stack, Stack) else ()
            for stack, given in zip(stacks, seen, strict=True)
        ]


def members(network: Ensemble) -> list[Forecaster]:
    """The networks of an ensemble."""
    return [member for member in network.members if isinstance(member, Forecaster)]


def statistics(readings: tuple[Reading, ...], *, member: int, patch: int) -> Iterator[Figure]:
    """Mean and spread of what each cell activates, over windows, steps and units; for every gate also the entropy of
    its being open or shut (bits; 1: undecided, 0: clearly one or the other), for the gate that admits its correlation
    with the candidate (unit by unit), and for the one that keeps what is left of a memory after each lag."""
    for reading in readings:
        part = reading.part
        with torch.inference_mode():
            acts = reading.cell.gates(reading.x, reading.before)
        candidate = acts.get(reading.cell.candidate)
        for name, values in acts.items():
            yield Figure(member, part, name, "mean", float(values.mean()))
            yield Figure(member, part, name, "spread", float(values.std(correction=0)))
            if name != reading.cell.candidate:
                yield Figure(member, part, name, "entropy", float(_entropy(values)))
        admits, keeps = _roles(acts, reading.cell.candidate)
        if candidate is not None and admits is not None:
            subject = f"{admits[0]},{reading.cell.candidate}"
            yield Figure(member, part, subject, "correlation", _correlation(admits[1], candidate))
        if keeps is not None:
            for lag, share in enumerate(_kept(keeps[1]), start=1):
                yield Figure(member, part, keeps[0], "kept", share, lag=lag * patch)


def memory(readings: tuple[Reading, ...], *, member: int, patch: int, seed: int) -> Iterator[Figure]:
    """Mutual information (nats) of a unit's memory now and some steps ago, mean over some units: c_t and c_{t−k},
    or h where there is no c. Estimated from nearest neighbours over windows and steps."""
    for reading in readings:
        place_of_memory = min(1, len(reading.after) - 1)
        states = reading.after[place_of_memory].double().cpu().numpy()
        lag = 1
        while lag < states.shape[1]:
            value = _mutual_information(states[:, lag:], states[:, :-lag], seed=seed)
            subject = "hc"[place_of_memory]
            yield Figure(member, reading.part, subject, "mutual information", value, lag=lag * patch)
            lag *= 2


def persistence(readings: tuple[Reading, ...], *, member: int, patch: int, seed: int) -> Iterator[Figure]:
    """Norm of the derivative of the last output h_T by h and c some steps ago, ‖∂h_T/∂c_{T−k}‖ / √C over windows.

    It falls where gradients vanish and grows where they explode (Bengio et al. 1994). Estimated with one random vector
    of signs per window, whose product with the Jacobian has its norm in the mean.
    """
    generator = torch.Generator().manual_seed(seed)
    for reading in readings:
        lag, steps = 1, reading.x.shape[1]
        while lag < steps:
            # Tensors made for inference cannot take part in a gradient; their copies can.
            x = reading.x[:, steps - lag :].clone()
            start = tuple(part[:, steps - lag].clone().requires_grad_() for part in reading.before)
            last = scan(reading.cell, x, start)[0][:, -1]
            signs = torch.randint(2, last.shape, generator=generator).to(last) * 2 - 1
            felt = torch.autograd.grad((last * signs).sum(), start)
            for subject, slope in zip("hc", felt, strict=False):  # further parts of a state only scale these
                value = float(slope.square().sum(1).mean().sqrt()) / slope.shape[1] ** 0.5
                yield Figure(member, reading.part, subject, "persistence", value, lag=lag * patch)
            lag *= 2


def _roles(acts: dict[str, Tensor], candidate: str) -> tuple[tuple[str, Tensor] | None, tuple[str, Tensor] | None]:
    """The gate that admits and the one that keeps, where the cell has them; one may be the other's complement."""
    if "f" in acts:
        admits = ("i", acts["i"]) if "i" in acts else ("1−f", 1 - acts["f"])
        return admits, ("f", acts["f"])
    if "z" in acts and candidate != "z":
        return ("1−z", 1 - acts["z"]), ("z", acts["z"])
    return None, None


def _entropy(gate: Tensor) -> Tensor:
    both = torch.stack([gate, 1 - gate]).clamp(0, 1).double()
    total: Tensor = -torch.special.xlogy(both, both).sum(0).mean() / np.log(2)
    return total


def _correlation(gate: Tensor, candidate: Tensor) -> float:
    """Mean over units; those that never move have none."""
    a, b = (part.flatten(0, 1).double() - part.flatten(0, 1).double().mean(0) for part in (gate, candidate))
    spread = (a.square().mean(0) * b.square().mean(0)).sqrt()
    moving = spread > 0
    return float(((a * b).mean(0)[moving] / spread[moving]).mean()) if bool(moving.any()) else float("nan")


def _kept(gate: Tensor) -> list[float]:
    """Mean over windows and units of the product of the gate over the last 1, 2, ... steps."""
    products = gate.double().flip(1).cumprod(1)
    return [float(value) for value in products.mean((0, 2))]


def _mutual_information(now: NDArray[np.float64], then: NDArray[np.float64], *, seed: int) -> float:
    """(B, T, C) twice: mean over at most ``_UNITS`` units, spread over the width."""
    width = now.shape[2]
    units = np.unique(np.linspace(0, width - 1, min(_UNITS, width)).astype(int))
    pairs = np.stack([now.reshape(-1, width), then.reshape(-1, width)])
    count = pairs.shape[1]
    if count <= _NEIGHBOURS:
        return float("nan")
    chosen = np.random.default_rng(seed).choice(count, min(count, _SAMPLES), replace=False)
    values = []
    for unit in units:
        a, b = pairs[:, chosen, unit]
        values.append(mutual_info_regression(b[:, None], a, n_neighbors=_NEIGHBOURS, random_state=seed)[0])
    return float(np.mean(values))
