"""Standing: how the series of a panel stand before a network is asked; which of them it can forecast at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.excerpt import consecutive, portions
from lstmcast.data.panel import Panel
from lstmcast.forecast.memory import Begun, Memory, take_up
from lstmcast.forecast.network import Network

_ROWS_OF_STATISTICS = 3  # from which classical methods have a trend to go by


@dataclass(frozen=True, slots=True)
class Standing:
    """N series before they are forecast.

    ``usable`` bool (N,) the network forecasts them; ``constant`` bool (N,) they never vary. ``status`` (N,): ok,
    padded, constant, fallback or skipped. ``begun``, of a stateful network: where it goes on.
    """

    usable: NDArray[np.bool_]
    constant: NDArray[np.bool_]
    status: tuple[str, ...]
    begun: Begun | None = None

    @property
    def anew(self) -> Mapping[str, str]:
        """The series that could not be continued from what was remembered, and why (see ``memory.WHY``)."""
        return {} if self.begun is None else self.begun.anew

    def some(self, these: slice) -> Standing:
        """Some of the series, of a network that reads windows."""
        return Standing(self.usable[these], self.constant[these], self.status[these])


def stand(
    network: Network,
    panel: Panel,
    *,
    fallback: bool = True,
    excluded: NDArray[np.bool_] | None = None,
    memory: Memory | None = None,
) -> Standing:
    """How the series of ``panel`` stand; see ``predict.forecast`` for what becomes of each."""
    shape, short = network.architecture, panel.schema.short
    last = panel.last_segment()
    length = panel.ends[last] - panel.offsets[last]
    known, constant = _observed_rows(panel), constant_series(panel)
    begun = take_up(panel, memory, initial_state=network.initial_state) if shape.stateful else None
    if begun is not None:
        follows = begun.continued & (panel.start[last] > begun.panel.start)  # the file holds new rows only
        earlier = np.where(follows, begun.before + 1, 0)
        known, constant = known + earlier, constant & ~follows
        length = np.where(begun.continued, begun.before + begun.panel.ends - begun.panel.offsets[:-1], length)
    usable = (known >= least_rows(network, short)) & ~constant
    if excluded is not None:
        usable &= ~excluded
    left = ~usable & ~constant
    repeated = left & (fallback and short != "skip")
    status = np.select(
        [constant, repeated, left, length < shape.context], ["constant", "fallback", "skipped", "padded"], "ok"
    )
    return Standing(usable, constant, tuple(str(word) for word in status.tolist()), begun)


def least_rows(network: Network, short: str) -> int:
    """Observed rows a series needs at its end to be forecast by the network, under the policy ``short``."""
    shape = network.architecture
    if short in {"naive", "skip"}:
        return shape.context
    return _ROWS_OF_STATISTICS if shape.base == "statistical" else min(shape.patch + 1, shape.context)


def last_values(panel: Panel) -> NDArray[np.float64]:
    """float64 (N, D) the last observed value of each target in the last segment of each series, in the user's units;
    NaN where there is none."""
    return np.concatenate([_last_values(consecutive(panel, these)) for these in portions(panel)])


def _last_values(panel: Panel) -> NDArray[np.float64]:
    row = np.where(panel.observed, np.arange(len(panel.values))[:, None], -1)
    position = np.maximum.reduceat(row, panel.offsets[:-1])[panel.last_segment()]
    values = np.take_along_axis(panel.values, np.maximum(position, 0), axis=0) + panel.shift
    return np.where(position >= 0, values, np.nan)


def _observed_rows(panel: Panel) -> NDArray[np.int64]:
    """int64 (N,) the rows of the last segment in which any target was observed."""
    found = []
    for these in portions(panel):
        part = consecutive(panel, these)
        each = np.add.reduceat(part.observed.any(axis=1), part.offsets[:-1], dtype=np.int64)
        found.append(each[part.last_segment()])
    return np.concatenate(found)


def constant_series(panel: Panel) -> NDArray[np.bool_]:
    """bool (N,) the series in which no target ever varies."""
    earlier = None if panel.earlier is None else panel.earlier.of(panel.ids)
    still = []
    for these in portions(panel):
        part = consecutive(panel, these)
        low = np.where(part.observed, part.values, np.inf)
        high = np.where(part.observed, part.values, -np.inf)
        segments = part.offsets[:-1]
        low, high = np.minimum.reduceat(low, segments), np.maximum.reduceat(high, segments)
        first = np.searchsorted(part.series, np.arange(len(part.ids)))
        low, high = np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)
        same = high - low <= 0
        if earlier is not None:
            count, squares, mean = earlier.count[these], earlier.squares[these], earlier.mean[these]
            same &= (count == 0) | ((squares == 0) & (mean == low + part.shift))
        still.append(same.all(axis=1))
    return np.concatenate(still)
