"""Pointwise rules: what a cell does with its gates' sums in one step, and the same backwards in closed form.

A rule owns no weights. The loop over time (``net.loop``) multiplies, the rule activates: forwards it turns the sums of
step t into the new state, backwards the gradient of the new state into those of the sums and of the state before.
Each rule is written twice: in torch's own operations (``rules.aten``) and, for single precision on a CPU, as
functions that numba compiles (``rules.compiled``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Frame(NamedTuple):
    """The buffers of n consecutive steps, time first. h stands in the first C columns of ``h`` and ``output``.

    ``gates``      (n, B, N) the sums; the rule leaves there what its backward half needs
    ``added``      (n, B, N) further summands, for rules that treat the recurrent sums first
    ``h``          (n, B, ·) the output before each step
    ``memory``     (n, B, C) each: the other state tensors before each step
    ``output``     (n, B, ·) where the output of each step goes
    ``after``      (n, B, C) each: where the other state tensors go
    ``stash``      buffers of the rule's own
    ``parameters`` of the rule's own
    """

    gates: Tensor
    added: Tensor | None
    h: Tensor
    memory: tuple[Tensor, ...]
    output: Tensor
    after: tuple[Tensor, ...]
    stash: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]


class Upstream(NamedTuple):
    """Gradients of n steps. ``output`` (B, C) is read; all others are written.

    ``gates``      (n, B, N) of the recurrent sums
    ``added``      (n, B, N) of the further summands
    ``h``          (B, C) of the output before, where a rule reads it outside the sums
    ``memory``     (B, C) each: handed in for the state after the step, handed back for the state before it
    ``parameters`` summed up over the steps
    """

    gates: Tensor
    added: Tensor | None
    output: Tensor
    h: Tensor
    memory: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]


Advance = Callable[[int], None]


class Rule(Protocol):
    """``scale`` multiplies the weights of each block of C sums forwards (tanh u = 2σ(2u) − 1 wants 2u); its length is
    the number of blocks. ``direct``: h₋ is read outside the sums too. ``stash`` tells the widths of the buffers kept
    from the forward half: (a, b) stands for a·C + b."""

    scale: ClassVar[tuple[int, ...]]
    direct: ClassVar[bool]
    stash: ClassVar[tuple[tuple[int, int], ...]]

    def forward(self, frame: Frame) -> Advance:
        """A function that takes step t of the frame. Steps are taken in order."""
        ...

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        """A function that goes back over step t, called in reverse order, and one that settles the parameters."""
        ...
