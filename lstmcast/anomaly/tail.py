"""Tail: from surprise to evidence, and from the evidence of all channels to one score per row.

Evidence is −log10 of the chance of so large a value. Every channel is measured against the past of its own series,
so no error distribution is assumed, and the channels can simply be added: a sum lets several moderate surprises speak
together where a maximum would hear only the loudest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.surprise import Surprise

Floats = NDArray[np.float64]

MIN_PAST = 60  # values a tail needs behind it; rows before them carry no evidence, so nothing can be flagged there
TOP_SHARE = 0.03  # what lies above the 97 % quantile is fitted by a generalised Pareto
MIN_EXCESSES = 10
SHAPE_BOUNDS = (-0.3, 0.6)
REACH = 3.0  # a chance is believed down to one in three histories
CHANNELS = 6.0  # errors and z at three distances: the scale the thresholds are made for
EXTREME_WEIGHT = 3.0
ECHO = 0.3  # share of its evidence a row keeps while a stronger one still rings


@dataclass(frozen=True, slots=True)
class Scores:
    """Evidence against each of the n rows of a series; NaN where the row was not observed.

    ``score``   float64 (n,) what flags are made from: the sum where it beats the decaying record, else a part of it
    ``p_value`` float64 (n,) chance of so large a sum in this series, never below 1 in three times its length so far
    ``sum``     float64 (n,) evidence of all channels added up
    """

    score: Floats
    p_value: Floats
    sum: Floats


def warm_up_rows(rows: int) -> int:
    """Rows at the start of a series that are scored but never flagged: 15 %, at most 750."""
    return math.ceil(min(0.15 * rows, 750))


def score(y: Floats, surprise: Surprise, *, day: int, warm_up: int) -> Scores:
    """How anomalous each row is, from how surprising its forecasts were and whether it left all earlier values behind.

    ``y`` (n,) user's units, NaN where not observed. ``day`` rows in a day, or in the strong season where a day has no
    meaning. ``warm_up`` rows in which a new extreme says nothing yet; a stream keeps it fixed. A row's scores depend on
    rows up to it only.
    """
    y = np.asarray(y, dtype=np.float64)
    units = [surprise.error, surprise.z] if np.isfinite(surprise.z).any() else [surprise.error]
    channels = np.hstack(units)
    weight = CHANNELS / channels.shape[1]
    total = EXTREME_WEIGHT * new_extreme(y, warm_up=warm_up)
    for channel in channels.T:
        total = total + weight * np.nan_to_num(tail(channel, refresh=day))
    total = np.where(np.isfinite(y), total, np.nan)
    p_value = 10.0 ** -tail(total, refresh=day)
    return Scores(score=_above_record(total, half_life=day / 2), p_value=p_value, sum=total)


def tail(values: Floats, *, refresh: int) -> Floats:
    """−log10 of the chance of an absolute value as large as each, judged by the values before it.

    ``values`` (n,) of any unit, sign ignored; NaN passes through and is not counted. The chance is the share of past
    values at least as large, the new one counted among them, (#≥ + 1)/(n + 1); above the 97 % quantile a generalised
    Pareto fitted by moments (Hosking & Wallis 1987), which reaches below 1/n. The past is brought up to date every
    ``refresh`` values, or when it has grown by 1 %. The first ``MIN_PAST`` values get 0; none gets more than
    log10(3 n).
    """
    known = np.isfinite(values)
    magnitude = np.abs(values[known])
    chance = _causal_chance(magnitude, refresh)
    limit = np.log10(REACH * np.arange(1, len(magnitude) + 1))
    evidence = np.full(len(values), np.nan)
    evidence[known] = np.minimum(-np.log10(np.maximum(chance, np.finfo(np.float64).tiny)), limit)
    return evidence


def new_extreme(y: Floats, *, warm_up: int) -> Floats:
    """Evidence of a value beyond every earlier one, 0 to 6: 3 where it leaves the past range by 2 % of that range.

    ``y`` (n,), NaN where not observed; 0 below a thousandth of the past range and in the first ``warm_up`` rows. The
    range is never known in advance.
    """
    highest = np.concatenate([[np.nan], np.fmax.accumulate(y)[:-1]])
    lowest = np.concatenate([[np.nan], np.fmin.accumulate(y)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.fmax(np.fmax(y - highest, lowest - y), 0) / (highest - lowest)
        evidence = np.clip(3 + np.log10(beyond / 0.02), 0, 6)
    counts = (beyond > 0.001) & (np.arange(len(y)) >= warm_up)
    return np.where(counts, evidence, 0.0)


def _causal_chance(magnitude: Floats, refresh: int) -> Floats:
    chance = np.ones(len(magnitude))
    past = np.sort(magnitude[:MIN_PAST])
    start = MIN_PAST
    while start < len(magnitude):
        # block bounds depend on the rows so far, never on how many there will be
        block = magnitude[start : start + max(refresh, start // 100)]
        larger = len(past) - np.searchsorted(past, block, side="left")
        chance[start : start + len(block)] = _with_pareto((larger + 1) / (len(past) + 1), block, past)
        block = np.sort(block)
        past = np.insert(past, np.searchsorted(past, block), block)
        start += len(block)
    return chance


def _with_pareto(chance: Floats, values: Floats, past: Floats) -> Floats:
    """``chance`` with its upper end replaced by a generalised Pareto through the excesses of ``past`` (ascending)."""
    threshold = past[int((1 - TOP_SHARE) * len(past))]
    excesses = past[np.searchsorted(past, threshold, side="right") :] - threshold
    if len(excesses) < MIN_EXCESSES:
        return chance
    mean, variance = excesses.mean(), excesses.var()
    if not variance > 0:
        return chance
    shape = np.clip(0.5 * (1 - mean**2 / variance), *SHAPE_BOUNDS)
    scale = mean * (1 - shape)
    over = np.maximum(values - threshold, 0) / scale
    if abs(shape) < 1e-3:
        beyond = np.exp(-over)
    else:
        beyond = np.maximum(1 + shape * over, np.finfo(np.float64).tiny) ** (-1 / shape)
    result: Floats = np.where(values > threshold, len(excesses) / len(past) * beyond, chance)
    return result


def _above_record(total: Floats, *, half_life: float) -> Floats:
    """The sum where it beats the record so far, which halves every ``half_life`` rows; elsewhere an ``ECHO`` of it."""
    fading = 0.5 ** (1 / half_life)
    damped = ECHO * total
    record = 0.0
    for row, value in enumerate(total.tolist()):
        record *= fading
        if value > record:  # never true of NaN: an unobserved row only lets time pass
            damped[row] = record = value
    return damped
