"""Resume: the forecasts a stateful network would have made at past rows, from what was remembered before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.forecast.memory import Begun, Memory, take_up
from lstmcast.forecast.network import Network
from lstmcast.forecast.streaming import streamed

Parts = Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]


def resumed(network: Network, panel: Panel, cutoffs: NDArray[np.int64], memories: Sequence[Memory]) -> Parts:
    """Places in ``cutoffs`` (V,) and the quantiles (·, H, D, Q) in the user's units of the forecasts made just before.

    Each comes from the first of ``memories`` that its series can be read on from and that had not read as far; from the
    start of its segment where there is none.
    """
    left = np.arange(len(cutoffs))
    for memory in memories:
        begun = take_up(panel, memory, initial_state=network.initial_state)
        place = _places(panel, begun, cutoffs[left] - 1)
        known, left = left[place >= 0], left[place < 0]
        if known.size:
            state = tuple(part.to(network.device) for part in begun.state)
            parts = streamed(network, begun.panel, place[place >= 0] + 1, state=state)
            yield from _in_units(panel, cutoffs, parts, known, begun.panel.shift)
    if left.size:
        yield from _in_units(panel, cutoffs, streamed(network, panel, cutoffs[left]), left, panel.shift)


def _places(panel: Panel, begun: Begun, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (V,) where the panel's ``rows`` lie in what is left to read, -1 for those that do not."""
    segment = panel.segment_of(rows)
    series = panel.series[segment]
    start, times = begun.panel.start[series], panel.times(rows)
    there = begun.continued[series] & (segment == panel.last_segment()[series]) & (times >= start)
    steps, _ = panel.schema.frequency.locate(start, np.maximum(times, start))
    return np.where(there, begun.panel.offsets[series] + steps, -1)


def _in_units(
    panel: Panel,
    cutoffs: NDArray[np.int64],
    parts: Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]],
    chosen: NDArray[np.int64],
    shift: NDArray[np.float64],
) -> Parts:
    for places, values in parts:
        own = chosen[places]
        series = panel.series[panel.segment_of(cutoffs[own] - 1)]
        yield own, values + shift[series][:, None, :, None]
