"""Teaching: the detector's forecaster fitted to the rows known so far, and asked about the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.anomaly.network import LEVELS, RowForecaster
from lstmcast.anomaly.sequences import BACKS, Sequences

FIRST_STEPS, FOLD_STEPS, REFIT_STEPS = 300, 150, 80
BLOCK = 64
"""Rows forecast at once, always from the same multiple: equal shapes give equal bits, whoever brings the rows."""

_BATCH, _LARGEST_BATCH = 48, 192
_RATE, _DECAY, _AVERAGE = 3e-3, 1e-3, 0.98
_REACH = max(BACKS) - 1


def teach(
    network: RowForecaster,
    sequences: Sequences,
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
    *,
    steps: int,
    seed: int,
    anew: bool = True,
) -> None:
    """Fit ``network`` in place to rows ``first`` .. ``stop`` - 1 of each channel (M,); channels without rows sit out.

    One-cycle AdamW on anchors drawn uniformly, a channel first; kept is the running average of the weights. ``anew``
    False continues at half the rate with a short rise.
    """
    taught = np.flatnonzero(stop - first >= 2)
    channels = torch.from_numpy(taught)
    low, high = torch.from_numpy(np.maximum(first, 1)[taught]), torch.from_numpy(stop[taught])
    batch = min(_LARGEST_BATCH, _BATCH * math.ceil(math.sqrt(len(taught))))
    generator = torch.Generator().manual_seed(seed)
    parameters: list[Tensor] = list(network.parameters())
    biases = [p for name, p in network.named_parameters() if name.startswith("stack") and "bias" in name]
    others = [p for p in parameters if not any(p is bias for bias in biases)]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": biases, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(
        groups,
        lr=_RATE,
        betas=(0.9, 0.99),
        weight_decay=_DECAY,
        foreach=True,
    )
    average = [p.detach().clone() for p in parameters]
    peak, rise = (_RATE, 0.2) if anew else (_RATE / 2, 0.1)
    backs = torch.tensor(BACKS)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps):
            drawn = torch.randint(len(taught), (batch,), generator=generator)
            span = high[drawn] - low[drawn]
            row = low[drawn] + (torch.rand(batch, generator=generator) * span).long()
            counted = row[:, None] + backs - 1 < high[drawn][:, None]
            channel = channels[drawn]
            loss = network.loss(sequences.ask(channel, row), sequences.answers(channel, row), counted)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
            for group in optimiser.param_groups:
                group["lr"] = _rate((step + 1) / steps, peak, rise)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, 1 - min(_AVERAGE, (step + 1) / (step + 10)))
    with torch.no_grad():
        for p, mean in zip(parameters, average, strict=True):
            p.copy_(mean)


def _rate(done: float, peak: float, rise: float) -> float:
    if done < rise:
        return peak * done / rise
    return peak * (0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise))) + 0.02)


def tell(network: RowForecaster, sequences: Sequences, channel: int, rows: tuple[int, int]) -> NDArray[np.float64]:
    """Forecasts of ``rows`` (first, stop) of ``channel``: float64 (n, H, Q) at ``LEVELS`` in the channel's unit.

    NaN where a forecast would have been made before the first row.
    """
    first, stop = rows
    out = np.full((max(stop - first, 0), len(BACKS), len(LEVELS)), np.nan)
    network.eval()
    with torch.inference_mode():
        for begin in range(first // BLOCK * BLOCK, stop, BLOCK):
            # anchors before the first row are moved to it; what they say is not used
            anchors = torch.arange(begin - _REACH, begin + BLOCK).clamp(1, max(1, int(sequences.lengths[channel]) - 1))
            told = _quantiles(network, sequences, torch.full_like(anchors, channel), anchors).numpy()
            for k, back in enumerate(BACKS):
                row = np.arange(max(begin, first, back), min(begin + BLOCK, stop))
                out[row - first, k] = told[row - back + 1 - (begin - _REACH), k]
    return out


def _quantiles(network: RowForecaster, sequences: Sequences, channel: Tensor, row: Tensor) -> Tensor:
    asked = sequences.ask(channel, row)
    told: Tensor = network(asked).double()
    return told * asked.scale[..., None].double() + asked.level[..., None].double()


def lesson_ends(times: Sequence[NDArray[np.int64]], first: int, *, growth: float = 1.3, least: int = 200) -> list[int]:
    """Clock times at which the forecaster is taught: when a channel first has ``first`` rows, and each time that
    number has grown by ``growth`` (by ``least`` rows at least). Later rows do not change earlier ends."""
    ends: list[int] = []
    wanted = first
    while True:
        reached = [int(time[wanted - 1]) for time in times if len(time) >= wanted]
        if not reached:
            return ends
        ends.append(min(reached))
        wanted = max(int(wanted * growth), wanted + least)
