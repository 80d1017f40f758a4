"""Sequences: what the detector's forecaster reads. The observed rows of every channel, laid end to end.

A channel is one target of one series. Rows that were not observed are left out, so that the newest value always stands
next to the forecast; the seasonal memories find their rows by time, not by counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.remembering import begin_of
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.data.calendar import to_wall

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Times = NDArray[np.int64]
Rows = NDArray[np.bool_]

LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BACKS = (1, 6, 24)
"""How many rows before a value its forecasts were made: one step, an hour or two, and a good part of the season."""

CONTEXT = 128
_NEAR = 2  # rows on either side of the same time a day and a week earlier
FACTS = 2 * (2 * _NEAR + 1) + 6
_LARGEST = 20.0
_LEAST_SHARE = 0.15  # of the usual spread: the unit a calm context is measured in


@dataclass(frozen=True, slots=True)
class Unit:
    """In what a channel is measured: ``level`` and ``scale`` of its first rows; ``spread`` is theirs in that scale.

    ``daily`` and ``weekly``: those rows span two of the seasons, so that their phase may be told to the network.
    """

    level: float
    scale: float
    spread: float
    daily: bool
    weekly: bool


class Questions(NamedTuple):
    """What the network is asked at B anchors, each the first row that is not known yet.

    ``context`` (B, T) values before the anchor less the last of them, in units of their spread; ``known`` (B, T) False
    before the first row; ``facts`` (B, H, F) values near the same time a day and a week before each target, and its
    phase; ``level``, ``scale`` (B, 1) what ``context`` was measured by, in the channel's unit.
    """

    context: Singles
    known: Rows
    facts: Singles
    level: Singles
    scale: Singles


class Sequences:
    """M channels with their rows' times and values, ready to be asked about. Knows no torch: neither does a night
    without a lesson.

    ``times[m]`` int64 ascending, ``values[m]`` float64 of the same length. ``units[m]`` as measured on the first rows.
    ``forgotten[m]`` rows came before these, and ``most`` rows are remembered (None: all).
    """

    def __init__(
        self,
        times: Sequence[Times],
        values: Sequence[Floats],
        units: Sequence[Unit],
        rhythm: Rhythm,
        *,
        forgotten: Sequence[int] | None = None,
        most: int | None = None,
    ) -> None:
        lengths = np.array([len(time) for time in times], dtype=np.int64)
        padded = lengths + CONTEXT
        self.lengths = lengths
        self.start = np.concatenate([[0], np.cumsum(padded)])[:-1] + CONTEXT
        total = int(padded.sum()) + max(BACKS)
        x = np.zeros(total, dtype=np.float32)
        known = np.zeros(total, dtype=bool)
        earlier = np.full((2, total), -1, dtype=np.int64)
        since = np.zeros(total, dtype=np.int64)
        phase = np.zeros((total, 6), dtype=np.float32)
        for m, unit in enumerate(units):
            begin, end = self.start[m], self.start[m] + lengths[m]
            scaled = (values[m] - unit.level) / unit.scale
            x[begin - CONTEXT : begin] = scaled[:1]
            x[begin:end] = scaled
            known[begin:end] = True
            for k, season in enumerate((rhythm.day, rhythm.week)):
                before = np.searchsorted(times[m], times[m] - season + rhythm.step // 2, side="right") - 1
                earlier[k, begin:end] = before + begin
            gone = 0 if forgotten is None else forgotten[m]
            since[begin:end] = begin + np.maximum(begin_of(np.arange(lengths[m]) + gone, most) - gone, 0)
            phase[begin:end] = _phase(times[m], unit, rhythm)
        self._x, self._known, self._earlier, self._since, self._phase = x, known, earlier, since, phase
        self._teaches = np.ones(total, dtype=bool)
        self._spread = np.array([unit.spread for unit in units], dtype=np.float32)
        self._window, self._near = np.arange(-CONTEXT, 0), np.arange(-_NEAR, _NEAR + 1)
        self._backs = np.array(BACKS)

    def ask(self, channel: Times, row: Times, *, since: Times | None = None) -> Questions:
        """The questions at ``row`` (B,) of ``channel`` (B,): nothing at or after the row is looked at but times.

        Nor is a season before the row ``since`` (B,), by default as far back as each target remembers.
        """
        anchor = self.start[channel] + row
        at = anchor[:, None] + self._window
        window, known = self._x[at], self._known[at]
        level = window[:, -1:]
        scale = window.std(1, keepdims=True, ddof=1) + np.float32(_LEAST_SHARE) * self._spread[channel][:, None]
        scale = scale + np.float32(1e-6)
        context = np.clip(np.where(known, (window - level) / scale, np.float32(0)), -_LARGEST, _LARGEST)
        target = self._target(anchor)
        first = self._since[target] if since is None else (self.start[channel] + since)[:, None]
        facts = []
        for before in self._earlier:
            then = before[target]
            near = np.maximum(np.minimum(then[..., None] + self._near, anchor[:, None, None] - 1), 0)
            value = (self._x[near] - level[..., None]) / scale[..., None]
            value = np.where((then - _NEAR >= first)[..., None], value, np.float32(0))
            facts.append(np.clip(value, -_LARGEST, _LARGEST))
        return Questions(context, known, np.concatenate([*facts, self._phase[target]], -1), level, scale)

    def answers(self, channel: Times, row: Times) -> Singles:
        """The values (B, H) that came true at the distances asked for, in the channel's unit."""
        return self._x[self._target(self.start[channel] + row)]

    def teaches(self, channel: Times, row: Times) -> Rows:
        """bool (B, H) answers that may teach."""
        return self._teaches[self._target(self.start[channel] + row)]

    def trim(self, channel: int, ordinary: Rows, *, first: int = 0) -> None:
        """Let only the ``ordinary`` of the rows of ``channel`` from ``first`` on teach."""
        begin = self.start[channel] + first
        self._teaches[begin : begin + len(ordinary)] = ordinary

    def _target(self, anchor: Times) -> Times:
        target: Times = np.minimum(anchor[:, None] + self._backs - 1, len(self._x) - 1)
        return target


def measure_unit(times: Times, values: Floats, rhythm: Rhythm) -> Unit:
    """The unit of a channel, from its first rows."""
    level = float(np.median(values))
    low, high = np.quantile(values, [0.1, 0.9])
    deviation = float(values.std())
    scale = max((high - low) / 2.56, 0.3 * deviation, 1e-6 * abs(level), 1e-12)
    span = int(times[-1] - times[0])
    return Unit(level, float(scale), deviation / scale, span >= 2 * rhythm.day, span >= 2 * rhythm.week)


def _phase(times: Times, unit: Unit, rhythm: Rhythm) -> NDArray[np.float32]:
    wall = times if rhythm.tz is None else to_wall(times, rhythm.tz)
    angle = 2 * np.pi * np.stack([wall % rhythm.day / rhythm.day, wall % rhythm.week / rhythm.week])
    daily, weekly = angle
    waves = [np.sin(daily), np.cos(daily), np.sin(2 * daily), np.cos(2 * daily), np.sin(weekly), np.cos(weekly)]
    shown = [unit.daily] * 4 + [unit.weekly] * 2
    return (np.stack(waves, -1) * shown).astype(np.float32)
