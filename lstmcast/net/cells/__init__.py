"""Recurrent cells. State goes in and comes out; every state tensor has the lane axis first and the output h leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor

State: TypeAlias = "tuple[Tensor, ...]"


class Cell(Protocol):
    """A recurrent cell, built as ``Cell(F, C, generator=...)``.

    ``step`` is the readable road: the equations of the paper for one timestep. It broadcasts over leading axes, so that
    one state can meet many inputs; state tensor 0 is the output h. A cell may add ``native`` (see ``NativeCell``) and
    ``trace`` (see ``TracingCell``).
    """

    inputs: int
    hidden: int

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (..., F), state of (..., C) -> h (..., C), new state."""
        ...

    def initial_state(self, lanes: int) -> State:
        """The state of ``lanes`` sequences that have not begun."""
        ...


@runtime_checkable
class NativeCell(Protocol):
    """A cell that torch has a fused kernel for."""

    def native(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, T, F), state of (B, C) -> h (B, T, C), state after the last step."""
        ...


@runtime_checkable
class TracingCell(Protocol):
    """A cell that reaches the state after every step faster than step by step."""

    def trace(self, x: Tensor, state: State) -> State:
        """x (B, T, F), state of (B, C) -> states of (B, T, C)."""
        ...


CELLS = Family(
    "cell",
    {
        "lstm": Member("lstmcast.net.cells.lstm:LSTM", "long short-term memory with forget gate"),
        "gru": Member("lstmcast.net.cells.gru:GRU", "gated recurrent unit: two gates, no separate cell state"),
        "rnn": Member("lstmcast.net.cells.rnn:RNN", "plain tanh recurrence, for comparison"),
    },
)
