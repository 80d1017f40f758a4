"""Pointwise rules: what a cell does with its gates' sums in one step, and the same backwards in closed form.

A rule owns no weights. It is given the buffers of some consecutive steps and what happens between two of them, and goes
through them: outward, a step is a product and the rule, which turns the sums into the new state; homeward, the rule
turns the gradient of the new state into those of the sums and of the state before. Each rule is written twice: in
torch's own operations, which ``rules.stepwise`` drives (``rules.aten``), and, for single precision on a CPU, as
functions that numba compiles with the loop around them (``rules.compiled``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Tensors: TypeAlias = "tuple[Tensor, ...]"
Some: TypeAlias = "tuple[Tensor | None, ...]"
Record = TypeVar("Record", bound="tuple[Any, ...]")


class Frame(NamedTuple):
    """The buffers of n consecutive steps, time first. h stands in the first C columns of ``h`` and ``output``.

    ``gates``      (n, B, N) the sums; the rule leaves there what its backward half needs
    ``x``          (n, B, F) and ``arriving`` (F, N) are multiplied into further sums by rules that treat the inputs'
                   share apart; ``added`` (B, N) has room for those of one step
    ``h``          (n, B, ·) the output before each step
    ``memory``     (n, B, C) each: the other state tensors before each step
    ``output``     (n, B, ·) where the output of each step goes
    ``after``      (n, B, C) each: where the other state tensors go
    ``stash``      buffers of the rule's own
    ``parameters`` of the rule's own
    """

    gates: Tensor
    x: Tensor | None
    arriving: Tensor | None
    added: Tensor | None
    h: Tensor
    memory: Tensors
    output: Tensor
    after: Tensors
    stash: Tensors
    parameters: Tensors


class Upstream(NamedTuple):
    """Gradients of n steps. ``output`` (B, C) is read; all others are written.

    ``gates``      (n, B, N) of the sums
    ``added``      (n, B, N) of the further sums
    ``h``          (B, C) of the output before, where a rule reads it outside the sums
    ``memory``     (B, C) each: handed in for the state after the step, handed back for the state before it
    ``parameters`` summed up over the steps
    """

    gates: Tensor
    added: Tensor | None
    output: Tensor
    h: Tensor
    memory: Tensors
    parameters: Tensors


class Outward(NamedTuple):
    """What stands between the rule of one step and that of the next. None is what a cell does without.

    ``rows``       (n, B, K) and ``weight`` (K, N) are multiplied into the sums
    ``h``          (n, B, ·) what is read of, where it is not in ``rows`` already
    ``mask``       (B, R) multiplies h where it is read
    ``modulating`` (R, R) multiplies it from the right into ``product`` (n, B, R), and ``modulator`` (n, B, R) that
    ``read``       (n, B, R) what was modulated, where a mask changed it
    ``x``          (n, B, R) the inputs, where h⊙x is read beside h
    ``projection`` (C, R) from what the rule gives to h, by way of ``narrow`` (B, R)
    ``keep``       of each state tensor, h first: the share (n, B, ·) that stays as it was ``before`` (n, B, ·); it and
                   ``fresh``, what the step gives, are mixed into ``after``
    """

    rows: Tensor
    weight: Tensor
    h: Tensor | None
    mask: Tensor | None
    modulating: Tensor | None
    modulator: Tensor | None
    product: Tensor | None
    read: Tensor | None
    x: Tensor | None
    projection: Tensor | None
    narrow: Tensor | None
    keep: Some
    fresh: Some
    before: Tensors
    after: Tensors


class Homeward(NamedTuple):
    """The way back between two steps: gradients, and of ``Outward`` what they are multiplied with.

    ``weight``     (N, ·) from the sums to what they read of h, by way of ``read`` (B, ·)
    ``above``      of each state tensor (n, B, ·): what arrives from above for the state before each step
    ``whole``      (B, ·) each: the gradient of the state, h first
    ``carried``    (B, ·) each: the share of it that zoneout hands past the step; ``new`` (B, R) is the rest of h's
    ``inner``      (B, C) what reaches the rule; the same as ``new`` unless h is projected
    ``direct``     (B, C) what the rule hands to h₋ itself
    ``d_modulator`` and ``d_x`` (n, B, R), ``modulated`` (n, B, R) before the modulating product, ``projected``
    (n, B, R) after the projecting one
    """

    weight: Tensor
    read: Tensor
    above: Some
    whole: Tensors
    keep: Some
    carried: Some
    new: Tensor
    inner: Tensor
    direct: Tensor | None
    rows: Tensor
    mask: Tensor | None
    modulating: Tensor | None
    modulator: Tensor | None
    product: Tensor | None
    d_modulator: Tensor | None
    modulated: Tensor | None
    x: Tensor | None
    d_x: Tensor | None
    projection: Tensor | None
    projected: Tensor | None


class Rule(Protocol):
    """``scale`` multiplies the weights of each block of C sums (tanh u = 2σ(2u) − 1 wants 2u outward); its length is
    the number of blocks. ``direct``: h₋ is read outside the sums too. ``stash`` tells the widths of the buffers kept
    for the way back: (a, b) stands for a·C + b."""

    scale: tuple[int, ...]
    direct: bool
    stash: tuple[tuple[int, int], ...]

    def seen(self, tensor: Tensor) -> Any:
        """The buffer as the rule takes it: the tensor itself, or an array over its memory."""
        ...

    def outward(self, frame: Frame, between: Outward) -> None:
        """Take all steps of the frame, in order."""
        ...

    def homeward(self, frame: Frame, upstream: Upstream, between: Homeward) -> None:
        """Go back over all steps of the frame, from the last."""
        ...


def seen(record: Record, view: Callable[[Tensor], Any]) -> Record:
    """A record, or a tuple of tensors, with ``view`` applied to each tensor."""
    parts = [part if part is None else seen(part, view) if isinstance(part, tuple) else view(part) for part in record]
    build: Callable[[list[Any]], Record] = getattr(record, "_make", type(record))
    return build(parts)
