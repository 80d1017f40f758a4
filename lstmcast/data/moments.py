"""Moments: how many rows of each series came before a panel, around which mean, and how far from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the observed rows of N series and D targets, float64 (N, D) each: their ``count``, their ``mean`` in the
    user's units, and ``squares``, the sum of their squared deviations from it."""

    ids: tuple[str, ...]
    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def of(self, ids: Sequence[str]) -> Moments:
        """Those of the series ``ids``, in that order; of one that is not known there are no rows."""
        place = {name: n for n, name in enumerate(self.ids)}
        index = np.array([place.get(name, -1) for name in ids], np.int64)
        known = (index >= 0)[:, None]
        parts = (np.where(known, part[index], 0) for part in (self.count, self.mean, self.squares))
        return Moments(tuple(ids), *parts)

    def plain(self) -> dict[str, Any]:
        """As JSON values, every digit kept."""
        return {"ids": list(self.ids), **{name: getattr(self, name).tolist() for name in _ARRAYS}}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Moments:
        """The inverse of ``plain``."""
        return cls(tuple(plain["ids"]), *(np.array(plain[name], np.float64) for name in _ARRAYS))


_ARRAYS = ("count", "mean", "squares")


def measure(
    ids: Sequence[str], series: NDArray[np.int64], values: NDArray[np.float64], seen: NDArray[np.bool_]
) -> Moments:
    """The moments of ``values`` (r, D) where ``seen`` (r, D), by ``series`` int64 (r,), ascending, each of them there.

    Values are measured from the first of their series, so that one that never varies has squares of exactly 0.
    """
    first = np.searchsorted(series, np.arange(len(ids)))
    origin = values[np.minimum(_first_seen(seen, first), len(values) - 1), np.arange(values.shape[1])]
    moved = np.where(seen, values - origin[series], 0.0)
    count = np.add.reduceat(seen.astype(np.float64), first)
    mean = np.add.reduceat(moved, first) / np.maximum(count, 1)
    squares = np.add.reduceat(np.where(seen, moved - mean[series], 0.0) ** 2, first)
    return Moments(tuple(ids), count, np.where(count > 0, mean + origin, 0.0), squares)


def _first_seen(seen: NDArray[np.bool_], first: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.where(seen, np.arange(len(seen))[:, None], len(seen))
    return np.asarray(np.minimum.reduceat(rows, first))
