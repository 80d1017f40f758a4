"""Teaching: the detector's forecaster fitted to the rows known so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.anomaly.lessons import DECAY, FIRST_MOMENT, RATE, SECOND_MOMENT, moved, pupils, rate
from lstmcast.anomaly.network import Asked, RowForecaster
from lstmcast.anomaly.sequences import BACKS, Questions, Sequences


def weights_of(network: RowForecaster) -> dict[str, NDArray[np.float32]]:
    """The weights by name, as arrays of their own."""
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def network_of(
    *, cell: str, hidden: int, seed: int, weights: Mapping[str, NDArray[np.float32]] | None = None
) -> RowForecaster:
    """A forecaster with these ``weights``, or drawn by ``seed``."""
    network = RowForecaster(cell=cell, hidden=hidden, generator=torch.Generator().manual_seed(seed))
    if weights is not None:
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return network


def asked_of(network: RowForecaster) -> Callable[[Questions], NDArray[np.float32]]:
    """``network`` as a function from questions to quantiles (B, H, Q) in their units."""
    network.eval()

    def quantiles(asked: Questions) -> NDArray[np.float32]:
        with torch.inference_mode():
            said: NDArray[np.float32] = network(Asked(*map(torch.from_numpy, asked))).numpy()
        return said

    return quantiles


def teach(
    network: RowForecaster,
    sequences: Sequences,
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
    *,
    steps: int,
    seed: int,
    since: NDArray[np.int64] | None = None,
    anew: bool = True,
) -> None:
    """Fit ``network`` in place to rows ``first`` .. ``stop`` - 1 of each channel (M,); channels without rows sit out.

    One-cycle AdamW on anchors drawn uniformly, a channel first; kept is the running average of the weights. ``anew``
    False continues at half the rate with a short rise. No season before the row ``since`` (M,) is looked at.
    """
    since = np.zeros_like(first) if since is None else since
    taught, *bounds, batch = pupils(first, stop)
    low, high = map(torch.from_numpy, bounds)
    generator = torch.Generator().manual_seed(seed)
    parameters: list[Tensor] = list(network.parameters())
    biases = [p for name, p in network.named_parameters() if name.startswith("stack") and "bias" in name]
    others = [p for p in parameters if not any(p is bias for bias in biases)]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": biases, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(
        groups,
        lr=RATE,
        betas=(FIRST_MOMENT, SECOND_MOMENT),
        weight_decay=DECAY,
        foreach=True,
    )
    average = [p.detach().clone() for p in parameters]
    backs = torch.tensor(BACKS)
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(steps):
            drawn = torch.randint(len(taught), (batch,), generator=generator)
            span = high[drawn] - low[drawn]
            row = low[drawn] + (torch.rand(batch, generator=generator) * span).long()
            channel, anchor = taught[drawn.numpy()], row.numpy()
            counted = row[:, None] + backs - 1 < high[drawn][:, None]
            counted &= torch.from_numpy(sequences.teaches(channel, anchor))
            asked = Asked(*map(torch.from_numpy, sequences.ask(channel, anchor, since=since[channel])))
            loss = network.loss(asked, torch.from_numpy(sequences.answers(channel, anchor)), counted)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
            for group in optimiser.param_groups:
                group["lr"] = rate((step + 1) / steps, anew=anew)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, parameters, moved(step))
    with torch.no_grad():
        for p, mean in zip(parameters, average, strict=True):
            p.copy_(mean)
