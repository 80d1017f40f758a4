"""Relatives: the windows of all series of a tree at one time, so that a network can read them together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel

Ints = NDArray[np.int64]


class Together(NamedTuple):
    """Whole trees side by side: ``cutoffs`` int64 (B,) flat panel rows, ``parents`` (B,) the place of each one's parent
    among them, -1 where it has none, and ``asked`` (V,) the places of the windows that were asked for."""

    cutoffs: Ints
    parents: Ints
    asked: Ints


class Relatives:
    """Finds the relatives of windows in a panel.

    A relative that has ended within ``schema.max_gap`` rows is read up to its end, one that has not begun, or not been
    there for longer, is passed over: its children then count as those of its parent. ``tree`` int64 (N,) is the tree
    each series belongs to, whether its root has rows or not.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        parents = panel.schema.parents
        number = {name: k for k, name in enumerate(panel.ids)}
        self._above = np.full(len(panel.ids), -1)
        roots: dict[str, int] = {}
        tree = np.zeros(len(panel.ids), np.int64)
        for k, name in enumerate(panel.ids):
            above = parents.get(name)
            while above is not None and above not in number:
                above = parents.get(above)
            self._above[k] = -1 if above is None else number[above]
            root = name
            while root in parents:
                root = parents[root]
            tree[k] = roots.setdefault(root, len(roots))
        self.tree = tree
        order = np.argsort(tree, kind="stable")
        self._members = np.split(order, np.cumsum(np.bincount(tree))[:-1])

    @property
    def largest(self) -> int:
        """The number of series in the largest tree."""
        return max(len(members) for members in self._members)

    def together(self, cutoffs: Ints, *, most: int | None) -> list[tuple[Ints, Together]]:
        """All windows at ``cutoffs`` (V,) with their relatives, in groups of at most ``most`` windows or one tree, or
        (None) in one group: which of the V are asked for, and the windows to read."""
        series = self._panel.series[self._panel.segment_of(cutoffs - 1)]
        times = self._panel.times(cutoffs - 1)
        keys, which = np.unique(np.stack([self.tree[series], times], axis=1), axis=0, return_inverse=True)
        which = which.reshape(-1)
        by_key = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
        groups: list[tuple[Ints, Together]] = []
        pending: list[tuple[Ints, Together]] = []
        held = 0
        for (tree, time), wanted in zip(keys.tolist(), by_key, strict=True):
            one = self._read(tree, time, cutoffs[wanted])
            if pending and most is not None and held + len(one.cutoffs) > most:
                groups.append(_beside(pending))
                pending, held = [], 0
            pending.append((wanted, one))
            held += len(one.cutoffs)
        if pending:
            groups.append(_beside(pending))
        return groups

    def _read(self, tree: int, time: int, wanted: Ints) -> Together:
        """The windows of one tree whose last row is that of ``time``, ``wanted`` among them."""
        members = self._members[tree]
        cutoff = self._cutoffs(members, time)
        here = np.flatnonzero(cutoff >= 0)
        place = dict(zip(members[here].tolist(), range(len(here)), strict=True))
        parents = np.full(len(here), -1)
        for k, series in enumerate(members[here].tolist()):
            above = int(self._above[series])
            while above >= 0 and above not in place:
                above = int(self._above[above])
            parents[k] = place.get(above, -1)
        asked = self._panel.series[self._panel.segment_of(wanted - 1)]
        return Together(cutoff[here], parents, np.array([place[int(series)] for series in asked], dtype=np.int64))

    def _cutoffs(self, members: Ints, time: int) -> Ints:
        """int64 (m,) the row after that of ``time`` in each of these series, -1 where it is not there."""
        panel = self._panel
        frequency, last = panel.schema.frequency, panel.last_segment()[members]
        found = np.full(len(members), -1)
        segment = last.copy()
        first = np.searchsorted(panel.series, members)
        while (early := (segment > first) & (panel.start[segment] > time)).any():
            segment = segment - early
        begun = np.flatnonzero(panel.start[segment] <= time)
        start = panel.start[segment[begun]]
        steps, fits = frequency.locate(start, np.full_like(start, time))
        length = (panel.ends - panel.offsets[:-1])[segment[begun]]
        behind = np.maximum(steps - (length - 1), 0)
        there = fits & (behind <= panel.schema.max_gap)
        found[begun[there]] = (panel.offsets[segment[begun]] + np.minimum(steps, length - 1) + 1)[there]
        return found


def _beside(parts: list[tuple[Ints, Together]]) -> tuple[Ints, Together]:
    """Trees one after the other."""
    begin = np.cumsum([0, *(len(one.cutoffs) for _, one in parts[:-1])])
    return np.concatenate([wanted for wanted, _ in parts]), Together(
        np.concatenate([one.cutoffs for _, one in parts]),
        np.concatenate(
            [np.where(one.parents < 0, -1, one.parents + k) for k, (_, one) in zip(begin, parts, strict=True)]
        ),
        np.concatenate([one.asked + k for k, (_, one) in zip(begin, parts, strict=True)]),
    )
