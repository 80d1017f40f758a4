"""Schooling: the detector's LSTM taught in numpy. So small a network is mostly waited for in a large library.

The network is ``network.RowForecaster`` with the cell ``lstm``; its back-propagation is written out. Other cells are
taught by ``teaching``, in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.lessons import (
    DECAY,
    DROPOUT,
    FIRST_MOMENT,
    LARGEST_ERROR,
    LARGEST_PINBALL,
    SECOND_MOMENT,
    moved,
    pupils,
    rate,
)
from lstmcast.anomaly.sequences import BACKS, FACTS, LEVELS, Questions, Sequences

Singles = NDArray[np.float32]
Weights = dict[str, Singles]

_LEAST_DEVIATION = 1e-8
_PATCH = 8
_MEDIAN = LEVELS.index(0.5)
_LEVELS = np.array(LEVELS, dtype=np.float32)
_W_X, _W_H, _B_X, _B_H = (f"stack.cells.0.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))


def drawn(*, hidden: int, seed: int) -> Weights:
    """First weights, by the laws that ``network.RowForecaster`` draws them by."""
    rng = np.random.default_rng(seed)

    def uniform(bound: float, *shape: int) -> Singles:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def orthogonal() -> Singles:
        q, r = np.linalg.qr(rng.normal(size=(hidden, hidden)))
        return (q * np.sign(np.diag(r))).astype(np.float32)

    forget = np.repeat(np.array([0, 1, 0, 0], dtype=np.float32), hidden)
    embed, width = 1 / math.sqrt(2 * _PATCH), len(LEVELS)
    return {
        "position": (0.5 * rng.normal(size=(len(BACKS), hidden))).astype(np.float32),
        "embed.linear.weight": uniform(embed, hidden, 2 * _PATCH),
        "embed.linear.bias": uniform(embed, hidden),
        _W_X: uniform(math.sqrt(6 / (5 * hidden)), 4 * hidden, hidden),
        _W_H: np.concatenate([orthogonal() for _ in range(4)]),
        _B_X: forget,
        _B_H: np.zeros(4 * hidden, dtype=np.float32),
        "question.weight": (0.5 / math.sqrt(FACTS) * rng.normal(size=(hidden, FACTS))).astype(np.float32),
        "question.bias": np.zeros(hidden, dtype=np.float32),
        "write.weight": (0.3 / math.sqrt(hidden) * rng.normal(size=(width, hidden))).astype(np.float32),
        "write.bias": np.zeros(width, dtype=np.float32),
    }


def school(
    weights: Mapping[str, Singles],
    sequences: Sequences,
    first: NDArray[np.int64],
    stop: NDArray[np.int64],
    *,
    steps: int,
    seed: int,
    since: NDArray[np.int64] | None = None,
    anew: bool = True,
) -> Weights:
    """``weights`` fitted to rows ``first`` .. ``stop`` - 1 of each channel (M,); channels without rows sit out.

    One-cycle AdamW on anchors drawn uniformly, a channel first; given back is the running average. ``anew`` False
    continues at half the rate with a short rise. No season before the row ``since`` (M,) is looked at.
    """
    since = np.zeros_like(first) if since is None else since
    taught, low, high, batch = pupils(first, stop)
    rng = np.random.default_rng(seed)
    learner = Learner(weights)
    for step in range(steps):
        at = rng.integers(len(taught), size=batch)
        row = low[at] + (rng.random(batch) * (high[at] - low[at])).astype(np.int64)
        channel = taught[at]
        counted = (row[:, None] + np.array(BACKS) - 1 < high[at][:, None]) & sequences.teaches(channel, row)
        kept = (rng.random((batch, len(BACKS), learner.hidden)) >= DROPOUT).astype(np.float32) / np.float32(1 - DROPOUT)
        asked = sequences.ask(channel, row, since=since[channel])
        _, slopes = loss_and_slopes(learner.weights, asked, sequences.answers(channel, row), counted, kept=kept)
        learner.step(slopes, rate((step + 1) / steps, anew=anew), share=moved(step))
    return learner.averaged()


class Learner:
    """AdamW (Loshchilov & Hutter 2019) on all weights at once; biases of the cell do not decay."""

    def __init__(self, weights: Mapping[str, Singles]) -> None:
        self.hidden = weights[_W_H].shape[1]
        self._flat = np.concatenate([array.ravel() for array in weights.values()])
        self._average = self._flat.copy()
        self._shapes = {name: array.shape for name, array in weights.items()}
        self.weights = self._views(self._flat)
        decays = {name: np.full(shape, name not in (_B_X, _B_H)) for name, shape in self._shapes.items()}
        self._decay = np.concatenate([kept.ravel() for kept in decays.values()]).astype(np.float32)
        self._mean, self._square = np.zeros_like(self._flat), np.zeros_like(self._flat)
        self._steps = 0

    def step(self, slopes: Mapping[str, Singles], rate: float, *, share: float) -> None:
        """Follow ``slopes``, their norm cut to 1; the running average moves by ``share`` of the way."""
        slope = np.concatenate([slopes[name].ravel() for name in self._shapes])
        slope *= np.float32(min(1.0, 1 / (math.sqrt(float(slope @ slope)) + 1e-6)))
        self._steps += 1
        self._flat *= 1 - np.float32(rate * DECAY) * self._decay
        self._mean += np.float32(1 - FIRST_MOMENT) * (slope - self._mean)
        self._square += np.float32(1 - SECOND_MOMENT) * (slope * slope - self._square)
        deviation = np.sqrt(self._square) / np.float32(math.sqrt(1 - SECOND_MOMENT**self._steps))
        stride = rate / (1 - FIRST_MOMENT**self._steps)
        self._flat -= np.float32(stride) * self._mean / (deviation + np.float32(_LEAST_DEVIATION))
        self._average += np.float32(share) * (self._flat - self._average)

    def averaged(self) -> Weights:
        return {name: array.copy() for name, array in self._views(self._average).items()}

    def _views(self, flat: Singles) -> Weights:
        views, at = {}, 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            views[name] = flat[at : at + size].reshape(shape)
            at += size
        return views


def loss_and_slopes(
    w: Mapping[str, Singles],
    asked: Questions,
    answers: Singles,
    counted: NDArray[np.bool_],
    *,
    kept: Singles | None = None,
) -> tuple[float, Weights]:
    """Mean pinball loss of ``answers`` (B, H) where ``counted`` (B, H), and its slope by every weight.

    ``kept`` (B, H, C) multiplies what is written from: dropout.
    """
    patches = np.stack([asked.context, asked.known.astype(np.float32)], -1)
    patches = np.ascontiguousarray(patches.reshape(len(patches), -1, 2 * _PATCH).swapaxes(0, 1))  # (P, B, 16)
    embedded = np.maximum(patches @ w["embed.linear.weight"].T + w["embed.linear.bias"], 0)
    bias = w[_B_X] + w[_B_H]
    arriving = embedded @ w[_W_X].T + bias
    gates, h, c, bent = _read(arriving, w[_W_H])
    asks = w["position"] + asked.facts @ w["question.weight"].T + w["question.bias"]  # (B, H, C)
    answer = _activated(asks @ w[_W_X].T + bias + (h[-1] @ w[_W_H].T)[:, None])
    i, f, g, o = _parts(answer)
    memory = f * c[-1][:, None] + i * g
    bent_memory = np.tanh(memory)
    written = o * bent_memory if kept is None else o * bent_memory * kept
    raw = written @ w["write.weight"].T + w["write.bias"]
    loss, d_raw = _pinball(raw, ((answers - asked.level) / asked.scale)[..., None], counted)

    slopes: Weights = {"write.weight": _outer(d_raw, written), "write.bias": d_raw.sum((0, 1))}
    d_read = d_raw @ w["write.weight"] if kept is None else d_raw @ w["write.weight"] * kept
    d_memory = d_read * o * (1 - bent_memory**2)
    d_answer = np.concatenate([d_memory * g, d_memory * c[-1][:, None], d_memory * i, d_read * bent_memory], -1)
    d_answer *= _slope(answer)
    d_asks = d_answer @ w[_W_X]
    slopes["position"], slopes["question.bias"] = d_asks.sum(0), d_asks.sum((0, 1))
    slopes["question.weight"] = _outer(d_asks, asked.facts)
    d_shared = d_answer.sum(1)
    d_arriving = _read_back(gates, c, bent, w[_W_H], d_h=d_shared @ w[_W_H], d_c=(d_memory * f).sum(1))
    slopes[_W_H] = _outer(d_arriving, h[:-1]) + d_shared.T @ h[-1]
    slopes[_W_X] = _outer(d_arriving, embedded) + _outer(d_answer, asks)
    slopes[_B_X] = slopes[_B_H] = d_arriving.sum((0, 1)) + d_shared.sum(0)
    d_embedded = (d_arriving @ w[_W_X]) * (embedded > 0)
    slopes["embed.linear.weight"] = _outer(d_embedded, patches)
    slopes["embed.linear.bias"] = d_embedded.sum((0, 1))
    return loss, slopes


def _read(arriving: Singles, on_h: Singles) -> tuple[Singles, Singles, Singles, Singles]:
    """Gates (P, B, 4C), h and c before and after every step (P + 1, B, C), and tanh c after it (P, B, C)."""
    steps, lanes, width = arriving.shape
    gates = np.empty_like(arriving)
    h, c = (np.zeros((steps + 1, lanes, width // 4), dtype=np.float32) for _ in range(2))
    bent = np.empty((steps, lanes, width // 4), dtype=np.float32)
    on_h = np.ascontiguousarray(on_h.T)
    for t in range(steps):
        gates[t] = _activated(arriving[t] + h[t] @ on_h)
        i, f, g, o = _parts(gates[t])
        np.multiply(f, c[t], out=c[t + 1])
        c[t + 1] += i * g
        np.tanh(c[t + 1], out=bent[t])
        np.multiply(o, bent[t], out=h[t + 1])
    return gates, h, c, bent


def _read_back(gates: Singles, c: Singles, bent: Singles, on_h: Singles, *, d_h: Singles, d_c: Singles) -> Singles:
    """The slope by what arrived at each step, given that by the last h and c."""
    steps, lanes, width = gates.shape
    i, f, g, o = _parts(gates)
    by_c = np.stack([g, c[:-1], i], 2)  # (P, B, 3, C): of the memory by its gates
    slopes = _slope(gates).reshape(steps, lanes, 4, width // 4)
    by_c *= slopes[:, :, :3]
    by_h, c_by_h = bent * slopes[:, :, 3], o * (1 - bent * bent)
    found = np.empty((steps, lanes, 4, width // 4), dtype=np.float32)
    for t in range(steps - 1, -1, -1):
        d_c = d_c + d_h * c_by_h[t]
        np.multiply(by_c[t], d_c[:, None], out=found[t, :, :3])
        np.multiply(by_h[t], d_h, out=found[t, :, 3])
        d_h, d_c = found[t].reshape(lanes, width) @ on_h, d_c * f[t]
    return found.reshape(steps, lanes, width)


def _parts(gates: Singles) -> tuple[Singles, Singles, Singles, Singles]:
    """Input, forget, candidate and output, each (..., C)."""
    c = gates.shape[-1] // 4
    return gates[..., :c], gates[..., c : 2 * c], gates[..., 2 * c : 3 * c], gates[..., 3 * c :]


def _activated(sums: Singles) -> Singles:
    """Input, forget and output gates by the logistic function, the candidate (third) by tanh."""
    width = sums.shape[-1] // 4
    sums[..., : 2 * width] *= np.float32(0.5)
    sums[..., 3 * width :] *= np.float32(0.5)
    np.tanh(sums, out=sums)
    for part in (sums[..., : 2 * width], sums[..., 3 * width :]):
        part += np.float32(1)
        part *= np.float32(0.5)
    return sums


def _slope(gates: Singles) -> Singles:
    """Of the activations, from their values."""
    width = gates.shape[-1] // 4
    found: Singles = gates * (1 - gates)
    candidate = gates[..., 2 * width : 3 * width]
    found[..., 2 * width : 3 * width] = 1 - candidate * candidate
    return found


def _pinball(raw: Singles, answers: Singles, counted: NDArray[np.bool_]) -> tuple[float, Singles]:
    """The loss of ``raw`` (B, H, Q), a median and gaps outwards from it, and its slope by them."""
    gaps = np.logaddexp(raw - np.float32(1), np.float32(0))
    below = np.cumsum(gaps[..., :_MEDIAN][..., ::-1], -1)[..., ::-1]
    above = np.cumsum(gaps[..., _MEDIAN + 1 :], -1)
    middle = raw[..., _MEDIAN : _MEDIAN + 1]
    quantiles = np.concatenate([middle - below, middle, middle + above], -1)
    error = np.clip(answers, -LARGEST_ERROR, LARGEST_ERROR) - quantiles
    weight = np.where(error > 0, _LEVELS, _LEVELS - 1)
    pinball = np.minimum(weight * error, LARGEST_PINBALL)
    share = 2 * counted[..., None] / np.float32(counted.size * len(LEVELS))
    d_quantile = np.where(pinball < LARGEST_PINBALL, -weight * share, np.float32(0))
    d_raw = np.empty_like(raw)
    d_raw[..., _MEDIAN] = d_quantile.sum(-1)
    d_raw[..., :_MEDIAN] = -np.cumsum(d_quantile[..., :_MEDIAN], -1)
    d_raw[..., _MEDIAN + 1 :] = np.cumsum(d_quantile[..., :_MEDIAN:-1], -1)[..., ::-1]
    outer = np.arange(len(LEVELS)) != _MEDIAN
    d_raw[..., outer] *= np.float32(0.5) * np.tanh(np.float32(0.5) * (raw[..., outer] - 1)) + np.float32(0.5)
    return float((pinball * share).sum()), d_raw


def _outer(slope: Singles, read: Singles) -> Singles:
    """The slope by a matrix that took ``read`` (..., F) to what has the ``slope`` (..., G): (G, F)."""
    found: Singles = slope.reshape(-1, slope.shape[-1]).T @ read.reshape(-1, read.shape[-1])
    return found
