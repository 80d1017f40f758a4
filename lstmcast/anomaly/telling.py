"""Telling: what the taught forecaster says of rows, without torch, so that a night without a lesson starts fast.

The LSTM is written out; networks of other cells are asked where they were taught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.sequences import BACKS, LEVELS, Questions, Sequences

Singles = NDArray[np.float32]
Weights = Mapping[str, Singles]
Ask = Callable[[Questions], Singles]

BLOCK = 64
"""Rows forecast at once, always from the same multiple: equal shapes give equal bits, whoever brings the rows."""

_PATCH = 8
_REACH = max(BACKS) - 1
_MEDIAN = LEVELS.index(0.5)


def tell(
    quantiles: Ask, sequences: Sequences, channel: int, rows: tuple[int, int], *, forgotten: int = 0
) -> NDArray[np.float64]:
    """Forecasts of ``rows`` (first, stop) of ``channel``: float64 (n, H, Q) at ``LEVELS`` in the channel's unit.

    NaN where a forecast would have been made before the first row. ``forgotten`` rows came before that.
    """
    first, stop = rows
    out = np.full((max(stop - first, 0), len(BACKS), len(LEVELS)), np.nan)
    last = max(1, int(sequences.lengths[channel]) - 1)
    for begin in range((first + forgotten) // BLOCK * BLOCK - forgotten, stop, BLOCK):
        # anchors before the first row are moved to it; what they say is not used
        anchors = np.arange(begin - _REACH, begin + BLOCK).clip(1, last)
        asked = sequences.ask(np.full_like(anchors, channel), anchors)
        said = quantiles(asked).astype(np.float64) * asked.scale[..., None] + asked.level[..., None].astype(np.float64)
        for k, back in enumerate(BACKS):
            row = np.arange(max(begin, first, back), min(begin + BLOCK, stop))
            out[row - first, k] = said[row - back + 1 - (begin - _REACH), k]
    return out


def lstm_quantiles(weights: Weights) -> Ask:
    """The function that ``RowForecaster`` with an LSTM is, from questions to quantiles (B, H, Q) in their units."""
    w = {name.removeprefix("stack.cells.0."): array for name, array in weights.items()}
    cell = (w["weight_ih"].T.copy(), w["weight_hh"].T.copy(), w["bias_ih"] + w["bias_hh"])
    embed, question, write = (
        (w[f"{name}.weight"].T.copy(), w[f"{name}.bias"]) for name in ("embed.linear", "question", "write")
    )

    def quantiles(asked: Questions) -> Singles:
        rows = np.stack([asked.context, asked.known.astype(np.float32)], -1)
        patches = rows.reshape(len(rows), -1, 2 * _PATCH)
        read = np.maximum(patches @ embed[0] + embed[1], 0) @ cell[0] + cell[2]  # (B, P, 4C)
        state = (np.zeros((len(rows), cell[1].shape[0]), np.float32),) * 2
        for step in range(patches.shape[1]):
            state = _step(read[:, step] + state[0] @ cell[1], state[1])
        asks = w["position"] + asked.facts @ question[0] + question[1]  # (B, H, C)
        h, _ = _step(asks @ cell[0] + cell[2] + (state[0] @ cell[1])[:, None], state[1][:, None])
        return _levels(h @ write[0] + write[1])

    return quantiles


def _step(gates: Singles, memory: Singles) -> tuple[Singles, Singles]:
    """h and c after a step; ``gates`` (..., 4C) before their functions, in the order i, f, g, o."""
    i, f, g, o = np.split(gates, 4, -1)
    c = _sigmoid(f) * memory + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _sigmoid(x: Singles) -> Singles:
    result: Singles = np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
    return result


def _levels(raw: Singles) -> Singles:
    """The median, and outwards from it one positive gap a level, as ``QuantileHead`` has it."""
    gaps = np.logaddexp(raw - np.float32(1), np.float32(0))
    out = raw.copy()
    for level in range(_MEDIAN - 1, -1, -1):
        out[..., level] = out[..., level + 1] - gaps[..., level]
    for level in range(_MEDIAN + 1, len(LEVELS)):
        out[..., level] = out[..., level - 1] + gaps[..., level]
    return out
