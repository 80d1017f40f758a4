"""Resume: the forecasts a stateful network would have made at past rows, from what was remembered before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.calendar_features import extended
from lstmcast.data.excerpt import excerpt
from lstmcast.data.panel import Panel
from lstmcast.forecast.memory import Memory, take_up
from lstmcast.forecast.network import Network
from lstmcast.forecast.streaming import read_on, streamed
from lstmcast.net.cells import State

Told = tuple[NDArray[np.int64], NDArray[np.float64]]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that are read one after the other: those of ``panel``, before the first of which its lanes have ``state``
    (from nothing where it is None) and have read ``before`` (S',) rows.

    Of the S segments asked about, ``lane`` int64 (S,) is the segment of ``panel``, -1 where it is not in it, and
    ``moved`` int64 (S,) the row there of its first row.
    """

    panel: Panel
    state: State | None
    before: NDArray[np.int64]
    lane: NDArray[np.int64]
    moved: NDArray[np.int64]

    def can(self, segment: NDArray[np.int64], row: NDArray[np.int64], *, least: int) -> Flags:
        """bool (V,) whether there is a forecast whose first target is the ``row`` (V,), counted in its ``segment``, of
        ``least`` rows before it."""
        lane, first = self.lane[segment], row + self.moved[segment]
        length = (self.panel.ends - self.panel.offsets[:-1])[lane]
        possible: Flags = (lane >= 0) & (first >= 1) & (first <= length) & (self.before[lane] + first >= least)
        return possible

    def told(self, network: Network, segment: NDArray[np.int64], row: NDArray[np.int64]) -> Iterator[Told]:
        """Places in ``row`` (V,) and the quantiles (·, H, D, Q), in the user's units, of forecasts that begin there."""
        ahead = extended(self.panel, network.architecture.horizon)  # the calendar of the rows still to come
        lane = self.lane[segment]
        cutoffs = ahead.offsets[lane] + row + self.moved[segment]
        state = None if self.state is None else tuple(part.to(network.device) for part in self.state)
        for places, values in streamed(network, ahead, cutoffs, state=state):
            yield places, values + ahead.shift[ahead.series[lane[places]]][:, None, :, None]


def resumed(
    network: Network,
    panel: Panel,
    segment: NDArray[np.int64],
    row: NDArray[np.int64],
    memories: Sequence[Memory],
    *,
    least: int = 1,
    shared: Flags | None = None,
) -> Iterator[Told]:
    """Places in ``row`` (V,) and the quantiles (·, H, D, Q) in the user's units of the forecasts whose first target is
    that row, counted from the first of its ``segment``; it may lie before that.

    Each comes from the first of ``memories`` that its series can be read on from and that had not read as far; from the
    start of its segment where there is none. There is none of fewer than ``least`` rows. ``shared`` as in ``take_up``.
    """
    each = np.arange(len(panel.ends))
    left = np.arange(len(row))
    for memory in (*memories, None):
        if memory is None:
            stretch = Stretch(panel, None, np.zeros_like(each), each, np.zeros_like(each))
        else:
            stretch = _read_on(network, panel, memory, shared)
        here = stretch.can(segment[left], row[left], least=least)
        chosen, left = left[here], left[~here]
        if chosen.size:
            for places, values in stretch.told(network, segment[chosen], row[chosen]):
                yield chosen[places], values


def _read_on(network: Network, panel: Panel, memory: Memory, shared: Flags | None) -> Stretch:
    kept, early = _up_to_what_follows(panel, memory)
    begun = take_up(early, memory, initial_state=network.initial_state, shared=shared)
    lane, moved = np.full((2, len(panel.ends)), -1)
    last = kept[early.last_segment()]
    lane[last] = np.where(begun.continued, np.arange(len(last)), -1)
    one, other = panel.start[last], begun.panel.start
    later = panel.schema.frequency.locate(other, np.maximum(one, other))[0]
    moved[last] = later - panel.schema.frequency.locate(one, np.maximum(one, other))[0]
    return Stretch(begun.panel, begun.state, begun.before, lane, moved)


def _up_to_what_follows(panel: Panel, memory: Memory) -> tuple[NDArray[np.int64], Panel]:
    """The segments of each series up to the first that reaches beyond what is remembered of it, and them alone."""
    newest = memory.newest[np.maximum(memory.places(panel), 0)][panel.series]
    beyond = panel.times(panel.ends - 1) > newest
    count = np.cumsum(beyond)
    first = np.searchsorted(panel.series, np.arange(len(panel.ids)))
    kept = np.flatnonzero(count - beyond == (count - beyond)[first][panel.series])
    if len(kept) == len(panel.ends):
        return kept, panel
    stop = panel.offsets[:-1].copy()
    stop[kept] = panel.ends[kept]
    return kept, excerpt(panel, panel.offsets[:-1], stop, keep_future=True)


def advanced(network: Network, panel: Panel, memories: Sequence[Memory], *, shared: Flags | None = None) -> Memory:
    """What is remembered after the newest row of each series of ``panel``, read on from the first of ``memories`` that
    can be, and what the first of them holds of other series."""
    usable: Memory | None = None
    taken = np.zeros(len(panel.ids), dtype=np.bool_)
    for memory in memories:
        begun = take_up(panel, memory, initial_state=network.initial_state, shared=shared)
        here = np.flatnonzero(begun.continued & ~taken)
        if here.size:
            taken[here] = True
            part = memory.take(begun.index[here])
            usable = part if usable is None else usable.merged(part)
    begun = take_up(panel, usable, initial_state=network.initial_state, shared=shared)
    now = begun.remembered(read_on(network, begun)[1])
    return now.merged(memories[0]) if memories else now
