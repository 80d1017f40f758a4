"""Forwards through the one loop over time that every cell shares: sizes, buffers, and what a step multiplies.

A step is one product of [h | x | 1] with all weights stacked, then the cell's pointwise rule.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from lstmcast.net.rules import Frame, Outward, Rule
from lstmcast.net.rules.stepwise import product

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
    added: Tensor | None
    memory: tuple[Tensor, ...]
    fresh: tuple[Tensor, ...]
    middle: Tensor | None
    stash: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]


class Journey:
    """One run, forwards or backwards: its sizes and its buffers."""

    def __init__(self, course: Course, given: Given, parameters: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> None:
        self.course = course
        self.given = given._replace(
            x=given.x.contiguous() if course.crossed else given.x,
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
            memory[0].copy_(first)
        weight = self.forward_weight()
        for number, a in enumerate(range(0, self.steps, self.segment)):
            if a:
                for memory in kept.memory:
                    memory[0].copy_(memory[self.segment])
            for start, memory in zip(kept.starts, kept.memory, strict=False):
                start[number].copy_(memory[0])
            self._segment(kept, weight, a, min(a + self.segment, self.steps))
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
            added=None if self.given.arriving is None else self.empty(n, B, self.sums),
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

    def forward_weight(self) -> Tensor:
        """(K, N), with the scale of the rule."""
        weight, scale = self.given.weight, self.course.rule.scale
        if set(scale) != {1}:
            factors = weight.new_tensor(scale).repeat_interleave(self.width)
            weight = weight * factors[:, None]
        return weight.t().contiguous()

    def _fresh(self, kept: Kept) -> list[Tensor | None]:
        fresh = iter(kept.fresh)
        return [None if share is None else next(fresh) for share in self.keep]

    def frame(self, kept: Kept, a: int, e: int, *, offset: int) -> Frame:
        """Steps a to e, which stand from ``a − offset`` in the segment's buffers."""
        here, later = slice(a - offset, e - offset), slice(a - offset + 1, e - offset + 1)
        new_h, *new_memory = self._fresh(kept)
        output = kept.h[a + 1 : e + 1] if new_h is None else new_h[here]
        return Frame(
            gates=kept.gates[here],
            added=None if kept.added is None else kept.added[here],
            h=kept.h[a:e],
            memory=tuple(memory[here] for memory in kept.memory),
            output=output if kept.middle is None else kept.middle[here],
            after=tuple(
                memory[later] if new is None else new[here]
                for memory, new in zip(kept.memory, new_memory, strict=True)
            ),
            stash=tuple(buffer[here] for buffer in kept.stash),
            parameters=self.parameters,
        )

    def _between(self, kept: Kept, weight: Tensor, a: int, e: int) -> Outward:
        n, given = e - a, self.given
        projects, modulates = given.projection is not None, given.modulating is not None
        return Outward(
            rows=kept.rows[a:e],
            weight=weight,
            h=kept.h[a:e],
            mask=self.course.mask,
            modulating=given.modulating.t().contiguous() if modulates else None,
            modulator=given.modulator[a:e] if given.modulator is not None else None,
            product=kept.product[a:e] if kept.product is not None else None,
            read=kept.read[a:e] if kept.read is not None else None,
            x=given.x[a:e] if self.course.crossed else None,
            projection=given.projection.t().contiguous() if projects else None,
            narrow=self.empty(self.lanes, self.outputs) if projects else None,
            keep=tuple(None if share is None else share[a:e] for share in self.keep),
            fresh=tuple(None if new is None else new[:n] for new in self._fresh(kept)),
            before=(kept.h[a:e], *(memory[:n] for memory in kept.memory)),
            after=(kept.h[a + 1 : e + 1], *(memory[1 : n + 1] for memory in kept.memory)),
        )

    def _arriving(self, kept: Kept, a: int, e: int) -> None:
        """The inputs' share of the sums, where the rule wants it apart."""
        if kept.added is not None and self.given.arriving is not None:
            x = self.given.x[a:e].flatten(0, 1)
            product(x, self.given.arriving.t(), kept.added[: e - a].flatten(0, 1))

    def _segment(self, kept: Kept, weight: Tensor, a: int, e: int) -> None:
        self._arriving(kept, a, e)
        self.course.rule.outward(self.frame(kept, a, e, offset=a), self._between(kept, weight, a, e))

    def again(self, kept: Kept, weight: Tensor, a: int, e: int) -> None:
        """Fill the segment's buffers for steps a to e once more. All h are known, and so is what was read of them."""
        for memory, start in zip(kept.memory, kept.starts, strict=True):
            memory[0].copy_(start[a // self.segment])
        self._arriving(kept, a, e)
        frame, between = self.frame(kept, a, e, offset=a), self._between(kept, weight, a, e)
        if kept.middle is None and self.keep[0] is None:
            frame = frame._replace(output=self.empty(e - a, self.lanes, self.width))
        nothing = {name: None for name in ("mask", "modulating", "modulator", "product", "read", "x", "projection")}
        keep = (None, *between.keep[1:])
        self.course.rule.outward(frame, between._replace(keep=keep, **nothing))
