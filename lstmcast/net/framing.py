"""Framing: a context in the units in which the network reads it, and the way back into the user's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lstmcast.net import masked
from lstmcast.net.architecture import Architecture
from lstmcast.net.normalise import Normaliser
from lstmcast.net.smoothing import Summary
from lstmcast.net.transforms import Transform

LARGEST = 20.0
"""Normalised inputs are cut off here, so that one absurd value cannot drown a context."""

_LARGEST_METHOD = 15.0  # normalised; a classical method may run away
_SMALLEST_METHOD = 0.05  # of the context's least value
_FLOOR = 0.01  # of the level: the least unit measured by changes


class Frame(NamedTuple):
    """``z`` (B, T, D) normalised, 0 where not ``observed``; ``location`` and ``scale`` (B, 1, D) in transformed units.

    Where the history is summarised: the seasonal ``factor`` and ``offset`` (B, H, D) of the steps ahead, the normalised
    forecasts ``classical`` (B, H, D, K), the ``facts`` (B, FACTS·D) and the ``ruler`` (B, 2, D) in the user's units:
    mean magnitude and mean change over a season.
    """

    z: Tensor
    observed: Tensor
    location: Tensor
    scale: Tensor
    factor: Tensor
    offset: Tensor
    classical: Tensor | None
    facts: Tensor | None
    ruler: Tensor


def transformed(transform: Transform, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """g(x), 0 where not observed or without an image; and where it is observed after all."""
    y = transform.forward(x)
    observed = observed & y.isfinite()
    return torch.where(observed, y, 0.0), observed


def normalised(y: Tensor, observed: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """(y − location) / scale within ±20, 0 where not observed or without a unit."""
    read = observed & (scale > masked.TINY)
    return torch.where(read, ((y - location) / scale).clamp(-LARGEST, LARGEST), 0.0)


def plain(
    transform: Transform,
    normaliser: Normaliser,
    context: Tensor,
    observed: Tensor,
    spread: Tensor | None,
    *,
    whole: bool = True,
) -> Frame:
    """The frame of a context (B, T, D) by itself. ``spread`` (B, 2, D) tells mean and deviation of its whole series;
    the deviation is the unit where the ``whole`` is to measure the context."""
    y, observed = transformed(transform, context, observed)
    location, scale = normaliser.locate(y, observed, None if spread is None else spread[:, :1])
    if spread is not None and whole:
        scale = masked.floored(spread[:, 1:], masked.mean(y.abs(), observed))
    z = normalised(y, observed, location, scale)
    one = y.new_ones(1, 1, 1)
    return Frame(z, observed, location, scale, one, torch.zeros_like(one), None, None, one)


def summarised(
    a: Architecture, transform: Transform, normaliser: Normaliser, context: Tensor, observed: Tensor, summary: Summary
) -> Frame:
    """The frame of the last T rows of a history (B, reach, D), its season taken out."""
    rows = slice(-a.horizon - a.context, -a.horizon)
    x, seen = context[:, -a.context :], observed[:, -a.context :]
    x = (x - summary.offset[:, rows]) / summary.factor[:, rows]
    y, seen = transformed(transform, x, seen)
    level = _image(transform, summary.level)
    location, scale = normaliser.locate(y, seen, level)
    if a.spread == "change":
        scale = _changes(transform, summary)
    z = normalised(y, seen, location, scale)
    least = torch.where(seen, x, torch.inf).amin(1, keepdim=True)
    forecasts = torch.where((least > 0).unsqueeze(-1), _above(summary.forecasts, least), summary.forecasts)
    classical = (_image(transform, forecasts) - location.unsqueeze(-1)) / scale.unsqueeze(-1)
    classical = classical.clamp(-_LARGEST_METHOD, _LARGEST_METHOD)
    size = masked.mean(torch.where(observed, context.abs(), 0.0), observed)
    unit = transform.inverse(location + scale) - transform.inverse(location)
    facts = [
        summary.rows.log() - 3,
        (unit / summary.level.abs().clamp(min=masked.TINY)).clamp(1e-4, 1e4).log() + 3,
        summary.seasonal,
        ((level - location) / scale).clamp(-_LARGEST_METHOD, _LARGEST_METHOD),
        *(0.3 * classical[:, [0]]).unbind(-1),
        *(0.3 * classical[:, [-1]]).unbind(-1),
    ]
    return Frame(
        z=z,
        observed=seen,
        location=location,
        scale=scale,
        factor=summary.factor[:, -a.horizon :],
        offset=summary.offset[:, -a.horizon :],
        classical=classical,
        facts=torch.cat(facts, 1).flatten(1),
        ruler=torch.cat([size, summary.seasonal_change], 1),
    )


def _image(transform: Transform, x: Tensor) -> Tensor:
    """g(x); what has no image lies at the image of almost nothing."""
    return torch.nan_to_num(transform.forward(x), nan=float(transform.forward(x.new_full((1,), 1e-6))))


def _above(forecasts: Tensor, least: Tensor) -> Tensor:
    """Forecasts of a positive series stay positive."""
    return torch.maximum(forecasts, _SMALLEST_METHOD * least.unsqueeze(-1))


def _changes(transform: Transform, summary: Summary) -> Tensor:
    """Twice the mean change from row to row, at the level of the series, in transformed units."""
    level = _image(transform, summary.level)
    step = 2 * summary.change + _FLOOR * summary.level.abs()
    return (_image(transform, summary.level + step) - level).clamp(min=masked.TINY)
