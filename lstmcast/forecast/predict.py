"""Predict: a network over a Panel, at any cutoffs, in the user's units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstmcast.data.panel import Panel
from lstmcast.data.relatives import Relatives
from lstmcast.data.windows import Batch, Lanes, Piece, Windows, whole
from lstmcast.forecast.memory import Begun, Memory, take_up
from lstmcast.net.architecture import Architecture
from lstmcast.net.cells import State


class Network(Protocol):
    """A ``Forecaster`` or an ``Ensemble`` of them."""

    @property
    def architecture(self) -> Architecture: ...

    @property
    def reach(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def needs_spread(self) -> bool: ...

    def __call__(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        *,
        spread: Tensor | None = None,
        static: Tensor | None = None,
        parents: Tensor | None = None,
    ) -> Any: ...

    def quantiles(self, prediction: Any) -> Tensor: ...

    def initial_state(self, lanes: int) -> State: ...

    def carry(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        state: State,
        starts: Tensor,
        *,
        static: Tensor | None = None,
    ) -> State: ...

    def stream(
        self,
        context: Tensor,
        observed: Tensor,
        past: Tensor,
        future: Tensor,
        state: State,
        starts: Tensor,
        *,
        origins: Tensor | None = None,
        static: Tensor | None = None,
    ) -> tuple[Any, State]: ...


_ROWS_OF_STATISTICS = 3  # from which classical methods have a trend to go by
_WINDOWS = 512  # per forward pass: bounds memory, fixed so that equal input gives equal bytes
_WORTH_THREADS = 16  # forward passes from which further threads are started; they never wait for each other
_AHEAD = 8  # passes per thread whose results may wait to be taken
_LANES, _ROWS = 64, 256  # of a stream


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
    shape, short = network.architecture, panel.schema.short
    last = panel.last_segment()
    cutoff, rows = panel.ends[last], panel.ends[last] - panel.offsets[last]
    known = np.add.reduceat(panel.observed.any(axis=1), panel.offsets[:-1], dtype=np.int64)[last]
    constant = constant_series(panel)
    begun = take_up(panel, memory, initial_state=network.initial_state) if shape.stateful else None
    length = rows
    if begun is not None:
        follows = begun.continued & (panel.start[last] > begun.panel.start)  # the file holds new rows only
        earlier = np.where(follows, begun.before + 1, 0)
        known, length, constant = known + earlier, rows + earlier, constant & ~follows
    usable = (known >= least_rows(network, short)) & ~constant
    if excluded is not None:
        usable &= ~excluded
    levels = shape.quantiles
    quantiles = np.full((len(last), shape.horizon, shape.targets, shape.outputs), np.nan)
    memory, read = None, 0
    if begun is not None:
        streamed, state = _read_on(network, begun)
        quantiles[usable] = streamed[usable]
        memory, read = begun.remembered(state), int((begun.panel.ends - begun.panel.offsets[:-1]).sum())
    elif usable.any():
        quantiles[usable] = quantiles_at(network, panel, cutoff[usable], threads=threads)
    repeat = _last_values(panel)[last]
    if shape.classes:
        sure = np.eye(shape.classes)[np.nan_to_num(repeat).astype(np.int64)]
        quantiles[constant] = sure[constant, None]
    else:
        quantiles[constant] = repeat[constant, None, :, None]
    left = ~usable & ~constant
    repeated = left & (fallback and short != "skip")
    if shape.classes:
        quantiles[repeated] = sure[repeated, None]
    else:
        quantiles[repeated, :, :, levels.index(0.5)] = repeat[repeated, None, :]
    status = np.select(
        [constant, repeated, left, length < shape.context], ["constant", "fallback", "skipped", "padded"], "ok"
    )
    return Forecast(
        quantiles=quantiles,
        levels=levels,
        times=panel.schema.frequency.advance(panel.start[last, None], rows[:, None] + np.arange(shape.horizon)),
        cutoff=panel.times(cutoff - 1),
        status=tuple(str(word) for word in status),
        memory=memory,
        rows_read=read,
        anew=begun.anew if begun is not None else {},
    )


def least_rows(network: Network, short: str) -> int:
    """Observed rows a series needs at its end to be forecast by the network, under the policy ``short``."""
    shape = network.architecture
    if short in {"naive", "skip"}:
        return shape.context
    return _ROWS_OF_STATISTICS if shape.base == "statistical" else min(shape.patch + 1, shape.context)


def _last_values(panel: Panel) -> NDArray[np.float64]:
    """float64 (S, D) the last observed value of each target in each segment, in the user's units; NaN where none is."""
    row = np.where(panel.observed, np.arange(len(panel.values))[:, None], -1)
    position = np.maximum.reduceat(row, panel.offsets[:-1])
    values = np.take_along_axis(panel.values, np.maximum(position, 0), axis=0) + panel.shift[panel.series]
    return np.where(position >= 0, values, np.nan)


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


Part = tuple[NDArray[np.int64], NDArray[np.float32]]
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
        prediction = network(
            batch.context,
            batch.observed,
            batch.past,
            batch.future,
            spread=batch.spread,
            static=batch.static,
            parents=batch.parents,
        )
        read = network.quantiles(prediction).cpu().numpy()
        return places, read if asked is None else read[asked]

    if threads == 1 or network.device.type != "cpu" or len(groups) < _WORTH_THREADS:
        yield from map(look, groups)
        return
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for k in range(0, len(groups), _AHEAD * threads):
            yield from pool.map(look, groups[k : k + _AHEAD * threads])


def streamed(
    network: Network, panel: Panel, cutoffs: NDArray[np.int64], *, state: State | None = None
) -> Iterator[Part]:
    """Places in ``cutoffs`` (V,) and their quantiles, less the series' shift, while the state is carried along.

    It starts from nothing, or from ``state`` (S, ·) before the first row of each segment; only the rows before the
    cutoffs are decoded.
    """
    segment = panel.segment_of(cutoffs - 1)
    wanted = np.unique(segment)
    wanted = wanted[np.argsort((panel.ends - panel.offsets[:-1])[wanted], kind="stable")]  # equal lengths together
    for group in np.array_split(wanted, -(-len(wanted) // _LANES)):
        places = np.flatnonzero(np.isin(segment, group))
        lane = np.argsort(group)[np.searchsorted(np.sort(group), segment[places])]
        row = cutoffs[places] - 1 - panel.offsets[segment[places]]
        size = min(_ROWS, int(row.max()) + 1)
        lanes = Lanes(panel, whole(panel, group, starts=state is None), rows=size, horizon=network.architecture.horizon)
        own = network.initial_state(lanes.lanes) if state is None else tuple(part[group] for part in state)
        with torch.inference_mode():
            for index in range(int(row.max()) // size + 1):
                now = lanes.chunk(index).to(network.device)
                here = row // size == index
                if not here.any():
                    own = network.carry(now.context, now.observed, now.past, own, now.starts, static=now.static)
                    continue
                origins = torch.from_numpy(lane[here] * size + row[here] % size).to(network.device)
                prediction, own = network.stream(
                    now.context,
                    now.observed,
                    now.past,
                    now.future,
                    own,
                    now.starts,
                    origins=origins,
                    static=now.static,
                )
                yield places[here], network.quantiles(prediction).cpu().numpy()


def _read_on(network: Network, begun: Begun) -> tuple[NDArray[np.float64], State]:
    """Quantiles (N, H, D, Q) after the newest row of each series, in the user's units, and the state entering it."""
    panel, shape = begun.panel, network.architecture
    newest = panel.ends - 1
    left = newest - panel.offsets[:-1]
    state = tuple(part.clone() for part in begun.state)
    out = np.empty((len(left), shape.horizon, shape.targets, shape.outputs))
    by_length = np.argsort(left, kind="stable")
    with torch.inference_mode():
        for group in np.array_split(by_length, -(-len(left) // _LANES)):
            own = tuple(part[group] for part in state)
            for size in (2**k for k in range(_ROWS.bit_length() - 1, -1, -1)):
                # no lane is padded: its state is that of its own rows, whoever its neighbours are
                while (going := np.flatnonzero(left[group] >= size)).size:
                    now = _rows(panel, newest[group[going]] - left[group[going]], size, horizon=shape.horizon)
                    now = now.to(network.device)
                    before = tuple(part[going] for part in own)
                    after = network.carry(now.context, now.observed, now.past, before, now.starts, static=now.static)
                    for part, new in zip(own, after, strict=True):
                        part[going] = new
                    left[group[going]] -= size
            for part, new in zip(state, own, strict=True):
                part[group] = new
            now = _rows(panel, newest[group], 1, horizon=shape.horizon).to(network.device)
            prediction, _ = network.stream(
                now.context, now.observed, now.past, now.future, own, now.starts, static=now.static
            )
            out[group] = network.quantiles(prediction)[:, 0].cpu().numpy()
    return out + panel.shift[:, None, :, None], state


def _rows(panel: Panel, first: NDArray[np.int64], size: int, *, horizon: int) -> Batch:
    """``size`` rows of one segment in each lane, which go on from what was before them."""
    limit = panel.offsets[panel.segment_of(first) + 1]
    pieces = [[Piece(int(row), int(row) + size, int(end), starts=False)] for row, end in zip(first, limit, strict=True)]
    return Lanes(panel, pieces, rows=size, horizon=horizon).chunk(0)


def constant_series(panel: Panel) -> NDArray[np.bool_]:
    """bool (N,) the series in which no target ever varies."""
    low = np.where(panel.observed, panel.values, np.inf)
    high = np.where(panel.observed, panel.values, -np.inf)
    segments = panel.offsets[:-1]
    low, high = np.minimum.reduceat(low, segments), np.maximum.reduceat(high, segments)
    first = np.searchsorted(panel.series, np.arange(len(panel.ids)))
    low, high = np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)
    still = high - low <= 0
    if panel.earlier is not None:
        before = panel.earlier.of(panel.ids)
        still &= (before.count == 0) | ((before.squares == 0) & (before.mean == low + panel.shift))
    return np.asarray(still.all(axis=1), dtype=np.bool_)
