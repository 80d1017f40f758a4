"""Predict: a network over a Panel, at any cutoffs, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from lstmcast.data.excerpt import consecutive
from lstmcast.data.panel import Panel
from lstmcast.data.relatives import Relatives
from lstmcast.data.windows import Windows
from lstmcast.forecast.memory import Memory
from lstmcast.forecast.network import Network, predicted
from lstmcast.forecast.standing import Standing, last_values, stand
from lstmcast.forecast.streaming import Part, read_on, streamed

_WINDOWS = 512  # per forward pass: bounds memory, fixed so that equal input gives equal bytes
_WORTH_THREADS = 16  # forward passes from which further threads are started; they never wait for each other
_AHEAD = 8  # passes per thread whose results may wait to be taken
_PASSES, _VALUES = 16, 4_000_000  # of one part of a forecast, at most: what is held of it at once


@dataclass(frozen=True, slots=True)
class Forecast:
    """What lies ahead of each series.

    ``quantiles`` float64 (N, H, D, Q) in the user's units, ascending along Q, at ``levels`` (Q,) in (0, 1), .5 among
    them; of a target of classes their probabilities, Q = K. ``times`` int64 (N, H) and ``cutoff`` int64 (N,), the last
    observed row, in the clock's units. ``status`` (N,): ok, padded, constant, fallback or skipped. NaN where nothing is
    known.

    Of a stateful network also: ``memory`` as it is now, ``rows_read`` by the network, and ``anew``, the series that
    could not be continued from the memory given, and why (see ``memory.WHY``).
    """

    quantiles: NDArray[np.float64]
    levels: tuple[float, ...]
    times: NDArray[np.int64]
    cutoff: NDArray[np.int64]
    status: tuple[str, ...]
    memory: Memory | None = None
    rows_read: int = 0
    anew: Mapping[str, str] = field(default_factory=dict)

    def some(self, these: slice) -> Forecast:
        """Some of the series, with the memory of all."""
        return replace(
            self,
            quantiles=self.quantiles[these],
            times=self.times[these],
            cutoff=self.cutoff[these],
            status=self.status[these],
        )


def forecast(
    network: Network,
    panel: Panel,
    *,
    fallback: bool = True,
    excluded: NDArray[np.bool_] | None = None,
    memory: Memory | None = None,
    threads: int = 1,
) -> Forecast:
    """Forecast after the last observed row of each series.

    A series whose history never varies is continued as the constant it is. One that is shorter than a patch and one
    row (than the context, where ``schema.short`` is naive or skip) cannot say enough about itself: with ``fallback``
    its last values are repeated, as the median only; without, or where ``schema.short`` is skip, it is skipped. So are
    the series ``excluded`` (N,) by the caller. A stateful network goes on from ``memory`` where that can be.
    ``threads`` as in ``quantiles_at``, for a network that reads windows.
    """
    standing = stand(network, panel, fallback=fallback, excluded=excluded, memory=memory)
    return _of_all(network, panel, standing, threads=threads)


def forecasts(
    network: Network, panel: Panel, standing: Standing, *, whole: bool = False, wide: int = 0, threads: int = 1
) -> Iterator[tuple[Panel, Forecast]]:
    """As ``forecast``, of series that stand as ``standing`` says: some of them at a time, in order, with their panel.

    Nothing that grows with the number of series is held, and each series gets what it would get from ``forecast``. Only
    a network that reads whole trees together (the encoder ``hierarchy``) or carries a state forecasts all series at
    once, and with ``whole`` there is one part: forecasts that are to add up are weighed against each other. ``wide``
    figures are to be made of each forecast step besides its quantiles; the wider, the fewer series at a time.
    """
    shape = network.architecture
    per_pass = _WINDOWS * shape.horizon * shape.targets * (shape.outputs + wide)
    parts = _parts(standing.usable, most=_WINDOWS * max(1, min(_PASSES, _VALUES // per_pass)))
    if int(standing.usable.sum()) < _WORTH_THREADS * _WINDOWS:
        threads = 1
    if whole or shape.stateful or shape.encoder == "hierarchy":
        everything = _of_all(network, panel, standing, threads=threads)
        for these in (slice(0, len(panel.ids)),) if whole else parts:
            yield consecutive(panel, these), everything.some(these)
        return
    for these in parts:
        part = consecutive(panel, these)
        yield part, _of_all(network, part, standing.some(these), threads=threads)


def _parts(usable: NDArray[np.bool_], *, most: int) -> Iterator[slice]:
    """All series, in runs of ``most`` or somewhat more, which is a whole number of passes.

    A run ends where the usable series so far fill their passes, or there are no more: so each window is read in the
    company it would have were all of them read at once.
    """
    count = np.append(0, np.cumsum(usable))
    ends = np.flatnonzero((count % _WINDOWS == 0) | (count == count[-1]))
    start = 0
    while start < len(usable):
        near, beyond = np.searchsorted(ends, [start + most, start], side="right")
        stop = int(max(ends[near - 1], ends[beyond]))
        yield slice(start, stop)
        start = stop


def _of_all(network: Network, panel: Panel, standing: Standing, *, threads: int) -> Forecast:
    """The forecast of every series of ``panel``, all at once."""
    shape = network.architecture
    last = panel.last_segment()
    cutoff, rows = panel.ends[last], panel.ends[last] - panel.offsets[last]
    usable, constant, begun = standing.usable, standing.constant, standing.begun
    quantiles = np.full((len(last), shape.horizon, shape.targets, shape.outputs), np.nan)
    memory, read = None, 0
    if begun is not None:
        read_values, state = read_on(network, begun)
        quantiles[usable] = read_values[usable]
        memory, read = begun.remembered(state), int((begun.panel.ends - begun.panel.offsets[:-1]).sum())
    elif usable.any():
        quantiles[usable] = quantiles_at(network, panel, cutoff[usable], threads=threads)
    repeated = np.array([status == "fallback" for status in standing.status])
    if (constant | repeated).any():
        _repeat(quantiles, last_values(panel), constant, repeated, classes=shape.classes, levels=shape.quantiles)
    return Forecast(
        quantiles=quantiles,
        levels=shape.quantiles,
        times=panel.schema.frequency.advance(panel.start[last, None], rows[:, None] + np.arange(shape.horizon)),
        cutoff=panel.times(cutoff - 1),
        status=standing.status,
        memory=memory,
        rows_read=read,
        anew=standing.anew,
    )


def _repeat(
    quantiles: NDArray[np.float64],
    last: NDArray[np.float64],
    constant: NDArray[np.bool_],
    repeated: NDArray[np.bool_],
    *,
    classes: int,
    levels: tuple[float, ...],
) -> None:
    """Put the ``last`` values (N, D) into ``quantiles`` (N, H, D, Q): all of them of ``constant`` series (N,), which
    are sure, the median of those that are merely ``repeated`` (N,)."""
    if classes:
        sure = np.eye(classes)[np.nan_to_num(last).astype(np.int64)]
        quantiles[constant], quantiles[repeated] = sure[constant, None], sure[repeated, None]
    else:
        quantiles[constant] = last[constant, None, :, None]
        quantiles[repeated, :, :, levels.index(0.5)] = last[repeated, None, :]


def quantiles_at(
    network: Network, panel: Panel, cutoffs: NDArray[np.int64], *, threads: int = 1
) -> NDArray[np.float64]:
    """Quantiles float64 (V, H, D, Q) in the user's units of the forecasts made just before the rows ``cutoffs``.

    Many windows are shared out among ``threads``, which changes nothing in the result.
    """
    shape = network.architecture
    parts = streamed(network, panel, cutoffs) if shape.stateful else _windowed(network, panel, cutoffs, threads)
    out = np.empty((len(cutoffs), shape.horizon, shape.targets, shape.outputs))
    for places, values in parts:
        out[places] = values
    segment = panel.segment_of(cutoffs - 1)
    out += panel.shift[panel.series[segment]][:, None, :, None]
    return out


Group = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None, NDArray[np.int64] | None]
"""Places of the windows asked for; the rows of those to read; lanes of their parents; which of them were asked for."""


def _windowed(network: Network, panel: Panel, cutoffs: NDArray[np.int64], threads: int) -> Iterator[Part]:
    horizon = network.architecture.horizon
    windows = Windows(panel, context=network.reach, horizon=horizon, spread=network.needs_spread)

    groups: list[Group]
    if network.architecture.encoder == "hierarchy":
        found = Relatives(panel).together(cutoffs, most=_WINDOWS)
        groups = [(places, read.cutoffs, read.parents, read.asked) for places, read in found]
    else:
        every = np.arange(len(cutoffs))
        groups = [
            (every[k : k + _WINDOWS], cutoffs[k : k + _WINDOWS], None, None) for k in range(0, len(cutoffs), _WINDOWS)
        ]

    @torch.inference_mode()
    def look(group: Group) -> Part:
        places, rows, parents, asked = group
        lanes = None if parents is None else torch.from_numpy(parents)
        batch = windows.gather(torch.from_numpy(rows), lanes).to(network.device)
        prediction = predicted(network, batch)
        read = network.quantiles(prediction).cpu().numpy()
        return places, read if asked is None else read[asked]

    if threads == 1 or network.device.type != "cpu" or len(groups) == 1:
        yield from map(look, groups)
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for k in range(0, len(groups), _AHEAD * threads):
            yield from pool.map(look, groups[k : k + _AHEAD * threads])
