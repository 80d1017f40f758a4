"""Coherent: forecasts of series that are part of each other, made to add up.

The medians of a tree are moved as little as their variances allow until every parent is the sum of its children: the
least squares of MinT (Wickramasuriya, Athanasopoulos & Hyndman 2019) with a diagonal covariance, solved by one pass up
and one pass down each tree, so that the work grows with the number of series only. A parent of infinite variance has no
say in it: with all parents so, what remains is bottom-up. Intervals move with their median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmcast.data.panel import Panel
from lstmcast.data.relatives import Relatives
from lstmcast.forecast.intervals import significant

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_DIGITS = 12  # of a sum of forecasts that have seven
_LEAST = 1e-9  # variance of a series that never changes, as a share of the largest


@dataclass(frozen=True, slots=True)
class Coherent:
    """``quantiles`` (V, H, D, Q) of a ``forest``, and where they add up: ``holds`` bool (V, H)."""

    quantiles: Floats
    forest: Forest
    holds: Mask

    def settled(self, columns: dict[str, Floats]) -> dict[str, Floats]:
        """Columns (V, H, D), rounded and bounded by now, with each parent's ``y_hat`` the exact sum of the leaves below
        it where forecasts add up; its intervals move along."""
        return self.forest.settled(columns, self.holds)


@dataclass(frozen=True, slots=True)
class Forest:
    """V forecasts, each of one series in one round, and which of them are part of which.

    ``parent`` int64 (V,) is the forecast of the nearest parent in the same round, -1 where there is none; ``lag`` (V,)
    by how many rows the cutoff lies before the newest of its tree; ``whole`` bool (V,) whether all series of its tree
    that are alive then are among the V.
    """

    parent: Ints
    lag: Ints
    whole: Mask

    @classmethod
    def of(cls, panel: Panel, series: Ints, cutoff: Ints, rounds: Ints) -> Forest:
        """Forecasts of ``series`` (V,) of ``panel`` after the times ``cutoff`` (V,), in ``rounds`` (V,) from 0.

        A series that ended more than ``schema.max_gap`` rows before the newest of its tree is no part of it any more,
        one that has not begun is none yet.
        """
        schema = panel.schema
        tree = Relatives(panel).tree
        first = np.searchsorted(panel.series, np.arange(len(panel.ids)))
        begun, ended = panel.start[first], panel.times(panel.ends[panel.last_segment()] - 1)
        lag, whole = np.zeros(len(series), np.int64), np.zeros(len(series), bool)
        present: dict[tuple[int, str], int] = {}
        for number in np.unique(rounds):
            here = np.flatnonzero(rounds == number)
            newest = np.full(int(tree.max()) + 1, np.iinfo(np.int64).min)
            np.maximum.at(newest, tree[series[here]], cutoff[here])
            due = newest[tree]
            played = due > np.iinfo(np.int64).min
            behind = np.zeros(len(tree), np.int64)
            late = played & (ended < due)
            behind[late] = schema.frequency.locate(ended[late], due[late])[0]
            alive = played & (begun <= due) & (behind <= schema.max_gap)
            lag[here], fits = schema.frequency.locate(cutoff[here], due[series[here]])
            part = fits & (lag[here] <= schema.max_gap)
            found = np.bincount(tree[series[here[part]]], minlength=len(newest))
            wanted = np.bincount(tree[alive], minlength=len(newest))
            whole[here] = part & (found == wanted)[tree[series[here]]]
            present |= {(int(number), panel.ids[series[v]]): int(v) for v in here[part]}
        parent = np.full(len(series), -1)
        for (number, name), v in present.items():
            above = schema.parents.get(name)
            while above is not None and (number, above) not in present:
                above = schema.parents.get(above)
            if above is not None:
                parent[v] = present[number, above]
        return cls(parent, lag, whole)

    def levels(self) -> list[Ints]:
        """The forecasts by their distance from the root of their tree, roots first."""
        levels, here = [], np.flatnonzero(self.parent < 0)
        depth = np.where(self.parent < 0, 0, -1)
        while here.size:
            levels.append(here)
            below = (self.parent >= 0) & (depth < 0) & (depth[self.parent] == len(levels) - 1)
            depth[below] = len(levels)
            here = np.flatnonzero(below)
        return levels

    def reconciled(self, quantiles: Floats, *, middle: int, variance: Floats, how: str) -> Coherent:
        """Quantiles (V, H, D, Q) with medians, at ``middle`` on the Q axis, that add up.

        ``variance`` (V, D) of the medians. ``how`` is mint or bottom-up. A step counts where every series of the tree
        has a forecast for that time; elsewhere nothing is changed. What was not below zero stays so.
        """
        median = self._beside(quantiles[..., middle])
        levels = self.levels()
        holds = self._holds(median, levels)
        parents = np.zeros(len(median), bool)
        parents[self.parent[self.parent >= 0]] = True
        floor = _LEAST * np.nanmax(variance, axis=0, initial=0.0)
        weight = np.where(variance > 0, np.maximum(variance, floor), np.where(floor > 0, floor, 1.0))
        if how == "bottom-up":
            weight = np.where(parents[:, None], np.inf, 1.0)
        known = np.where(holds[..., None], median, 0.0)
        best = self._least_squares(known, weight[:, None, :], parents, levels)
        best = np.where(known >= 0, np.maximum(best, 0.0), best)
        best = self._summed(best, levels)
        moved = self._back(np.where(holds[..., None], best - known, 0.0))
        out = quantiles + moved[..., None]
        return Coherent(np.where(quantiles >= 0, np.maximum(out, 0.0), out), self, self._back(holds))

    def settled(self, columns: dict[str, Floats], holds: Mask) -> dict[str, Floats]:
        """As ``Coherent.settled``, where ``holds`` (V, H)."""
        median = self._beside(columns["y_hat"])
        levels = self.levels()
        whole = self._beside(holds.astype(np.float64)) == 1
        sums = significant(self._summed(np.where(whole[..., None], median, 0.0), levels), digits=_DIGITS)
        sums = self._back(np.where(whole[..., None], sums, 0.0))
        parent = np.zeros(len(median), bool)
        parent[self.parent[self.parent >= 0]] = True
        set_anew = (parent[:, None] & holds)[..., None]
        moved = np.where(set_anew, sums - columns["y_hat"], 0.0)
        others = {name: significant(values + moved, digits=_DIGITS) for name, values in columns.items()}
        return {name: np.where(set_anew, others[name], values) for name, values in columns.items()} | {
            "y_hat": np.where(set_anew, sums, columns["y_hat"])
        }

    def _holds(self, median: Floats, levels: list[Ints]) -> Mask:
        """bool (V, H), on the steps of the newest cutoff: every forecast of the tree is there."""
        there = np.isfinite(median).all(axis=2) & self.whole[:, None]
        for level in reversed(levels[1:]):
            np.logical_and.at(there, self.parent[level], there[level])
        for level in levels[1:]:
            there[level] = there[self.parent[level]]
        return np.asarray(there)

    def _least_squares(self, y: Floats, v: Floats, parents: Mask, levels: list[Ints]) -> Floats:
        """The y' nearest to y (V, H, D), in units of the variances v (V, 1, D), with parents that are sums.

        Upward, the sum s of the children, of variance w_s, and the own forecast are weighed: e = s + k (y − s) with
        k = w_s / (w_s + v), of variance w_s (1 − k). Downward, what a parent still differs from s is shared out among
        its children in proportion to their variances.
        """
        best, w = y.copy(), np.broadcast_to(v, (len(y), 1, y.shape[2])).copy()
        s, ws = np.zeros_like(y), np.zeros_like(w)
        for level in reversed(levels):
            own = level[parents[level]]
            k = ws[own] / (ws[own] + w[own])
            best[own] = s[own] + k * (y[own] - s[own])
            w[own] = ws[own] * (1 - k)
            low = level[self.parent[level] >= 0]
            np.add.at(s, self.parent[low], best[low])
            np.add.at(ws, self.parent[low], w[low])
        for level in levels[1:]:
            above = self.parent[level]
            best[level] += w[level] / ws[above] * (best[above] - s[above])
        return best

    def _summed(self, y: Floats, levels: list[Ints]) -> Floats:
        """y (V, H, D) with every parent the sum of its children."""
        out = y.copy()
        out[self.parent[self.parent >= 0]] = 0.0
        for level in reversed(levels[1:]):
            np.add.at(out, self.parent[level], out[level])
        return out

    def _beside(self, values: Floats) -> Floats:
        """values (V, H, ...) moved so that step h of all series of a tree is the same time; NaN beyond their ends."""
        step = np.arange(values.shape[1]) + self.lag[:, None]
        inside = step < values.shape[1]
        taken = values[np.arange(len(values))[:, None], np.where(inside, step, 0)]
        return np.where(inside.reshape(inside.shape + (1,) * (values.ndim - 2)), taken, np.nan)

    def _back(self, values: NDArray) -> NDArray:  # type: ignore[type-arg]
        """The opposite of ``_beside``; zero, or False, where it showed nothing."""
        step = np.arange(values.shape[1]) - self.lag[:, None]
        taken = values[np.arange(len(values))[:, None], np.maximum(step, 0)]
        return np.where((step >= 0).reshape(step.shape + (1,) * (values.ndim - 2)), taken, np.zeros((), values.dtype))
