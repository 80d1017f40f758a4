"""Tail: from surprise to evidence, and from the evidence of all channels to one score per row.

Evidence is −log10 of the chance of so large a value. Every kind is measured against the past of its own series, so no
error distribution is assumed, and the kinds can simply be added: a sum lets several moderate surprises speak together
where a maximum would hear only the loudest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.discord import discord

Floats = NDArray[np.float64]

MIN_PAST = 40  # values a tail needs behind it; rows before them carry no evidence, so nothing can be flagged there
PARETO_PAST = 60
TOP_SHARE = 0.03  # what lies above the 97 % quantile is fitted by a generalised Pareto
MIN_EXCESSES = 10
SHAPE_BOUNDS = (-0.3, 0.6)
REACH = 3.0  # a chance is believed down to one in three histories
EXTREME_WEIGHT = 3.0
ECHO = 0.3  # share of its evidence a row keeps while a stronger one still rings
REFRESH = 100  # rows after which the past is brought up to date, at most
_LEAST_CHANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Scores:
    """Evidence against each of the n rows of a series.

    ``score``   float64 (n,) what flags are made from: the sum where it beats the decaying record, else a part of it
    ``p_value`` float64 (n,) chance of so large a sum in this series, never below 1 in three times its length so far
    ``sum``     float64 (n,) evidence of all kinds added up
    """

    score: Floats
    p_value: Floats
    sum: Floats


def warm_up_rows(rows: int) -> int:
    """Rows at the start of a series that are scored but never flagged: 15 %, 40 at least and 750 at most."""
    return max(min(rows, MIN_PAST), math.ceil(min(math.floor(0.15 * rows), 750)))


def evidence(y: Floats, error: Floats, z: Floats, *, day: int, warm_up: int) -> dict[str, Floats]:
    """Evidence of each kind against each row, every one (n,) and at least 0, by its name.

    ``y`` (n,) values in the user's units; ``error``, ``z`` (n, H) as in ``Surprise``. ``day`` rows in a day, or in the
    strong season where a day has no meaning. A row's evidence depends on rows up to it only.
    ``error-k`` and ``z-k`` speak of the k-th distance; ``extreme`` of a value beyond all earlier ones, ``discord`` of a
    shape unlike all earlier ones.
    """
    if not len(y):
        return {"extreme": np.empty(0)}
    refresh = min(REFRESH, max(day, 10))
    found: dict[str, Floats] = {}
    for name, columns in (("error", error), ("z", z)):
        for k, column in enumerate(columns.T):
            found[f"{name}-{k}"] = tail(column, start=warm_up, refresh=refresh)
    found["extreme"] = EXTREME_WEIGHT * new_extreme(y, warm_up=warm_up)
    unlike = discord(y, day=day, warm_up=warm_up)
    found["discord"] = tail(unlike, start=max(MIN_PAST, warm_up // 2), refresh=refresh)
    return found


def score(found: Mapping[str, Floats], *, day: int, warm_up: int, half_life: float | None = None) -> Scores:
    """The kinds of ``evidence`` added up, and what an alarm makes of the sum.

    A row counts in full only above the record so far, which halves every ``half_life`` rows (default: half a ``day``).
    """
    total: Floats = np.sum([np.nan_to_num(kind) for kind in found.values()], axis=0)
    p_value = 10.0 ** -tail(total, start=warm_up, refresh=min(REFRESH, max(day, 10)))
    return Scores(score=above_record(total, half_life=half_life or day / 2), p_value=p_value, sum=total)


def tail(values: Floats, *, start: int, refresh: int) -> Floats:
    """−log10 of the chance of an absolute value as large as each, judged by the values before it.

    ``values`` (n,) of any unit, sign ignored; NaN gets 0 and is not counted. The chance is the share of past values at
    least as large, the new one counted among them, (#≥ + 1)/(n + 1); above the 97 % quantile a generalised Pareto
    fitted by moments (Hosking & Wallis 1987), which reaches below 1/n. The past is brought up to date every ``refresh``
    rows. The first ``start`` rows, and all with fewer than ``MIN_PAST`` values before them, get 0; none gets more than
    log10(3 n).
    """
    magnitude = np.abs(values)
    found = np.zeros(len(values))
    past = np.empty(0)
    taken = 0
    for at in range(start, len(values), refresh):
        block = magnitude[taken:at]
        past = np.concatenate([past, block[np.isfinite(block)]])
        past.sort(kind="stable")  # which merges what is sorted already
        taken = at
        if len(past) < min(MIN_PAST, start):
            continue
        now = magnitude[at : at + refresh]
        larger = len(past) - np.searchsorted(past, now, side="left")
        chance = _with_pareto((larger + 1) / (len(past) + 1), now, past)
        found[at : at + refresh] = -np.log10(np.maximum(chance, _LEAST_CHANCE))
    limit = np.log10(REACH * np.arange(1, len(values) + 1))
    return np.where(np.isfinite(values), np.minimum(found, limit), 0.0)


def new_extreme(y: Floats, *, warm_up: int) -> Floats:
    """Evidence of a value beyond every earlier one, 0 to 6: 3 where it leaves the past range by 2 % of that range.

    ``y`` (n,), NaN where not observed; 0 below a thousandth of the past range and in the first ``warm_up`` rows. The
    range is never known in advance.
    """
    highest = np.concatenate([[np.nan], np.fmax.accumulate(y)[:-1]])
    lowest = np.concatenate([[np.nan], np.fmin.accumulate(y)[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.fmax(np.fmax(y - highest, lowest - y), 0) / (highest - lowest + 1e-9)
        strength = np.clip(3 + np.log10(beyond / 0.02), 0, 6)
    counts = (beyond > 0.001) & (np.arange(len(y)) >= warm_up)
    return np.where(counts, strength, 0.0)


def _with_pareto(chance: Floats, values: Floats, past: Floats) -> Floats:
    """``chance`` with its upper end replaced by a generalised Pareto through the excesses of ``past`` (ascending)."""
    if len(past) < PARETO_PAST:
        return chance
    threshold = past[int((1 - TOP_SHARE) * len(past))]
    if not (values > threshold).any():
        return chance
    excesses = past[np.searchsorted(past, threshold, side="right") :] - threshold
    if len(excesses) < MIN_EXCESSES:
        return chance
    mean, variance = excesses.mean(), excesses.var()
    if not variance > 0:
        return chance
    shape = np.clip(0.5 * (1 - mean**2 / variance), *SHAPE_BOUNDS)
    scale = mean * (1 - shape)
    over = np.maximum(values - threshold, 0) / scale
    power = np.maximum(1 + shape * over, _LEAST_CHANCE)
    beyond = np.exp(-over) if abs(shape) < 1e-3 else power ** (-1 / shape)
    result: Floats = np.where(values > threshold, len(excesses) / len(past) * beyond, chance)
    return result


def above_record(total: Floats, *, half_life: float) -> Floats:
    """The sum where it beats the record so far, which halves every ``half_life`` rows; elsewhere an ``ECHO`` of it."""
    fading = 0.5 ** (1 / half_life)
    damped = ECHO * total
    record = 0.0
    for row, value in enumerate(total.tolist()):
        record *= fading
        if value > record:  # never true of NaN: an unobserved row only lets time pass
            damped[row] = record = value
    return damped
