"""Watch: every row of a history forecast by a network taught on earlier rows only, as if it had been there.

The first rows, the warm-up, are judged by two networks, each taught on the half it does not judge; they calibrate what
follows. From then on rows are forecast as they come, and the network is taught again whenever the history has grown by
30 %. Rows that were forecast very badly do not teach. Nothing depends on how many rows there will be, nor on how they
were cut into deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmcast.anomaly.lessons import FIRST_STEPS, FOLD_STEPS, REFIT_STEPS, lesson_ends, ordinary
from lstmcast.anomaly.remembering import NOTHING_FORGOTTEN, Forgotten, begin_of
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.schooling import drawn, school
from lstmcast.anomaly.sequences import BACKS, CONTEXT, LEVELS, Sequences, Unit, measure_unit
from lstmcast.anomaly.surprise import surprise
from lstmcast.anomaly.telling import Ask, Weights, lstm_quantiles, tell
from lstmcast.outcome import OnProgress, Progress

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

LEAST_ROWS = 16  # a channel needs them before it can be taught or asked about
_MEDIAN, _LOW, _HIGH = LEVELS.index(0.5), LEVELS.index(0.1), LEVELS.index(0.9)


@dataclass(frozen=True, slots=True)
class Channel:
    """One target of one series: its n observed rows and how they compared with their forecasts.

    ``time`` int64 (n,) ascending; ``y`` and the one-step forecast ``expected`` with its band ``lower``, ``upper``
    float64 (n,) in the user's units; ``error``, ``z`` float64 (n, H) as in ``Surprise``. NaN where not forecast.
    ``unit`` None until the channel has been measured. ``forgotten`` rows came before these.
    """

    name: str
    time: Times
    y: Floats
    expected: Floats
    lower: Floats
    upper: Floats
    error: Floats
    z: Floats
    unit: Unit | None = None
    forgotten: Forgotten = NOTHING_FORGOTTEN


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of the lessons: how many there were, when the last ended, and the weights (None before any)."""

    lessons: int
    ended: int
    weights: Mapping[str, NDArray[np.float32]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``warm_up`` rows before the first lesson; ``steps`` of it, the others in proportion; the network and its seed.
    ``most`` rows are remembered, all where it is None."""

    warm_up: int
    cell: str = "lstm"
    hidden: int = 32
    steps: int = FIRST_STEPS
    seed: int = 1
    most: int | None = None


UNTAUGHT = Memory(0, 0, None)


def empty_channel(name: str) -> Channel:
    none, pairs = np.empty(0), np.empty((0, len(BACKS)))
    return Channel(name, np.empty(0, dtype=np.int64), none, none, none, none, pairs, pairs)


def watch(
    channels: Sequence[Channel],
    fresh: Sequence[tuple[Times, Floats]],
    rhythm: Rhythm,
    plan: Plan,
    memory: Memory = UNTAUGHT,
    *,
    threads: int | None = None,
    on_progress: OnProgress,
) -> tuple[list[Channel], Memory]:
    """``channels`` continued by ``fresh`` rows (time, value) of each, and what is remembered for the next ones.

    ``threads`` of the processor for lessons, 1 by default.
    """
    done = [len(channel.time) for channel in channels]
    times = [np.concatenate([channel.time, time]) for channel, (time, _) in zip(channels, fresh, strict=True)]
    values = [np.concatenate([channel.y, y]) for channel, (_, y) in zip(channels, fresh, strict=True)]
    gone = [channel.forgotten.own for channel in channels]
    ends = lesson_ends(times, plan.warm_up, forgotten=gone)
    units = _units(channels, times, values, ends, rhythm)
    usable = [(m, unit) for m, unit in enumerate(units) if unit is not None]
    told = [np.full((len(time), len(BACKS), len(LEVELS)), np.nan) for time in times]
    if usable and ends:
        chosen = [m for m, _ in usable]
        sequences = Sequences(
            [times[m] for m in chosen],
            [values[m] for m in chosen],
            [unit for _, unit in usable],
            rhythm,
            forgotten=[gone[m] for m in chosen],
            most=plan.most,
        )
        lessons = _Lessons(
            sequences, [_Lane(channels[m], times[m], values[m], unit) for m, unit in usable], plan, threads
        )
        memory = lessons.forecast([told[m] for m in chosen], [done[m] for m in chosen], ends, memory, on_progress)
    return [
        _continued(channel, times[m], values[m], told[m], units[m], done[m]) for m, channel in enumerate(channels)
    ], memory


class _Lane:
    """A channel with a unit: its rows, and the one-step error of each, NaN where it has not been forecast yet."""

    def __init__(self, known: Channel, time: Times, y: Floats, unit: Unit) -> None:
        self.time, self.y, self.unit, self.forgotten = time, y, unit, known.forgotten.own
        self.error = np.r_[known.error[:, 0], np.full(len(y) - len(known.y), np.nan)]

    def note(self, told: Floats, rows: slice) -> None:
        self.error[rows] = self.y[rows] - (told[rows, 0, _MEDIAN] * self.unit.scale + self.unit.level)


class _Lessons:
    """Lessons and forecasts over channels that have a unit. Torch is loaded for cells other than the LSTM alone."""

    def __init__(self, sequences: Sequences, lanes: Sequence[_Lane], plan: Plan, threads: int | None) -> None:
        self.sequences, self.lanes, self.plan, self.threads = sequences, lanes, plan, threads

    def forecast(
        self, told: list[Floats], done: list[int], ends: list[int], memory: Memory, on_progress: OnProgress
    ) -> Memory:
        weights = memory.weights
        for lesson in range(max(0, memory.lessons - 1), len(ends)):
            known = self._rows(ends[lesson] if lesson >= memory.lessons else memory.ended)
            on_progress(Progress("learning", lesson + 1, len(ends)))
            if lesson >= memory.lessons:
                if lesson == 0:
                    self._fold(told, known)
                since = self._since(known)
                self._trim(since, known)
                first = np.where(since > 0, since + CONTEXT, 0)  # whose context is remembered too
                weights = self._taught(first, known, lesson, weights, since)
            later = self._rows(ends[lesson + 1]) if lesson + 1 < len(ends) else self.sequences.lengths
            if weights is not None:
                self._tell(self._asked(weights), told, np.maximum(known, done), later)
        return Memory(len(ends), ends[-1] if len(ends) > memory.lessons else memory.ended, weights)

    def _fold(self, told: list[Floats], known: Times) -> None:
        half, nothing = known // 2, np.zeros_like(known)
        for (first, stop), (begin, end) in (((nothing, half), (half, known)), ((half, known), (nothing, half))):
            self._tell(self._asked(self._taught(first, stop, None, None)), told, begin, end)

    def _since(self, known: Times) -> Times:
        """The row from which on each channel is remembered when it has ``known`` rows."""
        gone = np.array([lane.forgotten for lane in self.lanes], dtype=np.int64)
        since: Times = np.maximum(begin_of(known + gone, self.plan.most) - gone, 0)
        return since

    def _taught(
        self, first: Times, stop: Times, lesson: int | None, before: Weights | None, since: Times | None = None
    ) -> Weights:
        """The weights after a lesson from rows ``first`` .. ``stop`` - 1; None is one of the folds."""
        plan, anew = self.plan, before is None
        number, steps = {None: (0, FOLD_STEPS), 0: (1, FIRST_STEPS)}.get(lesson, (9 + (lesson or 0), REFIT_STEPS))
        steps = max(1, round(steps * plan.steps / FIRST_STEPS))
        seed = plan.seed * 1000 + number
        if plan.cell == "lstm":
            weights = drawn(hidden=plan.hidden, seed=plan.seed) if before is None else before
            return school(weights, self.sequences, first, stop, steps=steps, seed=seed, since=since, anew=anew)
        from lstmcast.anomaly.teaching import network_of, teach, weights_of  # torch takes two seconds to load
        from lstmcast.fit import device

        device.use_threads(self.threads)
        network = network_of(cell=plan.cell, hidden=plan.hidden, seed=plan.seed, weights=before)
        teach(network, self.sequences, first, stop, steps=steps, seed=seed, since=since, anew=anew)
        return weights_of(network)

    def _asked(self, weights: Weights) -> Ask:
        if self.plan.cell == "lstm":
            return lstm_quantiles(weights)
        from lstmcast.anomaly.teaching import asked_of, network_of

        return asked_of(network_of(cell=self.plan.cell, hidden=self.plan.hidden, seed=self.plan.seed, weights=weights))

    def _trim(self, since: Times, known: Times) -> None:
        for m, (lane, first, stop) in enumerate(zip(self.lanes, since, known, strict=True)):
            self.sequences.trim(m, ordinary(lane.error[first:stop]), first=int(first))

    def _tell(self, ask: Ask, told: list[Floats], first: Times, stop: Times) -> None:
        for m, table in enumerate(told):
            if stop[m] > first[m]:
                rows = slice(first[m], stop[m])
                asked = int(first[m]), int(stop[m])
                table[rows] = tell(ask, self.sequences, m, asked, forgotten=self.lanes[m].forgotten)
                self.lanes[m].note(table, rows)

    def _rows(self, end: int) -> Times:
        return np.array([np.searchsorted(time, end, side="right") for time in (lane.time for lane in self.lanes)])


def _units(
    channels: Sequence[Channel], times: list[Times], values: list[Floats], ends: list[int], rhythm: Rhythm
) -> list[Unit | None]:
    """The unit of each channel: what it had, else that of its rows at the end of the first lesson with enough."""
    units: list[Unit | None] = []
    for channel, time, y in zip(channels, times, values, strict=True):
        unit = channel.unit
        for end in ends if unit is None else ():
            known = int(np.searchsorted(time, end, side="right"))
            if known >= LEAST_ROWS:
                unit = measure_unit(time[:known], y[:known], rhythm)
                break
        units.append(unit)
    return units


def _continued(channel: Channel, time: Times, y: Floats, told: Floats, unit: Unit | None, done: int) -> Channel:
    """The channel with its new rows; the warm-up's are rewritten by the first lesson, which alone can judge them."""
    if unit is None:  # nobody was taught; a model may have judged the old rows
        more: Mapping[str, Any] = {
            name: np.concatenate([old, np.full((len(y) - done, *old.shape[1:]), np.nan)])
            for name in ("expected", "lower", "upper", "error", "z")
            for old in (getattr(channel, name),)
        }
        return replace(channel, time=time, y=y, **more)
    quantiles = told * unit.scale + unit.level
    for k in range(1, len(BACKS)):  # too near the beginning for the distance: the next nearer one says it
        missing = np.isnan(quantiles[:, k, 0])
        quantiles[missing, k] = quantiles[missing, k - 1]
    found = surprise(y, quantiles, np.array(LEVELS))
    old = np.isnan(told[:, 0, 0]) & (np.arange(len(y)) < done)
    new = Channel(
        channel.name,
        time,
        y,
        quantiles[:, 0, _MEDIAN],
        quantiles[:, 0, _LOW],
        quantiles[:, 0, _HIGH],
        found.error,
        found.z,
        unit,
        channel.forgotten,
    )
    kept = {}
    for name in ("expected", "lower", "upper", "error", "z"):
        column = getattr(new, name)
        column[old] = getattr(channel, name)[np.flatnonzero(old)]
        kept[name] = column
    return replace(new, **kept)
