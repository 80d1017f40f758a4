"""The one loop over time that every cell shares, with its back-propagation written out.

Forwards a step is one product of [h | x | 1] with all weights stacked, then the cell's pointwise rule. Backwards a step
is the rule's backward half and one product; the gradients of the weights are one product per chunk of steps, over all
its rows at once. Gradients of gradients take the readable road instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lstmcast.net.rules import Advance, Frame, Rule, Upstream

CHUNK_BYTES, CHUNK_ROWS = 1 << 20, 512
"""Gradients of the sums are kept for about so much at a time: in cache, and enough rows for an efficient product."""

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

    x: Tensor | None
    weight: Tensor
    added: Tensor | None
    modulator: Tensor | None
    modulating: Tensor | None
    projection: Tensor | None


GIVEN = len(Given._fields)


class Kept(NamedTuple):
    """What the backward half needs: ``rows`` (T, B, K) what was multiplied, ``h`` (T+1, B, ·), the segment's buffers,
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


def run(course: Course, given: Given, parameters: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """h (T, B, R) of all steps and the final state, or, traced, all state tensors of all steps."""
    if not torch.is_grad_enabled() and not course.traced:
        course = course._replace(segment=math.isqrt(_steps(given)) + 1)
    outputs: tuple[Tensor, ...] = _Loop.apply(course, *given, *parameters, *state)  # type: ignore[no-untyped-call]
    return outputs


def product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """a @ b into ``out``, which is contiguous. On a CPU numpy's library multiplies: it is the faster one on the
    processors that torch's was not written for, and costs less to call."""
    if out.device.type == "cpu":
        np.dot(a.detach().numpy(), b.detach().numpy(), out=out.numpy())
    else:
        torch.mm(a, b, out=out)


def _bound(buffer: Tensor) -> tuple[Callable[..., Any], Callable[[Tensor], Any], Any]:
    """A product ``dot(a, b, out=c)``, what makes its operands of tensors, and ``buffer`` step by step."""
    if buffer.device.type == "cpu":
        return np.dot, lambda tensor: tensor.detach().numpy(), list(buffer.detach().numpy())
    return torch.mm, lambda tensor: tensor, buffer.unbind(0)


def _steps(given: Given) -> int:
    sequence = given.x if given.x is not None else given.added
    return 0 if sequence is None else len(sequence)


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, course: Course, *tensors: Any) -> tuple[Tensor, ...]:
        given, parameters, state = _sorted(course, tensors)
        journey = _Journey(course, given, parameters, state)
        kept = journey.forward(state)
        ctx.course, ctx.parts = course, [len(part) if isinstance(part, tuple) else -1 for part in kept]
        flat = [tensor for part in kept for tensor in (part if isinstance(part, tuple) else (part,))]
        ctx.given = len(tensors)
        ctx.save_for_backward(*tensors, *flat)
        ctx.set_materialize_grads(False)
        h = kept.h[1:, :, : journey.outputs]
        if course.traced:
            return h, *(part[1:] for part in kept.memory)
        return h, h[-1].clone(), *(part[journey.last_length].clone() for part in kept.memory)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the fast road has no second derivative; use scan(..., readable=True)")
        saved = list(ctx.saved_tensors)
        given, parameters, state = _sorted(ctx.course, saved[: ctx.given])
        rest = iter(saved[ctx.given :])
        kept = Kept(*(next(rest) if n < 0 else tuple(next(rest) for _ in range(n)) for n in ctx.parts))  # type: ignore[arg-type]
        journey = _Journey(ctx.course, given, parameters, state)
        return None, *journey.backward(kept, upstream, needs_x=ctx.needs_input_grad[1])


def _sorted(course: Course, tensors: Any) -> tuple[Given, tuple[Tensor, ...], tuple[Tensor, ...]]:
    end = GIVEN + course.parameters
    return Given(*tensors[:GIVEN]), tuple(tensors[GIVEN:end]), tuple(tensors[end:])


class _Journey:
    """One run, forwards or backwards: its sizes and its buffers."""

    def __init__(self, course: Course, given: Given, parameters: tuple[Tensor, ...], state: tuple[Tensor, ...]) -> None:
        self.course, self.given = course, given
        self.parameters = tuple(parameter.contiguous() for parameter in parameters)
        self.steps, self.lanes = _steps(given), len(state[0])
        self.outputs, self.memories = state[0].shape[1], len(state) - 1
        self.sums, self.columns = given.weight.shape
        self.width = self.sums // len(course.rule.scale)
        self.reads = self.outputs * (2 if course.crossed else 1)
        self.segment = min(course.segment or self.steps, self.steps)
        self.last_length = self.steps - (self.steps - 1) // self.segment * self.segment
        self.keep = course.keep or (None,) * len(state)
        self.modulated, self.masked = given.modulator is not None, course.mask is not None
        self.rewritten = self.modulated or self.masked or course.crossed
        self.plain = not self.rewritten and all(keep is None for keep in self.keep)

    def empty(self, *shape: int) -> Tensor:
        return self.given.weight.new_empty(*shape)

    # Forwards

    def forward(self, state: tuple[Tensor, ...]) -> Kept:
        kept = self._buffers(state)
        for memory, first in zip(kept.memory, state[1:], strict=True):
            memory[0].copy_(first)
        weight = self._forward_weight()
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
        if self.given.x is not None:
            rows[:T, :, self.reads : -1] = self.given.x
            rows[..., -1] = 1
        h = self.empty(T + 1, B, self.outputs) if apart else rows
        h[0, :, : self.outputs] = state[0]
        kept_apart = [keep is not None for keep in self.keep]
        fresh_h = (self.empty(n, B, self.outputs),) if kept_apart[0] else ()
        fresh_memory = tuple(self.empty(n, B, self.width) for apart in kept_apart[1:] if apart)
        starts = math.ceil(T / n) if n < T else 0
        return Kept(
            rows=rows,
            h=h,
            read=self.empty(T, B, self.outputs) if self.modulated and self.masked else None,
            product=self.empty(T, B, self.outputs) if self.modulated else None,
            gates=self.empty(n, B, self.sums),
            memory=tuple(self.empty(n + 1, B, self.width) for _ in range(self.memories)),
            fresh=fresh_h + fresh_memory,
            middle=self.empty(n, B, self.width) if self.given.projection is not None else None,
            stash=tuple(self.empty(n, B, a * self.width + b) for a, b in self.course.rule.stash),
            starts=tuple(self.empty(starts, B, self.width) for _ in range(self.memories)) if starts else (),
        )

    def _forward_weight(self) -> Tensor:
        weight, scale = self.given.weight, self.course.rule.scale
        if set(scale) != {1}:
            factors = weight.new_tensor(scale).repeat_interleave(self.width)
            weight = weight * factors[:, None]
        return weight.t().contiguous()

    def _frame(self, kept: Kept, a: int, e: int, output: Tensor, *, offset: int) -> Frame:
        """Steps a to e, which stand from ``a − offset`` in the segment's buffers."""
        part, later = slice(a - offset, e - offset), slice(a - offset + 1, e - offset + 1)
        fresh = iter(kept.fresh[1:] if self.keep[0] is not None else kept.fresh)
        after = tuple(
            memory[later] if keep is None else next(fresh)[part]
            for memory, keep in zip(kept.memory, self.keep[1:], strict=True)
        )
        return Frame(
            gates=kept.gates[part],
            added=None if self.given.added is None else self.given.added[a:e],
            h=kept.h[a:e],
            memory=tuple(memory[part] for memory in kept.memory),
            output=output,
            after=after,
            stash=tuple(buffer[part] for buffer in kept.stash),
            parameters=self.parameters,
        )

    def _segment(self, kept: Kept, weight: Tensor, a: int, e: int) -> None:
        n = e - a
        written = kept.h[a + 1 : e + 1]
        new_h = kept.fresh[0][:n] if self.keep[0] is not None else written
        frame = self._frame(kept, a, e, kept.middle[:n] if kept.middle is not None else new_h, offset=a)
        advance = self.course.rule.forward(frame)
        dot, operand, rows = _bound(kept.rows[a:e])
        weight, gates = operand(weight), list(operand(kept.gates[:n]))
        if self.plain and kept.middle is None:
            for t in range(n):
                dot(rows[t], weight, out=gates[t])
                advance(t)
            return
        narrow, before = new_h[..., : self.outputs].unbind(0), kept.h[a:e, :, : self.outputs].unbind(0)
        final = written[..., : self.outputs].unbind(0)
        for t in range(n):
            if self.rewritten:
                self._read(kept, a + t)
            dot(rows[t], weight, out=gates[t])
            advance(t)
            if kept.middle is not None and self.given.projection is not None:
                torch.mm(kept.middle[t], self.given.projection.t(), out=narrow[t])
            if (keep := _at(self.keep[0], a + t)) is not None:
                torch.lerp(narrow[t], before[t], keep, out=final[t])
            self._keep_memory(kept, frame, a + t, t)

    def _keep_memory(self, kept: Kept, frame: Frame, t: int, place: int) -> None:
        for memory, new, keep in zip(kept.memory, frame.after, self.keep[1:], strict=True):
            if (kept_share := _at(keep, t)) is not None:
                torch.lerp(new[place], memory[place], kept_share, out=memory[place + 1])

    def _read(self, kept: Kept, t: int) -> None:
        """Write into row t what the sums read of h."""
        R = self.outputs
        h, row = kept.h[t, :, :R], kept.rows[t]
        if self.course.mask is not None:
            target = row[:, :R] if kept.read is None else kept.read[t]
            h = torch.mul(h, self.course.mask, out=target)
        if self.course.crossed and self.given.x is not None:
            torch.mul(h, self.given.x[t], out=row[:, R : 2 * R])
        if kept.product is not None and self.given.modulating is not None and self.given.modulator is not None:
            product(h, self.given.modulating.t(), kept.product[t])
            torch.mul(kept.product[t], self.given.modulator[t], out=row[:, :R])

    # Backwards

    def backward(self, kept: Kept, upstream: tuple[Tensor | None, ...], *, needs_x: bool) -> tuple[Tensor | None, ...]:
        sums = _Sums(self, needs_x)
        if self.course.traced:
            flow = _Flow(self, upstream, (None,) * len(upstream))
        else:
            flow = _Flow(self, (upstream[0], *(None,) * self.memories), upstream[1:])
        checkpointed = self.segment < self.steps
        weight = self._forward_weight() if checkpointed else None
        for a, e in self._chunks(checkpointed):
            if weight is not None:
                self._again(kept, weight, a, e)
            frame = self._frame(kept, a, e, kept.h[a + 1 : e + 1], offset=a if checkpointed else 0)
            self._back(kept, frame, flow, sums, a, e)
        return sums.collect(flow)

    def _chunks(self, checkpointed: bool) -> list[tuple[int, int]]:
        """From the end; as long as a segment where they have to be computed again."""
        if checkpointed:
            return [(a, min(a + self.segment, self.steps)) for a in range(0, self.steps, self.segment)][::-1]
        length = chunk_length(self)
        return [(max(0, e - length), e) for e in range(self.steps, 0, -length)]

    def _again(self, kept: Kept, weight: Tensor, a: int, e: int) -> None:
        """Fill the segment's buffers for steps a to e once more. All h are known, so that the sums are one product."""
        n = e - a
        product(kept.rows[a:e].flatten(0, 1), weight, kept.gates[:n].flatten(0, 1))
        for memory, start in zip(kept.memory, kept.starts, strict=True):
            memory[0].copy_(start[a // self.segment])
        scratch = kept.middle[:n] if kept.middle is not None else self.empty(n, self.lanes, self.width)
        frame = self._frame(kept, a, e, scratch, offset=a)
        advance = self.course.rule.forward(frame)
        for t in range(n):
            advance(t)
            self._keep_memory(kept, frame, a + t, t)

    def _back(self, kept: Kept, frame: Frame, flow: _Flow, sums: _Sums, a: int, e: int) -> None:
        n, rule = e - a, self.course.rule
        d = sums.ring[:n]
        upstream = Upstream(
            gates=d,
            added=None if sums.added is None else sums.added[a:e],
            output=flow.inner,
            h=flow.direct,
            memory=flow.memory,
            parameters=sums.parameters,
        )
        retreat, settle = rule.backward(frame, upstream)
        if flow.straight:
            flow.straight_back(self, retreat, d, a)
        for t in range(n - 1, -1, -1) if not flow.straight else ():
            flow.enter(self, a + t)
            if self.given.projection is not None:
                sums.projected[t].copy_(flow.new)
                product(flow.new, self.given.projection, flow.inner)
            retreat(t)
            flow.leave(self, kept, sums, a + t, d[t], t)
        settle()
        sums.chunk(self, kept, a, e)


def chunk_length(journey: _Journey) -> int:
    row = journey.lanes * journey.sums * journey.given.weight.element_size()
    return max(1, min(journey.steps, max(CHUNK_BYTES // row, -(-CHUNK_ROWS // journey.lanes))))


def _at(keep: Keep, t: int) -> Tensor | float | None:
    return keep[t] if isinstance(keep, Tensor) else keep


class _Flow:
    """Gradients on their way back in time. ``h`` that of the output of the step, ``new`` its share that was not kept,
    ``inner`` what reaches the rule (the same unless projected), ``direct`` what the rule passes h₋ itself."""

    def __init__(self, j: _Journey, every: tuple[Tensor | None, ...], final: tuple[Tensor | None, ...]) -> None:
        self.every = [None if part is None else part.unbind(0) for part in every]
        widths = (j.outputs, *(j.width,) * j.memories)
        first = []
        for width, rows, end in zip(widths, self.every, final, strict=True):
            start = j.given.weight.new_zeros(j.lanes, width)
            for part in (rows[-1] if rows else None, end):
                if part is not None:
                    start += part
            first.append(start)
        self.h, self.memory = first[0], tuple(first[1:])
        self.new = j.empty(j.lanes, j.outputs) if j.keep[0] is not None else self.h
        self.inner = j.empty(j.lanes, j.width) if j.given.projection is not None else self.new
        self.direct = j.empty(j.lanes, j.width)
        self.read = j.empty(j.lanes, j.reads)
        self.weight = j.given.weight[:, : j.reads].contiguous()
        self.straight = j.plain and j.given.projection is None and not any(self.every[1:])
        self.carried: list[Tensor | None] = [None] * len(widths)

    def enter(self, j: _Journey, t: int) -> None:
        """Split off what zoneout kept from before step t."""
        for place, keep in enumerate(j.keep):
            share = _at(keep, t)
            if share is None:
                continue
            whole = self.memory[place - 1] if place else self.h
            carried = self.carried[place] = whole * share
            if place:
                whole.sub_(carried)
            else:
                torch.sub(whole, carried, out=self.new)

    def leave(self, j: _Journey, kept: Kept, sums: _Sums, t: int, d: Tensor, place: int) -> None:
        """On to the state before step t."""
        for memory, carried, rows in zip(self.memory, self.carried[1:], self.every[1:], strict=True):
            if carried is not None:
                memory.add_(carried)
            if rows is not None and t:
                memory.add_(rows[t - 1])
        above = self.every[0][t - 1] if self.every[0] is not None and t else None
        product(d, self.weight, self.read)
        self.h.copy_(self._unread(j, kept, sums, t, place))
        for part in (above, self.carried[0], self.direct if j.course.rule.direct else None):
            if part is not None:
                self.h.add_(part)

    def straight_back(self, j: _Journey, retreat: Advance, d: Tensor, a: int) -> None:
        """All of ``enter`` and ``leave`` where nothing but sums stands between two steps."""
        dot, operand, rows = _bound(d)
        weight, target, above, direct = operand(self.weight), operand(self.h), self.every[0], j.course.rule.direct
        for t in range(len(rows) - 1, -1, -1):
            retreat(t)
            dot(rows[t], weight, out=target)
            if direct:
                self.h.add_(self.direct)
            if above is not None and a + t:
                self.h.add_(above[a + t - 1])

    def _unread(self, j: _Journey, kept: Kept, sums: _Sums, t: int, place: int) -> Tensor:
        """From the gradient of what the sums read to that of h."""
        R, d = j.outputs, self.read
        if kept.product is not None and j.given.modulator is not None and j.given.modulating is not None:
            torch.mul(d, kept.product[t], out=sums.modulator[t])
            torch.mul(d, j.given.modulator[t], out=sums.modulated[place])
            d = torch.empty_like(self.h)
            product(sums.modulated[place], j.given.modulating, d)
        if j.course.crossed and j.given.x is not None:
            torch.mul(d[:, R:], kept.rows[t, :, :R], out=sums.crossed[t])
            d = torch.addcmul(d[:, :R], d[:, R:], j.given.x[t])
        return d if j.course.mask is None else d * j.course.mask


class _Sums:
    """Gradients that are summed up or laid side by side over the steps."""

    def __init__(self, j: _Journey, needs_x: bool) -> None:
        g, T, B = j.given, j.steps, j.lanes
        length = j.segment if j.segment < T else chunk_length(j)
        nothing = j.empty(0)
        self.ring = j.empty(length, B, j.sums)
        self.weight = g.weight.new_zeros(j.columns, j.sums)
        self.x = j.empty(*g.x.shape) if needs_x and g.x is not None else None
        self.crossed = j.empty(*g.x.shape) if j.course.crossed and g.x is not None else nothing
        self.added = j.empty(*g.added.shape) if g.added is not None else None
        self.modulator = j.empty(*g.modulator.shape) if g.modulator is not None else nothing
        self.modulated = j.empty(length, B, j.outputs) if j.modulated else nothing
        self.modulating = torch.zeros_like(g.modulating) if g.modulating is not None else None
        self.projection = torch.zeros_like(g.projection) if g.projection is not None else None
        self.projected = j.empty(length, B, j.outputs) if g.projection is not None else nothing
        self.parameters = tuple(torch.zeros_like(parameter) for parameter in j.parameters)

    def chunk(self, j: _Journey, kept: Kept, a: int, e: int) -> None:
        """The products over all rows of steps a to e."""
        n = e - a
        d = self.ring[:n].flatten(0, 1)
        share = torch.empty_like(self.weight)
        product(kept.rows[a:e].flatten(0, 1).t(), d, share)
        self.weight += share
        if self.x is not None:
            product(d, j.given.weight[:, j.reads : -1].contiguous(), self.x[a:e].flatten(0, 1))
            if j.course.crossed:
                self.x[a:e] += self.crossed[a:e]
        if self.modulating is not None:
            read = kept.read if kept.read is not None else kept.h
            self.modulating.addmm_(self.modulated[:n].flatten(0, 1).t(), read[a:e].flatten(0, 1))
        if self.projection is not None and kept.middle is not None:
            middle = kept.middle[:n] if j.segment < j.steps else kept.middle[a:e]
            self.projection.addmm_(self.projected[:n].flatten(0, 1).t(), middle.flatten(0, 1))

    def collect(self, flow: _Flow) -> tuple[Tensor | None, ...]:
        modulator = self.modulator if self.modulating is not None else None
        given = (self.x, self.weight.t(), self.added, modulator, self.modulating, self.projection)
        return (*given, *self.parameters, flow.h, *flow.memory)
