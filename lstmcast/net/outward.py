"""Forwards through the one loop over time that every cell shares: sizes, buffers, and what a step multiplies.

A step is one product of [h | x | 1] with all weights stacked, then the cell's pointwise rule.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor

from lstmcast.net.rules import Frame, Outward, Rule, seen

Keep = Tensor | float | None


class Course(NamedTuple):
    """What the loop follows and does not differentiate.

    ``parameters`` the rule's own lead the tensors that follow. ``segment`` steps between states that are kept; what
    lies between is computed again backwards (None keeps all). ``crossed`` the sums read [h | h⊙x]. ``traced`` returns
    the memory of every step. ``mask`` (B, R) multiplies h where it is read. ``keep`` says for each state tensor what is
    kept of its value before: (T, B, ·) of 0 and 1, or a fraction.
    """

    rule: Rule
    parameters: int
    segment: int | None = None
    crossed: bool = False
    traced: bool = False
    mask: Tensor | None = None
    keep: tuple[Keep, ...] = ()


class Given(NamedTuple):
    """The tensors of one run; sequences are time-major, (T, B, ·). Weights as in ``cells.Packed``."""

    x: Tensor
    weight: Tensor
    arriving: Tensor | None
    modulator: Tensor | None
    modulating: Tensor | None
    projection: Tensor | None


GIVEN = len(Given._fields)


class Kept(NamedTuple):
    """What the way back needs: ``rows`` (T, B, K) what was multiplied, ``h`` (T+1, B, ·), the segment's buffers,
    and the memory at the start of each segment where they are too small for all steps."""

    rows: Tensor
    h: Tensor
    read: Tensor | None
    product: Tensor | None
    gates: Tensor
    memory: tuple[Tensor, ...]
    fresh: tuple[Tensor, ...]
    middle: Tensor | None
    stash: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]


class Journey:
    """One run, forwards or backwards: its sizes and its buffers."""

    def __init__(self, course: Course, given: Given, parameters: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> None:
        self.course, self.rule = course, course.rule
        self.given = given._replace(
            x=given.x.contiguous() if course.crossed or given.arriving is not None else given.x,
            modulator=None if given.modulator is None else given.modulator.contiguous(),
        )
        self.parameters = tuple(parameter.contiguous() for parameter in parameters)
        self.steps, self.lanes = len(given.x), len(state[0])
        self.outputs, self.memories = state[0].shape[1], len(state) - 1
        self.sums, self.columns = given.weight.shape
        self.width = self.sums // len(course.rule.scale)
        self.reads = self.outputs * (2 if course.crossed else 1)
        self.segment = min(course.segment or self.steps, self.steps)
        self.last_length = self.steps - (self.steps - 1) // self.segment * self.segment
        self.keep = self._shares(state)
        self.modulated, self.masked = given.modulator is not None, course.mask is not None

    def _shares(self, state: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        """Zoneout's shares as tensors, (T, B, ·)."""
        shares = []
        for part, share in zip(state, self.course.keep or (None,) * len(state), strict=True):
            if isinstance(share, float | int):
                share = part.new_full((self.steps, *part.shape), share)
            shares.append(None if share is None else share.contiguous())
        return tuple(shares)

    def empty(self, *shape: int) -> Tensor:
        return self.given.weight.new_empty(*shape)

    def forward(self, state: tuple[Tensor, ...]) -> Kept:
        """All steps, and what the way back needs of them."""
        kept = self._buffers(state)
        for memory, first in zip(kept.memory, state[1:], strict=True):
            memory[0] = first
        steps = Steps(self, kept)
        for number, a in enumerate(range(0, self.steps, self.segment)):
            steps.forward(number, a, min(a + self.segment, self.steps))
        return kept

    def _buffers(self, state: tuple[Tensor, ...]) -> Kept:
        T, B, n = self.steps, self.lanes, self.segment
        apart = self.modulated or self.masked
        rows = self.empty(T if apart else T + 1, B, self.columns)
        if self.given.arriving is None:
            rows[:T, :, self.reads : -1] = self.given.x
            rows[..., -1] = 1
        h = self.empty(T + 1, B, self.outputs) if apart else rows
        h[0, :, : self.outputs] = state[0]
        starts = math.ceil(T / n) if n < T else 0
        return Kept(
            rows=rows,
            h=h,
            read=self.empty(T, B, self.outputs) if self.modulated and self.masked else None,
            product=self.empty(T, B, self.outputs) if self.modulated else None,
            gates=self.empty(n, B, self.sums),
            memory=tuple(self.empty(n + 1, B, self.width) for _ in range(self.memories)),
            fresh=tuple(
                self.empty(n, B, part.shape[1])
                for part, share in zip(state, self.keep, strict=True)
                if share is not None
            ),
            middle=self.empty(n, B, self.width) if self.given.projection is not None else None,
            stash=tuple(self.empty(n, B, a * self.width + b) for a, b in self.course.rule.stash),
            starts=tuple(self.empty(starts, B, self.width) for _ in range(self.memories)) if starts else (),
        )


class Steps:
    """The buffers of a journey as its rule takes them, cut into the steps that are taken together."""

    def __init__(self, j: Journey, kept: Kept) -> None:
        self.j, self.rule = j, j.rule
        view = j.rule.seen
        self.kept, self.given = seen(kept, view), seen(j.given, view)
        self.keep, self.parameters = seen(j.keep, view), seen(j.parameters, view)
        arriving = j.given.arriving
        self.arriving = None if arriving is None else view(arriving.t().contiguous())
        self.added = None if arriving is None else view(j.empty(j.lanes, j.sums))
        self.mask = None if j.course.mask is None else view(j.course.mask.contiguous())
        fresh = iter(self.kept.fresh)
        self.fresh = [None if share is None else next(fresh) for share in self.keep]

    @cached_property
    def weights(self) -> tuple[Any, Any, Any, Any]:
        """What is multiplied with from the right: all weights (K, N) with the scale of the rule, the modulating and
        the projecting ones, and a buffer for h projected."""
        j, view = self.j, self.rule.seen
        weight, scale = j.given.weight, j.rule.scale
        if set(scale) != {1}:
            weight = weight * weight.new_tensor(scale).repeat_interleave(j.width)[:, None]
        modulating, projection = j.given.modulating, j.given.projection
        return (
            view(weight.t().contiguous()),
            None if modulating is None else view(modulating.t().contiguous()),
            None if projection is None else view(projection.t().contiguous()),
            None if projection is None else view(j.empty(j.lanes, j.outputs)),
        )

    def forward(self, number: int, a: int, e: int) -> None:
        """Take the steps of one segment."""
        if a:
            for memory in self.kept.memory:
                memory[0] = memory[self.j.segment]
        for start, memory in zip(self.kept.starts, self.kept.memory, strict=False):
            start[number] = memory[0]
        self.rule.outward(self.frame(a, e, offset=a), self._between(a, e))

    def again(self, a: int, e: int) -> None:
        """Fill the segment's buffers for steps a to e once more. All h are known, and so is what was read of them."""
        for memory, start in zip(self.kept.memory, self.kept.starts, strict=True):
            memory[0] = start[a // self.j.segment]
        frame, between = self.frame(a, e, offset=a), self._between(a, e)
        if self.kept.middle is None and self.keep[0] is None:
            frame = frame._replace(output=self.scratch[: e - a])
        known: dict[str, Any] = dict.fromkeys(("mask", "modulating", "modulator", "product", "read", "x", "projection"))
        self.rule.outward(frame, between._replace(keep=(None, *between.keep[1:]), **known))

    @cached_property
    def scratch(self) -> Any:
        """Where outputs go that are known already."""
        return self.rule.seen(self.j.empty(self.j.segment, self.j.lanes, self.j.width))

    def frame(self, a: int, e: int, *, offset: int) -> Frame:
        """Steps a to e, which stand from ``a − offset`` in the segment's buffers."""
        kept, here, later = self.kept, slice(a - offset, e - offset), slice(a - offset + 1, e - offset + 1)
        new_h, *new_memory = self.fresh
        output = kept.h[a + 1 : e + 1] if new_h is None else new_h[here]
        return Frame(
            gates=kept.gates[here],
            x=None if self.arriving is None else self.given.x[a:e],
            arriving=self.arriving,
            added=self.added,
            h=kept.h[a:e],
            memory=tuple([memory[here] for memory in kept.memory]),
            output=output if kept.middle is None else kept.middle[here],
            after=tuple(
                [m[later] if new is None else new[here] for m, new in zip(kept.memory, new_memory, strict=True)]
            ),
            stash=tuple([buffer[here] for buffer in kept.stash]),
            parameters=self.parameters,
        )

    def _between(self, a: int, e: int) -> Outward:
        kept, n = self.kept, e - a
        weight, modulating, projection, narrow = self.weights
        return Outward(
            rows=kept.rows[a:e],
            weight=weight,
            h=kept.h[a:e],
            mask=self.mask,
            modulating=modulating,
            modulator=None if self.given.modulator is None else self.given.modulator[a:e],
            product=None if kept.product is None else kept.product[a:e],
            read=None if kept.read is None else kept.read[a:e],
            x=self.given.x[a:e] if self.j.course.crossed else None,
            projection=projection,
            narrow=narrow,
            keep=tuple([None if share is None else share[a:e] for share in self.keep]),
            fresh=tuple([None if new is None else new[:n] for new in self.fresh]),
            before=(kept.h[a:e], *[memory[:n] for memory in kept.memory]),
            after=(kept.h[a + 1 : e + 1], *[memory[1 : n + 1] for memory in kept.memory]),
        )
