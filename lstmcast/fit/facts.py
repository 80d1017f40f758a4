"""Facts: what a Panel is like, measured once, as far as the plan needs to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel

_SAMPLE = 200  # series looked at; enough for a median
_TAIL = 4096  # rows of each
_LONGEST = 1024  # rows of a season that is searched for
_WEEKS = (5, 7)  # days of a week: the ratios at which a season above a season is searched for
_BRIEF, _MANY = 12, 20  # rows of a season, and series, from which a season of some is searched for
_STRONG = 0.2  # mean autocorrelation from which a season counts


@dataclass(frozen=True, slots=True)
class Facts:
    """N ``series`` with ``rows`` observed rows in all, of ``median_length`` each.

    ``longest`` rows has the longest.
    ``seasons`` lags in rows at which the series repeat themselves, ascending. ``strength`` is the mean autocorrelation
    at the first of them, slower moves taken out.
    ``positive``, ``nonnegative``: every observed target is, as the network sees it.
    ``away_from_zero``: in nearly all series no value is below a hundredth of the median.
    ``skewed``: in half of the series the largest value is over ten times the median or the spread grows with the level.
    """

    series: int
    rows: int
    median_length: int
    longest: int
    seasons: tuple[int, ...]
    strength: float
    positive: bool
    nonnegative: bool
    away_from_zero: bool
    skewed: bool


def measure(panel: Panel) -> Facts:
    """Measure ``panel``; costs a fraction of a second whatever its size."""
    lengths = np.bincount(panel.series, weights=panel.ends - panel.offsets[:-1], minlength=len(panel.ids))
    ends = list(tails(panel))
    seasons, strength = _find_seasons(ends, panel.schema.frequency.seasons())
    lowest = min((float(tail.min()) for tail in ends), default=0.0)
    if panel.shift.any():  # the network sees values less their shift: no transform of the level applies
        lowest = -1.0
    if lowest >= 0:  # the sample says so: now make sure
        lowest = float(panel.values[panel.observed].min(initial=np.inf))
    return Facts(
        series=len(panel.ids),
        rows=int(panel.observed.any(axis=1).sum()),
        median_length=int(np.median(lengths)),
        longest=int((panel.ends - panel.offsets[:-1]).max()),
        seasons=seasons,
        strength=strength,
        positive=lowest > 0,
        nonnegative=lowest >= 0,
        away_from_zero=float(np.mean([tail.min() > 0.01 * np.median(tail) for tail in ends] or [False])) >= 0.95,
        skewed=float(np.mean([_is_skewed(tail) for tail in ends] or [False])) >= 0.5,
    )


def tails(panel: Panel) -> list[NDArray[np.float64]]:
    """The last rows of up to 200 series (each target), absent rows filled by interpolation."""
    chosen = np.unique(np.linspace(0, len(panel.ids) - 1, _SAMPLE).astype(int))
    tails = []
    for s in panel.last_segment()[chosen]:
        rows = slice(max(panel.offsets[s], panel.ends[s] - _TAIL), panel.ends[s])
        for d in range(panel.values.shape[1]):
            seen = np.flatnonzero(panel.observed[rows, d])
            if len(seen) >= 8:
                values = panel.values[rows, d][seen].astype(np.float64)
                tails.append(np.interp(np.arange(seen[-1] + 1), seen, values))
    return tails


def _find_seasons(tails: list[NDArray[np.float64]], named: tuple[int, ...]) -> tuple[tuple[int, ...], float]:
    """The seasons the series really have, ascending, and the strength of the first.

    Candidates are those the frequency names, else the first lag at which changes, or values less their trend, repeat.
    A candidate counts if the series still repeat at that lag once everything slower has been taken out. A multiple of
    it counts too (the week above the day) if they repeat better there than a season before and a season after.
    """
    for first in sorted(named) or _searched(tails):
        correlation = _mean_autocorrelation([_less_slow_moves(tail, first) for tail in tails if len(tail) >= 2 * first])
        strength = float(correlation[first]) if first < len(correlation) else 0.0
        if strength >= _STRONG:
            return (first, *_multiple(tails, first, named)), strength
    return _of_some(tails) if not named else ((), 0.0)


def _of_some(tails: list[NDArray[np.float64]]) -> tuple[tuple[int, ...], float]:
    """A short season that only some of many series have, which their mean autocorrelation does not show.

    Counts the series whose changes repeat at a lag beyond the 90 % test; by chance alone one in twenty would.
    """
    tested = [np.diff(np.log(tail) if tail.min() > 0 else tail) for tail in tails if len(tail) >= 3 * _BRIEF]
    if len(tested) < _MANY:
        return (), 0.0
    passed = np.zeros(_BRIEF + 1)
    for changes in tested:
        r = _autocorrelation(changes, _BRIEF + 1)
        shorter = np.cumsum(r[1:] ** 2)[: _BRIEF - 1]  # what lags 1 .. m-1 explain, for m from 2
        limit = 1.645 * np.sqrt((1 + 2 * shorter) / len(changes))
        passed[2:] += (r[2:-1] > limit) & (r[2:-1] > np.maximum(r[1:-2], r[3:]))
    share = passed / len(tested)
    if share.max() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(tested)):
        return (), 0.0
    lag = int(np.argmax(share))
    return (lag,), float(share[lag])


def _autocorrelation(values: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Autocorrelation at lags 0 to ``longest``; 0 where the values never vary."""
    centred = values - values.mean()
    spread = float(centred @ centred)
    if spread <= 0:
        return np.zeros(longest + 1)
    return np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(longest + 1)]) / spread


def _searched(tails: list[NDArray[np.float64]]) -> list[int]:
    candidates = []
    for series in ([np.diff(tail) for tail in tails], tails):
        correlation = _mean_autocorrelation(series)[: _LONGEST + 1]
        doubt = 4 / np.sqrt(max(sum(map(len, series)), 1))
        peaks = [lag for lag in range(2, len(correlation) - 1) if _is_peak(correlation, lag)]
        if peaks and (best := max(correlation[peaks])) >= max(0.1, doubt):
            lag = next(lag for lag in peaks if correlation[lag] >= 0.8 * best)
            candidates += [lag, *(lag // days for days in _WEEKS if lag % days == 0 and lag // days > 1)]
    return sorted(set(candidates))


def _is_peak(correlation: NDArray[np.float64], lag: int) -> bool:
    near = correlation[max(1, lag - lag // 4 - 1) : lag + lag // 4 + 2]
    return bool(correlation[lag] == near.max() and correlation[lag] - correlation[lag // 2 : lag].min() >= 0.1)


def _multiple(tails: list[NDArray[np.float64]], first: int, named: tuple[int, ...]) -> tuple[int, ...]:
    """The multiple of ``first`` that repeats better than its neighbours a season before and after, if there is one."""
    correlation = _mean_autocorrelation(tails)
    lags = np.array([m for m in named if m > first] or [days * first for days in _WEEKS])
    lags = lags[lags + first < len(correlation)]
    if not len(lags):
        return ()
    gain = correlation[lags] - (correlation[lags - first] + correlation[lags + first]) / 2
    if gain.max() < 0.02:
        return ()
    return (int(lags[np.argmax(gain >= 0.8 * gain.max())]),)


def _less_slow_moves(tail: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    """The series less its centred moving average over one season: what is left is seasonal or faster."""
    window = np.ones(lag) / lag if lag % 2 else np.concatenate([[0.5], np.ones(lag - 1), [0.5]]) / lag
    half = len(window) // 2
    return tail[half : len(tail) - half] - np.convolve(tail, window, mode="valid")


def _mean_autocorrelation(tails: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean over series of the autocorrelation after a linear trend is removed, for lags with two full cycles."""
    longest = max((len(tail) // 2 for tail in tails), default=0)
    total, count = np.zeros(longest + 1), np.zeros(longest + 1)
    for tail in tails:
        n = len(tail)
        time = np.arange(n) - (n - 1) / 2
        centred = tail - tail.mean()
        centred -= time * (time @ centred) / max(time @ time, 1.0)
        spread = centred @ centred
        if spread <= 1e-12 * float(tail @ tail):
            continue
        power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
        correlation = np.fft.irfft(power)[: n // 2 + 1] / spread
        unbiased = correlation * n / (n - np.arange(n // 2 + 1))
        total[: n // 2 + 1] += unbiased
        count[: n // 2 + 1] += 1
    enough = count >= max(1, 0.4 * len(tails))
    return np.where(enough, total / np.maximum(count, 1), 0.0)


def _is_skewed(tail: NDArray[np.float64]) -> bool:
    if tail.min() < 0:
        return False
    if tail.max() > 10 * np.median(tail) > 0:
        return True
    blocks = np.array_split(tail, min(16, max(2, len(tail) // 8)))
    level = np.array([block.mean() for block in blocks])
    spread = np.array([block.std() for block in blocks])
    usable = (level > 0) & (spread > 0)
    if usable.sum() < 4 or np.ptp(np.log(level[usable])) < 0.2:
        return False
    return bool(np.polyfit(np.log(level[usable]), np.log(spread[usable]), 1)[0] > 0.5)
