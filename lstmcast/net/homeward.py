"""Backwards through the loop over time: a step is the rule's backward half and one product; the gradients of the
weights are one product per chunk of steps, over all its rows at once."""

from __future__ import annotations

import torch
from torch import Tensor

from lstmcast.net.outward import Journey, Kept
from lstmcast.net.rules import Homeward, Some, Upstream
from lstmcast.net.rules.stepwise import product

CHUNK_BYTES, CHUNK_ROWS = 1 << 20, 512
"""Gradients of the sums are kept for about so much at a time: in cache, and enough rows for an efficient product."""


def homeward(j: Journey, kept: Kept, upstream: Some, *, needs_x: bool) -> Some:
    """Gradients of all of ``Given``, of the rule's parameters and of the first state, from those of the outputs."""
    sums = _Sums(j, needs_x)
    if j.course.traced:
        flow = _Flow(j, sums.length, upstream, (None,) * len(upstream))
    else:
        flow = _Flow(j, sums.length, (upstream[0], *(None,) * j.memories), upstream[1:])
    checkpointed = j.segment < j.steps
    weight = j.forward_weight() if checkpointed else None
    for a, e in _chunks(j, sums.length):
        if weight is not None:
            j.again(kept, weight, a, e)
        n, frame = e - a, j.frame(kept, a, e, offset=a if checkpointed else 0)
        gradients = Upstream(
            gates=sums.gates[:n],
            added=None if sums.added is None else sums.added[:n],
            output=flow.inner,
            h=flow.direct,
            memory=flow.whole[1:],
            parameters=sums.parameters,
        )
        j.course.rule.homeward(frame, gradients, _between(j, kept, flow, sums, a, e))
        sums.chunk(kept, a, e)
    return (*sums.collect(), *flow.whole)


def _chunks(j: Journey, length: int) -> list[tuple[int, int]]:
    """From the end; as long as a segment where they have to be computed again."""
    if j.segment < j.steps:
        return [(a, min(a + j.segment, j.steps)) for a in range(0, j.steps, j.segment)][::-1]
    return [(max(0, e - length), e) for e in range(j.steps, 0, -length)]


def _between(j: Journey, kept: Kept, flow: _Flow, sums: _Sums, a: int, e: int) -> Homeward:
    n, given = e - a, j.given
    return Homeward(
        weight=flow.weight,
        read=flow.read,
        above=flow.above(a, e),
        whole=flow.whole,
        keep=tuple(None if share is None else share[a:e] for share in j.keep),
        carried=flow.carried,
        new=flow.new,
        inner=flow.inner,
        direct=flow.direct if j.course.rule.direct else None,
        rows=kept.rows[a:e],
        mask=j.course.mask,
        modulating=given.modulating,
        modulator=None if given.modulator is None else given.modulator[a:e],
        product=None if kept.product is None else kept.product[a:e],
        d_modulator=None if sums.modulator is None else sums.modulator[a:e],
        modulated=None if sums.modulated is None else sums.modulated[:n],
        x=given.x[a:e] if j.course.crossed else None,
        d_x=None if sums.crossed is None else sums.crossed[:n],
        projection=given.projection,
        projected=None if sums.projected is None else sums.projected[:n],
    )


class _Flow:
    """Gradients on their way back in time; the fields of ``Homeward`` tell what they are."""

    def __init__(self, j: Journey, length: int, every: Some, final: Some) -> None:
        self.every = every
        whole = []
        for width, rows, end in zip((j.outputs, *(j.width,) * j.memories), every, final, strict=True):
            start = j.given.weight.new_zeros(j.lanes, width)
            for part in (rows[-1] if rows is not None else None, end):
                if part is not None:
                    start += part
            whole.append(start)
        self.whole = tuple(whole)
        self.carried: Some = tuple(
            None if share is None else torch.empty_like(part) for part, share in zip(whole, j.keep, strict=True)
        )
        self.new = whole[0] if j.keep[0] is None else torch.empty_like(whole[0])
        self.inner = j.empty(j.lanes, j.width) if j.given.projection is not None else self.new
        self.direct = j.empty(j.lanes, j.width)
        self.read = j.empty(j.lanes, j.reads)
        self.weight = j.given.weight[:, : j.reads].contiguous()
        self._above: Some = tuple(
            None if rows is None else j.empty(length, *part.shape) for part, rows in zip(whole, every, strict=True)
        )

    def above(self, a: int, e: int) -> Some:
        """What arrives for the states before steps a to e; nothing does for the first state of all."""
        for rows, buffer in zip(self.every, self._above, strict=True):
            if rows is not None and buffer is not None:
                first = 0 if a else 1
                buffer[:first] = 0
                buffer[first : e - a] = rows[a + first - 1 : e - 1]
        return tuple(None if buffer is None else buffer[: e - a] for buffer in self._above)


class _Sums:
    """Gradients that are summed up or laid side by side over the steps. ``length`` steps make a chunk."""

    def __init__(self, j: Journey, needs_x: bool) -> None:
        g, B = j.given, j.lanes
        self.j = j
        row = B * j.sums * g.weight.element_size()
        chunk = max(1, min(j.steps, max(CHUNK_BYTES // row, -(-CHUNK_ROWS // B))))
        n = self.length = j.segment if j.segment < j.steps else chunk
        self.gates = j.empty(n, B, j.sums)
        self.added = j.empty(n, B, j.sums) if g.arriving is not None else None
        self.weight = g.weight.new_zeros(j.columns, j.sums)
        self.arriving = g.weight.new_zeros(g.x.shape[2], j.sums) if g.arriving is not None else None
        self.x = j.empty(*g.x.shape) if needs_x else None
        self.crossed = j.empty(n, *g.x.shape[1:]) if j.course.crossed else None
        self.modulator = j.empty(*g.modulator.shape) if g.modulator is not None else None
        self.modulated = j.empty(n, B, j.outputs) if j.modulated else None
        self.modulating = torch.zeros_like(g.modulating) if g.modulating is not None else None
        self.projection = torch.zeros_like(g.projection) if g.projection is not None else None
        self.projected = j.empty(n, B, j.outputs) if g.projection is not None else None
        self.parameters = tuple(torch.zeros_like(parameter) for parameter in j.parameters)
        self._share = torch.empty_like(self.weight)
        on_x = g.arriving if g.arriving is not None else g.weight[:, j.reads : -1]
        self._on_x = on_x.contiguous() if needs_x else None

    def chunk(self, kept: Kept, a: int, e: int) -> None:
        """The products over all rows of steps a to e."""
        n, j = e - a, self.j
        d = self.gates[:n].flatten(0, 1)
        product(kept.rows[a:e].flatten(0, 1).t(), d, self._share)
        self.weight += self._share
        if self.added is not None and self.arriving is not None:
            d = self.added[:n].flatten(0, 1)
            self.arriving.addmm_(j.given.x[a:e].flatten(0, 1).t(), d)
        if self.x is not None and self._on_x is not None:
            product(d, self._on_x, self.x[a:e].flatten(0, 1))
            if self.crossed is not None:
                self.x[a:e] += self.crossed[:n]
        if self.modulating is not None and self.modulated is not None:
            read = kept.read if kept.read is not None else kept.h
            self.modulating.addmm_(self.modulated[:n].flatten(0, 1).t(), read[a:e].flatten(0, 1))
        if self.projection is not None and self.projected is not None and kept.middle is not None:
            middle = kept.middle[:n] if j.segment < j.steps else kept.middle[a:e]
            self.projection.addmm_(self.projected[:n].flatten(0, 1).t(), middle.flatten(0, 1))

    def collect(self) -> Some:
        arriving = None if self.arriving is None else self.arriving.t()
        given = (self.x, self.weight.t(), arriving, self.modulator, self.modulating, self.projection)
        return (*given, *self.parameters)
