"""Backwards through the loop over time: a step is the rule's backward half and one product; the gradients of the
weights are one product per chunk of steps, over all its rows at once."""

from __future__ import annotations

import torch

from lstmcast.net.outward import Journey, Kept, Steps
from lstmcast.net.rules import Homeward, Some, Upstream, seen
from lstmcast.net.rules.stepwise import product

CHUNK_BYTES, CHUNK_ROWS = 1 << 21, 512
"""Gradients of the sums are kept for about so much at a time: in cache, and enough rows for an efficient product."""


def homeward(j: Journey, kept: Kept, upstream: Some, *, needs_x: bool) -> Some:
    """Gradients of all of ``Given``, of the rule's parameters and of the first state, from those of the outputs."""
    sums = _Sums(j, needs_x)
    if j.course.traced:
        flow = _Flow(j, sums.length, upstream, (None,) * len(upstream))
    else:
        flow = _Flow(j, sums.length, (upstream[0], *(None,) * j.memories), upstream[1:])
    steps, checkpointed = Steps(j, kept), j.segment < j.steps
    way = _Way(j, steps, flow, sums)
    for a, e in _chunks(j, sums.length):
        if checkpointed:
            steps.again(a, e)
        flow.arrive(a, e)
        gradients, between = way.cut(a, e)
        j.rule.homeward(steps.frame(a, e, offset=a if checkpointed else 0), gradients, between)
        sums.chunk(kept, a, e)
    return (*sums.collect(), *flow.whole)


def _chunks(j: Journey, length: int) -> list[tuple[int, int]]:
    """From the end; as long as a segment where they have to be computed again."""
    if j.segment < j.steps:
        return [(a, min(a + j.segment, j.steps)) for a in range(0, j.steps, j.segment)][::-1]
    return [(max(0, e - length), e) for e in range(j.steps, 0, -length)]


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
        self.above: Some = tuple(
            None if rows is None else j.empty(length, *part.shape) for part, rows in zip(whole, every, strict=True)
        )

    def arrive(self, a: int, e: int) -> None:
        """Lay out what arrives for the states before steps a to e; nothing does for the first state of all."""
        for rows, buffer in zip(self.every, self.above, strict=True):
            if rows is not None and buffer is not None:
                first = 0 if a else 1
                buffer[:first] = 0
                buffer[first : e - a] = rows[a + first - 1 : e - 1]


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


class _Way:
    """The buffers of the way back as the rule takes them, cut into chunks of steps."""

    def __init__(self, j: Journey, steps: Steps, flow: _Flow, sums: _Sums) -> None:
        view, given = j.rule.seen, steps.given
        self.upstream = Upstream(
            gates=view(sums.gates),
            added=None if sums.added is None else view(sums.added),
            output=view(flow.inner),
            h=view(flow.direct),
            memory=seen(flow.whole[1:], view),
            parameters=seen(sums.parameters, view),
        )
        whole = seen(flow.whole, view)
        self.between = Homeward(
            weight=view(flow.weight),
            read=view(flow.read),
            above=seen(flow.above, view),
            whole=whole,
            keep=steps.keep,
            carried=seen(flow.carried, view),
            new=whole[0] if flow.new is flow.whole[0] else view(flow.new),
            inner=self.upstream.output,
            direct=self.upstream.h if j.rule.direct else None,
            rows=steps.kept.rows,
            mask=steps.mask,
            modulating=given.modulating,
            modulator=given.modulator,
            product=steps.kept.product,
            d_modulator=None if sums.modulator is None else view(sums.modulator),
            modulated=None if sums.modulated is None else view(sums.modulated),
            x=given.x if j.course.crossed else None,
            d_x=None if sums.crossed is None else view(sums.crossed),
            projection=given.projection,
            projected=None if sums.projected is None else view(sums.projected),
        )

    def cut(self, a: int, e: int) -> tuple[Upstream, Homeward]:
        """Steps a to e."""
        n, u, b = e - a, self.upstream, self.between
        upstream = u._replace(gates=u.gates[:n], added=None if u.added is None else u.added[:n])
        between = b._replace(
            above=tuple([None if part is None else part[:n] for part in b.above]),
            keep=tuple([None if share is None else share[a:e] for share in b.keep]),
            rows=b.rows[a:e],
            modulator=None if b.modulator is None else b.modulator[a:e],
            product=None if b.product is None else b.product[a:e],
            d_modulator=None if b.d_modulator is None else b.d_modulator[a:e],
            modulated=None if b.modulated is None else b.modulated[:n],
            x=None if b.x is None else b.x[a:e],
            d_x=None if b.d_x is None else b.d_x[:n],
            projected=None if b.projected is None else b.projected[:n],
        )
        return upstream, between
