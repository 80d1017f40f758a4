"""Memory: what a stateful network carries from one run to the next, so that it reads new rows only.

The stored state is the one that enters the newest row, and that row is stored with it: a decoder begins from the
embedded newest row as well as from the state, so the row is read again, together with what came after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lstmcast.data.calendar_features import derived
from lstmcast.data.panel import Panel
from lstmcast.errors import ModelError
from lstmcast.forecast.sketch import differs, sketch
from lstmcast.net.cells import State

WHY = {
    "new": "not known to the stored state",
    "restated": "not what was read before: earlier rows have changed",
    "shorter": "without the first of the rows that were read before",
    "earlier": "without the last of the rows that were read before",
    "gap": "begun anew after a gap longer than max_gap",
    "level": "at another level than before",
}
"""Why a series is read from the start of its last segment."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of N series. D targets, K covariates.

    ``state``      tensors (N, ·) that enter the newest row
    ``begin``      int64 (N,) time of the first row of the segment; ``newest`` int64 (N,) that of its newest
    ``rows``       int64 (N,) rows from the one to the other, both counted
    ``sketch``     float64 (N, 2(D+K)) checksum of those rows (see ``sketch``)
    ``shift``      float64 (N, D) what was taken off the targets before they were read
    ``values``     float32 (N, D), ``observed`` bool (N, D), ``covariates`` float32 (N, K): the newest row
    """

    ids: tuple[str, ...]
    state: State
    begin: NDArray[np.int64]
    newest: NDArray[np.int64]
    rows: NDArray[np.int64]
    sketch: NDArray[np.float64]
    shift: NDArray[np.float64]
    values: NDArray[np.float32]
    observed: NDArray[np.bool_]
    covariates: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays, for a file."""
        plain = {name: getattr(self, name) for name in _ARRAYS}
        states = {f"state.{k:03d}": part.cpu().numpy() for k, part in enumerate(self.state)}
        return plain | states | {"ids": np.frombuffer(json.dumps(self.ids).encode(), np.uint8)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], initial_state: Callable[[int], State]) -> Memory:
        """The inverse of ``arrays``. Raises ``ModelError`` where they are not what this network carries."""
        try:
            ids = tuple(json.loads(arrays["ids"].tobytes()))
            state = tuple(torch.tensor(arrays[name]) for name in sorted(arrays) if name.startswith("state."))
            plain = {name: np.array(arrays[name]) for name in _ARRAYS}
            lengths = {len(part) for part in plain.values()} | {len(part) for part in state}
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(f"the stored state is not one: {error}", remedy=_REMEDY) from error
        if lengths != {len(ids)}:
            raise ModelError("the stored state does not hold the same number of series throughout", remedy=_REMEDY)
        if [part.shape for part in state] != [part.shape for part in initial_state(len(ids))]:
            raise ModelError("the stored state is not of this network", remedy=_REMEDY)
        return cls(ids=ids, state=state, **plain)

    def take(self, index: NDArray[np.int64]) -> Memory:
        """The series at ``index``, in that order."""
        plain = {name: getattr(self, name)[index] for name in _ARRAYS}
        return replace(
            self, ids=tuple(self.ids[n] for n in index), state=tuple(part[index] for part in self.state), **plain
        )

    def places(self, panel: Panel) -> NDArray[np.int64]:
        """int64 (N,) which series here is each one of ``panel``, -1 for none."""
        if _lone(panel, self):
            return np.zeros(1, np.int64)
        place = {name: n for n, name in enumerate(self.ids)}
        return np.array([place.get(name, -1) for name in panel.ids], np.int64)

    def merged(self, older: Memory) -> Memory:
        """With those series of ``older`` that are not known here, or are known there up to a later row."""
        later = dict(zip(older.ids, older.newest.tolist(), strict=True))
        own = [n for n, name in enumerate(self.ids) if later.get(name, _NEVER) <= self.newest[n]]
        kept = {self.ids[n] for n in own}
        others = [n for n, name in enumerate(older.ids) if name not in kept]
        one, two = self.take(np.array(own, np.int64)), older.take(np.array(others, np.int64))
        plain = {name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in _ARRAYS}
        state = tuple(torch.cat(parts) for parts in zip(one.state, two.state, strict=True))
        return Memory(ids=one.ids + two.ids, state=state, **plain)


_ARRAYS = tuple(field.name for field in fields(Memory) if field.name not in {"ids", "state"})
_REMEDY = "restore the model folder from a backup, or train the model again"
_NEVER = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class Begun:
    """What is left to read of N series.

    ``panel`` holds one segment for each series: from the newest row remembered on, or its whole last segment.
    ``state`` (N, ·) enters its first row. ``before`` int64 (N,) counts the rows read before it. ``anew`` tells for
    which series nothing remembered could be used, and why (see ``WHY``).
    """

    panel: Panel
    state: State
    before: NDArray[np.int64]
    anew: Mapping[str, str]
    memory: Memory | None
    index: NDArray[np.int64]

    @property
    def continued(self) -> NDArray[np.bool_]:
        """bool (N,) the series that are read on from what is remembered of them."""
        return self.index >= 0

    def remembered(self, state: State) -> Memory:
        """The memory once ``state`` (N, ·) enters the last observed row of each series; what was remembered of other
        series, or up to a later row, stays."""
        panel, on = self.panel, self.continued
        last = panel.ends - 1
        fresh_rows = panel.offsets[:-1] + on  # the row remembered is in the old checksum already
        told = sketch(panel, fresh_rows, panel.ends)[0]
        begin = panel.start.copy()
        if self.memory is not None:
            told[on] += self.memory.sketch[self.index[on]]
            begin[on] = self.memory.begin[self.index[on]]
        ids = panel.ids if self.memory is None or not _lone(panel, self.memory) else self.memory.ids
        now = Memory(
            ids=ids,
            state=tuple(part.cpu() for part in state),
            begin=begin,
            newest=panel.times(last),
            rows=self.before + panel.ends - panel.offsets[:-1],
            sketch=told,
            shift=panel.shift,
            values=panel.values[last],
            observed=panel.observed[last],
            covariates=panel.covariates[last],
        )
        return now if self.memory is None else now.merged(self.memory)


def take_up(
    panel: Panel,
    memory: Memory | None,
    *,
    initial_state: Callable[[int], State],
    shared: NDArray[np.bool_] | None = None,
) -> Begun:
    """Where to go on reading each series of ``panel``: after what ``memory`` holds of it, if that still is true.

    A series is read from the start of its last segment where nothing is remembered, where the rows read before are not
    all there or not the same, where it now ends before the newest row remembered, and after a gap longer than
    ``max_gap``. A file that begins after the newest row remembered is its continuation. Of a panel that is the tail of
    longer series (``panel.earlier``) the rows before it, and those it shares with them, are taken for what was read.
    So are the rows of series that are ``shared`` (N,), as the caller has compared them, in a file that lacks the first
    of the rows read before.
    """
    fresh = tuple(part.clone() for part in initial_state(len(panel.ids)))  # some are one tensor under several names
    none = np.full(len(panel.ids), -1)
    if memory is None:
        rest, before = _rest(panel, None, none)
        return Begun(rest, fresh, before, {}, None, none)
    index, anew = _usable(panel, memory, shared)
    rest, before = _rest(panel, memory, index)
    on = torch.from_numpy(np.flatnonzero(index >= 0))
    for part, known in zip(fresh, memory.state, strict=True):
        part[on] = known[index[index >= 0]].to(part)
    return Begun(rest, fresh, before, anew, memory, index)


def _usable(panel: Panel, memory: Memory, shared: NDArray[np.bool_] | None) -> tuple[NDArray[np.int64], dict[str, str]]:
    """int64 (N,) the place of each series in ``memory``, -1 where it is of no use, and why."""
    index = memory.places(panel)
    last, m = panel.last_segment(), np.maximum(index, 0)
    newest, rows = memory.newest[m], memory.rows[m]
    start, there = panel.start[last], panel.ends[last] - panel.offsets[last]
    end = panel.times(panel.ends[last] - 1)
    missed, on_grid = _missed(panel, memory, m)
    follows = start > newest
    first_segment = np.r_[True, panel.series[1:] != panel.series[:-1]][last]
    far = (missed > panel.schema.max_gap) & (panel.schema.gaps != "zero")
    covered = ~follows & (start == memory.begin[m]) & (rows <= there)
    cut = _is_tail(panel)
    known = cut if shared is None else cut | shared
    inside = known & ~follows & (start > memory.begin[m]) & _newest_row(panel, memory, m)[1]
    why = np.select(
        [
            index < 0,
            end < newest,
            cut & follows & first_segment,
            follows & far,
            follows & on_grid & first_segment,  # part of a file does not tell the level of the whole
            inside,
            ((memory.shift[m] == 0) != (panel.shift == 0)).any(axis=1),
            ~follows & (start > memory.begin[m]),
            ~covered,
        ],
        ["new", "earlier", "shorter", "gap", "", "", "level", "shorter", "restated"],
        "",
    )
    compared = np.flatnonzero(covered & (why == ""))
    if compared.size:
        first = panel.offsets[last[compared]]
        told, tolerance = sketch(panel, first, first + rows[compared], shift=memory.shift[m[compared]])
        changed = differs(told, memory.sketch[m[compared]], tolerance)
        changed |= panel.times(first + rows[compared] - 1) != newest[compared]
        why[compared[changed]] = "restated"
    anew = {name: str(reason) for name, reason in zip(panel.ids, why, strict=True) if reason}
    return np.where(why == "", index, -1), anew


def _lone(panel: Panel, memory: Memory) -> bool:
    """A lone series without an id column goes by its file's name, which may change: it is the same series."""
    return len(memory.ids) == len(panel.ids) == 1 and panel.schema.id_col is None and not panel.schema.wide


def _is_tail(panel: Panel) -> NDArray[np.bool_]:
    """bool (N,) the series that have rows before the panel."""
    if panel.earlier is None:
        return np.zeros(len(panel.ids), dtype=np.bool_)
    return np.asarray((panel.earlier.of(panel.ids).count > 0).any(axis=1), dtype=np.bool_)


def _newest_row(panel: Panel, memory: Memory, m: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64 (N,) which row of the last segment is the newest remembered, and whether it lies on the grid."""
    start = panel.start[panel.last_segment()]
    return panel.schema.frequency.locate(start, np.maximum(memory.newest[m], start))


def _missed(panel: Panel, memory: Memory, m: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """int64 (N,) rows between the newest remembered and the last segment's first, where that follows, and whether it
    lies on the grid."""
    start = panel.start[panel.last_segment()]
    steps, exact = panel.schema.frequency.locate(memory.newest[m], np.maximum(start, memory.newest[m]))
    return np.maximum(steps - 1, 0), exact


def _rest(panel: Panel, memory: Memory | None, index: NDArray[np.int64]) -> tuple[Panel, NDArray[np.int64]]:
    """The rows left to read, one segment for each series, and how many were read before them."""
    last = panel.last_segment()
    first, stop = panel.offsets[last], panel.offsets[last + 1]
    before = np.zeros(len(last), np.int64)
    missed = np.zeros(len(last), np.int64)
    leading = np.zeros(len(last), np.int64)
    start, shift = panel.start[last], panel.shift
    on = np.flatnonzero(index >= 0)
    if memory is not None and on.size:
        m = index[on]
        follows = panel.start[last[on]] > memory.newest[m]
        between = _missed(panel, memory, np.maximum(index, 0))[0][on]
        missed[on] = np.where(follows, between, 0)
        first = first.copy()
        first[on] += np.where(follows, 0, _newest_row(panel, memory, np.maximum(index, 0))[0][on] + 1)
        leading[on], before[on] = 1 + missed[on], memory.rows[m] - 1
        start, shift = start.copy(), shift.copy()
        start[on], shift[on] = memory.newest[m], memory.shift[m]
    offsets = np.r_[0, np.cumsum(leading + stop - first)].astype(np.int64)
    of = np.repeat(np.arange(len(last)), np.diff(offsets))
    within = np.arange(offsets[-1]) - offsets[of] - leading[of]
    given = within >= 0
    source = np.where(given, first[of] + within, 0)
    moved = np.where(panel.observed[source], panel.values[source] + (panel.shift - shift)[of], 0)  # in float64
    values = np.where(given[:, None], moved, 0).astype(np.float32)
    observed = panel.observed[source] & given[:, None]
    covariates = np.where(given[:, None], panel.covariates[source], np.float32(np.nan))
    rest = replace(
        panel,
        series=np.arange(len(last)),
        offsets=offsets,
        ends=offsets[:-1] + leading + panel.ends[last] - first,
        start=start,
        values=values,
        observed=observed,
        covariates=covariates,
        shift=shift,
    )
    between_rows = np.flatnonzero(~given)
    if panel.schema.gaps == "zero":
        values[between_rows] = -shift[of[between_rows]]
        observed[between_rows] = True
    if panel.schema.derived and between_rows.size:
        covariates[between_rows, -len(panel.schema.derived) :] = derived(panel.schema, rest.times(between_rows))
    if memory is not None and on.size:
        head = offsets[on]
        values[head], observed[head] = memory.values[index[on]], memory.observed[index[on]]
        covariates[head] = memory.covariates[index[on]]
    return rest, before
