"""Instance normalisation: the location and scale of each context, from that context alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from lstmcast.family import Family, Member
from lstmcast.net.cells import State

if TYPE_CHECKING:
    from torch import Tensor


class Normaliser(Protocol):
    """Built as ``Normaliser(context=T, seasons=...)``. Looks at observed entries only; the others must be zero.

    The scale is the root mean square deviation, but never below a thousandth of the mean magnitude.
    """

    def locate(self, y: Tensor, observed: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor]:
        """y (B, T, D) transformed values, observed (B, T, D) bool -> location (B, 1, D), scale (B, 1, D) > 0.

        ``level`` (B, 1, D) is the smoothed level of the history where the network summarises it, the mean of the whole
        series where it is told of that, else None.
        """
        ...


@runtime_checkable
class StreamingNormaliser(Protocol):
    """A normaliser that looks backwards only and carries what it has seen, so that chunks may fall as they like."""

    def stream(self, y: Tensor, observed: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """As ``locate`` but at every row: location (B, T, D), scale (B, T, D), state after the last row."""
        ...

    def initial_state(self, lanes: int, like: Tensor) -> State:
        """The state of ``lanes`` sequences that have not begun; ``like`` (..., D) lends targets, dtype and device."""
        ...


NORMALISERS = Family(
    "normaliser",
    {
        "last": Member("lstmcast.net.normalise.last:Last", "around the last value"),
        "season-mean": Member("lstmcast.net.normalise.season_mean:SeasonMean", "around the mean of the last season"),
        "revin": Member("lstmcast.net.normalise.revin:RevIN", "around the mean of the context"),
        "level": Member("lstmcast.net.normalise.level:Level", "around the level of simple exponential smoothing"),
        "series": Member(
            "lstmcast.net.normalise.series:Series", "around the mean of the whole series up to the cutoff"
        ),
        "causal": Member("lstmcast.net.normalise.causal:Causal", "around a running level, carried from row to row"),
    },
)
