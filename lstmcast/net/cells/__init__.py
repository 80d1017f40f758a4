"""Recurrent cells. State goes in and comes out; every state tensor has the lane axis first and the output h leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

from lstmcast.family import Family, Member

if TYPE_CHECKING:
    from torch import Tensor

State: TypeAlias = "tuple[Tensor, ...]"


class Packed(NamedTuple):
    """A cell's weights and one time-major input (T, B, ·), as the shared loop takes them. R is the width of h.

    ``weight``     (N, K) on [what is read of h | x | 1], N blocks of C one below the other
    ``x``          (T, B, F)
    ``arriving``   (N, F) on x, where the rule wants the inputs' sums apart and ``weight`` is on h alone
    ``modulator``  (T, B, R) multiplies U_m h₋ (``modulating`` (R, R)), and that is read in place of h₋
    ``crossed``    [h₋ | h₋⊙x] is read in place of h₋
    ``projection`` (R, C) from what the rule gives to h
    ``parameters`` of the pointwise rule
    """

    weight: Tensor
    x: Tensor
    arriving: Tensor | None = None
    modulator: Tensor | None = None
    modulating: Tensor | None = None
    crossed: bool = False
    projection: Tensor | None = None
    parameters: tuple[Tensor, ...] = ()


class Cell(Protocol):
    """A recurrent cell, built as ``Cell(F, C, generator=...)``; some take further options by name.

    ``step`` is the readable road: the equations of the paper for one timestep. It broadcasts over leading axes, so that
    one state can meet many inputs; state tensor 0 is the output h. ``gates`` is the part of it that decides. ``rule``
    and ``packed`` are the fast road: the name of the pointwise rule, and what the shared loop multiplies. A cell may
    add ``native`` (see ``NativeCell``). Each cell's page tells the first weights it draws, ``net.initial`` others.
    """

    inputs: int
    hidden: int
    rule: ClassVar[str]
    candidate: ClassVar[str]

    def gates(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        """What one step activates, by its name in the equations, each (..., C); arguments as in ``step``.

        All are gates but ``candidate``, which is what they let in; a cell without gates has none of either.
        """
        ...

    def step(self, x: Tensor, state: State, *, mask: Tensor | None = None) -> tuple[Tensor, State]:
        """x (..., F), state of (..., C) -> h (..., C), new state. ``mask`` multiplies h₋ where the sums read it."""
        ...

    def packed(self, x: Tensor) -> Packed:
        """x (T, B, F) and the weights for the loop. Gradients flow through what is returned."""
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


CELLS = Family(
    "cell",
    {
        "lstm": Member("lstmcast.net.cells.lstm:LSTM", "long short-term memory with forget gate"),
        "gru": Member("lstmcast.net.cells.gru:GRU", "gated recurrent unit: two gates, no separate cell state"),
        "rnn": Member("lstmcast.net.cells.rnn:RNN", "plain tanh recurrence, for comparison"),
        "peephole": Member("lstmcast.net.cells.peephole:Peephole", "LSTM whose gates see the cell, for timing"),
        "coupled": Member("lstmcast.net.cells.coupled:Coupled", "LSTM that forgets as much as it takes in"),
        "projected": Member("lstmcast.net.cells.projected:Projected", "LSTM with a memory wider than its output"),
        "layernorm": Member("lstmcast.net.cells.layernorm:LayerNorm", "LSTM with standardised sums and cell"),
        "multiplicative": Member(
            "lstmcast.net.cells.multiplicative:Multiplicative", "LSTM whose transitions depend on the input"
        ),
        "highway": Member("lstmcast.net.cells.highway:Highway", "LSTM with a gated path past the step"),
        "slstm": Member("lstmcast.net.cells.slstm:SLSTM", "LSTM with exponential gates and a normalised memory"),
    },
)
