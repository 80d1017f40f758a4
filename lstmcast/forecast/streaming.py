"""Streaming: a stateful network reads its series row by row, from the first of them or on from what it remembers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.windows import Batch, Lanes, Piece, whole
from lstmcast.forecast.memory import Begun
from lstmcast.forecast.network import Network, carried, predicted_along
from lstmcast.net.cells import State

Part = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Places of the windows asked for, and their quantiles."""

_LANES, _ROWS = 64, 256


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
                    own = carried(network, now, own)
                    continue
                origins = torch.from_numpy(lane[here] * size + row[here] % size).to(network.device)
                prediction, own = predicted_along(network, now, own, origins=origins)
                yield places[here], network.quantiles(prediction).cpu().numpy()


def read_on(network: Network, begun: Begun) -> tuple[NDArray[np.float64], State]:
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
                    after = carried(network, now, before)
                    for part, new in zip(own, after, strict=True):
                        part[going] = new
                    left[group[going]] -= size
            for part, new in zip(state, own, strict=True):
                part[group] = new
            now = _rows(panel, newest[group], 1, horizon=shape.horizon).to(network.device)
            prediction, _ = predicted_along(network, now, own)
            out[group] = network.quantiles(prediction)[:, 0].cpu().numpy()
    return out + panel.shift[:, None, :, None], state


def _rows(panel: Panel, first: NDArray[np.int64], size: int, *, horizon: int) -> Batch:
    """``size`` rows of one segment in each lane, which go on from what was before them."""
    limit = panel.offsets[panel.segment_of(first) + 1]
    pieces = [[Piece(int(row), int(row) + size, int(end), starts=False)] for row, end in zip(first, limit, strict=True)]
    return Lanes(panel, pieces, rows=size, horizon=horizon).chunk(0)
