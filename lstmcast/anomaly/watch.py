"""Watch: every row of a history forecast by a network taught on earlier rows only, as if it had been there.

The first rows, the warm-up, are judged by two networks, each taught on the half it does not judge; they calibrate what
follows. From then on rows are forecast as they come, and the network is taught again whenever the history has grown by
30 %. Nothing depends on how many rows there will be, nor on how they were cut into deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lstmcast.anomaly.network import LEVELS, RowForecaster
from lstmcast.anomaly.rhythm import Rhythm
from lstmcast.anomaly.sequences import BACKS, Sequences, Unit, measure_unit
from lstmcast.anomaly.surprise import surprise
from lstmcast.anomaly.teaching import FIRST_STEPS, FOLD_STEPS, REFIT_STEPS, lesson_ends, teach, tell
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
    ``unit`` None until the channel has been measured.
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


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept of the lessons: how many there were, when the last ended, and the weights (None before any)."""

    lessons: int
    ended: int
    weights: Mapping[str, torch.Tensor] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``warm_up`` rows before the first lesson; ``steps`` of it, the others in proportion; the network and its seed."""

    warm_up: int
    cell: str = "lstm"
    hidden: int = 32
    steps: int = FIRST_STEPS
    seed: int = 1


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
    on_progress: OnProgress,
) -> tuple[list[Channel], Memory]:
    """``channels`` continued by ``fresh`` rows (time, value) of each, and what is remembered for the next ones."""
    done = [len(channel.time) for channel in channels]
    times = [np.concatenate([channel.time, time]) for channel, (time, _) in zip(channels, fresh, strict=True)]
    values = [np.concatenate([channel.y, y]) for channel, (_, y) in zip(channels, fresh, strict=True)]
    ends = lesson_ends(times, plan.warm_up)
    units = _units(channels, times, values, ends, rhythm)
    usable = [(m, unit) for m, unit in enumerate(units) if unit is not None]
    told = [np.full((len(time), len(BACKS), len(LEVELS)), np.nan) for time in times]
    if usable and ends:
        chosen = [m for m, _ in usable]
        theirs = [times[m] for m in chosen]
        sequences = Sequences(theirs, [values[m] for m in chosen], [unit for _, unit in usable], rhythm)
        lessons = _Lessons(sequences, theirs, plan)
        memory = lessons.forecast([told[m] for m in chosen], [done[m] for m in chosen], ends, memory, on_progress)
    return [
        _continued(channel, times[m], values[m], told[m], units[m], done[m]) for m, channel in enumerate(channels)
    ], memory


class _Lessons:
    """Lessons and forecasts over channels that have a unit."""

    def __init__(self, sequences: Sequences, times: Sequence[Times], plan: Plan) -> None:
        self.sequences, self.times, self.plan = sequences, times, plan

    def forecast(
        self, told: list[Floats], done: list[int], ends: list[int], memory: Memory, on_progress: OnProgress
    ) -> Memory:
        network = self._network()
        if memory.weights is not None:
            network.load_state_dict(memory.weights)
        for lesson in range(max(0, memory.lessons - 1), len(ends)):
            known = self._rows(ends[lesson])
            on_progress(Progress("learning", lesson + 1, len(ends)))
            if lesson >= memory.lessons:
                if lesson == 0:
                    self._fold(told, known)
                    self._teach(network, np.zeros_like(known), known, FIRST_STEPS, 1)
                else:
                    self._teach(network, np.zeros_like(known), known, REFIT_STEPS, 9 + lesson, anew=False)
            later = self._rows(ends[lesson + 1]) if lesson + 1 < len(ends) else self.sequences.lengths
            self._tell(network, told, np.maximum(known, done), later)
        kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return Memory(len(ends), ends[-1], kept)

    def _fold(self, told: list[Floats], known: Times) -> None:
        half, nothing = known // 2, np.zeros_like(known)
        for (first, stop), (begin, end) in (((nothing, half), (half, known)), ((half, known), (nothing, half))):
            network = self._network()
            self._teach(network, first, stop, FOLD_STEPS, 0)
            self._tell(network, told, begin, end)

    def _network(self) -> RowForecaster:
        generator = torch.Generator().manual_seed(self.plan.seed)
        return RowForecaster(cell=self.plan.cell, hidden=self.plan.hidden, generator=generator)

    def _teach(
        self, network: RowForecaster, first: Times, stop: Times, steps: int, number: int, *, anew: bool = True
    ) -> None:
        steps = max(1, round(steps * self.plan.steps / FIRST_STEPS))
        teach(network, self.sequences, first, stop, steps=steps, seed=self.plan.seed * 1000 + number, anew=anew)

    def _tell(self, network: RowForecaster, told: list[Floats], first: Times, stop: Times) -> None:
        for m, table in enumerate(told):
            if stop[m] > first[m]:
                table[first[m] : stop[m]] = tell(network, self.sequences, m, (int(first[m]), int(stop[m])))

    def _rows(self, end: int) -> Times:
        return np.array([np.searchsorted(time, end, side="right") for time in self.times])


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
    if unit is None:
        nothing, nowhere = np.full(len(y), np.nan), np.full((len(y), len(BACKS)), np.nan)
        return Channel(channel.name, time, y, nothing, nothing, nothing, nowhere, nowhere)
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
    )
    kept = {}
    for name in ("expected", "lower", "upper", "error", "z"):
        column = getattr(new, name)
        column[old] = getattr(channel, name)[np.flatnonzero(old)]
        kept[name] = column
    return replace(new, **kept)
