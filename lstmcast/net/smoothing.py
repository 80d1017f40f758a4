"""Smoothing: what classical statistics say about a history, computed for many histories at once.

Every history is summarised by itself and from its own past alone: seasonal indices, a level, typical changes, and the
forecasts of five classical methods. Nothing here is learned.

Missing values inside a history repeat the value before them; a history is as long as the rows from its first observed
one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net import masked

METHODS = ("naive", "ses", "theta", "holt", "drift")
"""The forecasts of a ``Summary``, along K: last value, simple exponential smoothing, Theta, damped Holt, random walk
with drift."""

ANCHORS = (METHODS.index("theta"), METHODS.index("holt"))
"""The two that are blended into a forecast."""

_ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_HOLT = [(a, b, phi) for a in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0) for b in (0.05, 0.15, 0.4) for phi in (0.8, 0.9, 0.97)]
_CONFIDENCE = 1.645  # two-sided 90 %
_CYCLES = 3  # of a season, before its indices are believed
_BLOCK = 4096  # histories smoothed at once: bounds memory


class Summary(NamedTuple):
    """One history per lane B and target D; H steps ahead, K methods.

    ``forecasts``       (B, H, D, K) without the season
    ``factor``          (B, T+H, D) seasonal factor of every row and step ahead: y = x · factor + offset
    ``offset``          (B, T+H, D) seasonal offset, where factors make no sense (zeros and negative values)
    ``level``           (B, 1, D) the newest level by simple exponential smoothing, without the season
    ``change``          (B, 1, D) mean absolute change from row to row, without the season
    ``seasonal_change`` (B, 1, D) mean absolute change over a season: what MASE divides by
    ``rows``            (B, 1, D) length of the history
    ``seasonal``        (B, 1, D) 1 where the season was found and taken out
    """

    forecasts: Tensor
    factor: Tensor
    offset: Tensor
    level: Tensor
    change: Tensor
    seasonal_change: Tensor
    rows: Tensor
    seasonal: Tensor

    def pick(self, lanes: Tensor) -> Summary:
        """The summaries of ``lanes`` (B',)."""
        return Summary(*(part[lanes] for part in self))


@torch.no_grad()
def summarise(y: Tensor, observed: Tensor, *, horizon: int, season: int) -> Summary:
    """Summarise histories y (B, T, D), observed (B, T, D), for ``horizon`` H steps and ``season`` m rows (1: none).

    Seasonal indices are mean ratios to (where values are not all positive: differences from) the centred moving
    average, and are used if the autocorrelation at lag m passes the 90 % test of the M4 competition's Naive2.
    """
    lanes, _, targets = y.shape
    flat, seen = y.transpose(1, 2).flatten(0, 1), observed.transpose(1, 2).flatten(0, 1)
    blocks = [
        _summarise(block, known, horizon, season)
        for block, known in zip(torch.split(flat, _BLOCK), torch.split(seen, _BLOCK), strict=True)
    ]
    parts = [torch.cat(part) for part in zip(*blocks, strict=True)]  # each (B·D, rows, ...)
    return Summary(*(torch.unflatten(part, 0, (lanes, targets)).transpose(1, 2).contiguous() for part in parts))


def _summarise(y: Tensor, observed: Tensor, horizon: int, season: int) -> Summary:
    """y, observed (N, T) -> a Summary whose parts are (N, rows) or (N, H, K)."""
    y, inside, rows = _filled(y, observed)
    unit = ((y.abs() * inside).sum(1, keepdim=True) / rows).clamp(min=masked.TINY)
    y = y / unit
    positive = (~inside | (y > 0.01)).all(1, keepdim=True)
    index, seasonal = _indices(y, inside, rows, positive, season)
    steps = y.shape[1] + horizon
    ahead = index[:, (torch.arange(steps, device=y.device) - y.shape[1]) % max(season, 1)]
    factor, offset = torch.where(positive, ahead, 1.0), torch.where(positive, 0.0, ahead)
    x = (y - offset[:, : y.shape[1]]) / factor[:, : y.shape[1]]
    first = x.gather(1, (y.shape[1] - rows).long())
    x = torch.where(inside, x, first)
    level, forecasts, change = _methods(x, inside, rows, horizon)
    pairs = inside[:, season:] & inside[:, :-season]
    seasonal_change = ((y[:, season:] - y[:, :-season]).abs() * pairs).sum(1, keepdim=True)
    seasonal_change = seasonal_change / pairs.sum(1, keepdim=True).clamp(min=1)
    return Summary(
        forecasts=forecasts * unit[..., None],
        factor=factor,
        offset=offset * unit,
        level=level * unit,
        change=change * unit,
        seasonal_change=seasonal_change * unit,
        rows=rows,
        seasonal=seasonal.to(y.dtype),
    )


def _filled(y: Tensor, observed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gaps filled by the value before them; where the history is (N, T) bool, and how many rows it has (N, 1)."""
    place = torch.arange(y.shape[1], device=y.device).expand_as(y)
    newest = torch.where(observed, place, -1).cummax(1).values
    inside = newest >= 0
    filled = torch.where(inside, y.gather(1, newest.clamp(min=0)), 0.0)
    return filled, inside, inside.sum(1, keepdim=True).clamp(min=1).to(y.dtype)


def _indices(y: Tensor, inside: Tensor, rows: Tensor, positive: Tensor, season: int) -> tuple[Tensor, Tensor]:
    """Seasonal indices (N, m), of the first step ahead first, and (N, 1) where they hold; neutral elsewhere."""
    neutral = positive.to(y.dtype).expand(-1, max(season, 1))
    if season < 2 or y.shape[1] < _CYCLES * season:
        return neutral, torch.zeros_like(positive)
    half = season // 2
    kernel = y.new_ones(season + 1 - season % 2)
    if season % 2 == 0:
        kernel[0] = kernel[-1] = 0.5
    average = F.conv1d(y[:, None], kernel[None, None] / season)[:, 0]  # centred on rows half .. T-half-1
    middle = y[:, half : y.shape[1] - half]
    detrended = torch.where(positive, middle / average.clamp(min=masked.TINY), middle - average)
    known = inside[:, : y.shape[1] - 2 * half]  # the window's oldest row is in the history
    spare = -(detrended.shape[1] + half) % season
    by_phase = F.pad(torch.where(known, detrended, 0.0), (spare, half))
    counts = torch.unflatten(F.pad(known.to(y.dtype), (spare, half)), 1, (-1, season)).sum(1)
    index = torch.unflatten(by_phase, 1, (-1, season)).sum(1) / counts.clamp(min=1)
    mean = index.mean(1, keepdim=True)
    index = torch.where(positive, index / mean.clamp(min=masked.TINY), index - mean)
    usable = (counts > 0).all(1, keepdim=True) & (rows >= _CYCLES * season)
    usable &= ~positive | (index > 0).all(1, keepdim=True)
    seasonal = usable & _repeats(y, inside, rows, season)
    return torch.where(seasonal, index, neutral), seasonal


def _repeats(y: Tensor, inside: Tensor, rows: Tensor, season: int) -> Tensor:
    """(N, 1) whether the autocorrelation at lag m stands out of what the shorter lags explain."""
    mean = (y * inside).sum(1, keepdim=True) / rows
    centred = torch.where(inside, y - mean, 0.0)
    spread = centred.square().sum(1).clamp(min=masked.TINY)
    lags = torch.stack([(centred[:, k:] * centred[:, :-k]).sum(1) / spread for k in range(1, season + 1)], 1)
    doubt = _CONFIDENCE * ((1 + 2 * lags[:, :-1].square().sum(1)) / rows[:, 0]).sqrt()
    return (lags[:, -1].abs() > doubt)[:, None]


def _methods(x: Tensor, inside: Tensor, rows: Tensor, horizon: int) -> tuple[Tensor, Tensor, Tensor]:
    """Level (N, 1), forecasts (N, H, K) and mean absolute change (N, 1) of x (N, T), constant before its first row."""
    begins = inside & ~F.pad(inside, (1, 0))[:, :-1]
    difference = x.diff(dim=1)
    moved = inside[:, :-1]
    change = (difference.abs() * moved).sum(1, keepdim=True) / (rows - 1).clamp(min=1)
    early = moved & (moved.cumsum(1) <= 4)
    trend = (difference * early).sum(1, keepdim=True) / early.sum(1, keepdim=True).clamp(min=1)
    alpha, holt = x.new_tensor(_ALPHAS), x.new_tensor(_HOLT)
    gain, trend_gain, damping = holt[:, 0], holt[:, 0] * holt[:, 1], holt[:, 2]
    ses = x[:, :1].expand(-1, len(alpha))
    level, slope = x[:, :1].expand(-1, len(gain)), torch.zeros_like(trend).expand(-1, len(gain))
    ses_error, holt_error = torch.zeros_like(ses), torch.zeros_like(level)
    for x_t, here, begin in zip(*(torch.split(part, 1, 1) for part in (x, inside, begins)), strict=True):
        error = x_t - ses  #                                            (1) e = x − l₋       (0 before the first row)
        ses_error = ses_error + error.square()
        ses = ses + alpha * error  #                                    (2) l = l₋ + αe
        error = (x_t - level - damping * slope) * here  #               (3) e = x − l₋ − φb₋
        holt_error = holt_error + error.square()
        level = level + here * damping * slope + gain * error  #        (4) l = l₋ + φb₋ + αe
        slope = torch.where(begin, trend, damping * slope + trend_gain * error)  # (5) b = φb₋ + αβe
    ses_weight, holt_weight = _likely(ses_error, rows), _likely(holt_error, rows)
    smooth = (ses_weight * ses).sum(1, keepdim=True)
    step = torch.arange(1, horizon + 1, device=x.device, dtype=x.dtype)
    regression = _slope(x, inside, rows)
    a = (ses_weight * alpha).sum(1, keepdim=True)
    theta = smooth + regression / 2 * (step - 1 + (1 - (1 - a) ** rows) / a)
    damped = torch.cumsum(damping[:, None] ** step, 1)  # (J, H)
    holt_ahead = (holt_weight * level).sum(1, keepdim=True) + (holt_weight * slope) @ damped
    last = x[:, -1:]
    first = x.gather(1, (x.shape[1] - rows).long())
    drift = last + step * (last - first) / (rows - 1).clamp(min=1)
    forecasts = torch.stack([last.expand(-1, horizon), smooth.expand(-1, horizon), theta, holt_ahead, drift], -1)
    return smooth, forecasts, change


def _likely(squares: Tensor, rows: Tensor) -> Tensor:
    """Weights (N, J) of parameter sets by their sums of squared errors (N, J): exp(−n/2 · log SSE)."""
    return torch.softmax(-0.5 * (rows - 1).clamp(min=1) * torch.log(squares + masked.TINY), 1)


def _slope(x: Tensor, inside: Tensor, rows: Tensor) -> Tensor:
    """Least-squares slope per row (N, 1) over the history."""
    time = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    centred = torch.where(inside, time - (x.shape[1] - (rows + 1) / 2), 0.0)
    return (centred * x).sum(1, keepdim=True) / centred.square().sum(1, keepdim=True).clamp(min=1e-9)
