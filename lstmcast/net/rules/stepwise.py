"""The time loop in torch's operations, for rules that take one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from lstmcast.net.rules import Frame, Homeward, Outward, Upstream

Advance = Callable[[int], None]


class Steps(Protocol):
    """A pointwise rule, step by step."""

    scale: ClassVar[tuple[int, ...]]
    direct: ClassVar[bool]
    stash: ClassVar[tuple[tuple[int, int], ...]]

    def forward(self, frame: Frame) -> Advance:
        """A function that takes step t of the frame. Steps are taken in order."""
        ...

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        """A function that goes back over step t, called in reverse order, and one that settles the parameters."""
        ...


class Stepwise:
    """``steps`` with the loop around them."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.scale, self.direct, self.stash = steps, steps.scale, steps.direct, steps.stash

    def seen(self, tensor: Tensor) -> Tensor:
        return tensor.data  # not detach(): segments computed again overwrite what autograd keeps for a second way back

    def outward(self, frame: Frame, between: Outward) -> None:
        p, advance = between, self.steps.forward(frame)
        dot, operand, rows = _bound(p.rows)
        weight, gates = operand(p.weight), list(operand(frame.gates))
        rewritten = p.mask is not None or p.modulating is not None or p.x is not None
        mixed = p.projection is not None or any(share is not None for share in p.keep)
        for t in range(len(gates)):
            if rewritten:
                _read(p, t)
            dot(rows[t], weight, out=gates[t])
            advance(t)
            if mixed:
                _depart(p, frame.output, t)

    def homeward(self, frame: Frame, upstream: Upstream, between: Homeward) -> None:
        q = between
        retreat, settle = self.steps.backward(frame, upstream)
        enters = q.projection is not None or any(share is not None for share in q.keep)
        straight = q.mask is None and q.modulating is None and q.x is None
        target = q.whole[0] if straight else q.read
        dot, operand, rows = _bound(upstream.gates)
        weight, out = operand(q.weight), operand(target)
        for t in range(len(rows) - 1, -1, -1):
            if enters:
                _enter(q, t)
            retreat(t)
            dot(rows[t], weight, out=out)
            if not straight:
                _unread(q, t)
            for whole, further in _further(q, t):
                whole.add_(further)
        settle()


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


def _read(p: Outward, t: int) -> None:
    """Write into row t what the sums read of h."""
    row = p.rows[t]
    if p.mask is not None and p.h is not None:
        width = p.mask.shape[1]
        torch.mul(p.h[t, :, :width], p.mask, out=row[:, :width] if p.read is None else p.read[t])
    if p.modulating is not None and p.product is not None and p.modulator is not None and p.h is not None:
        product(p.h[t] if p.read is None else p.read[t], p.modulating, p.product[t])
        torch.mul(p.product[t], p.modulator[t], out=row[:, : p.modulator.shape[2]])
    if p.x is not None:
        width = p.x.shape[2]
        torch.mul(row[:, :width], p.x[t], out=row[:, width : 2 * width])


def _depart(p: Outward, output: Tensor, t: int) -> None:
    """Project h, and mix in what stays of the state before."""
    if p.projection is not None:
        target = p.after[0] if p.fresh[0] is None else p.fresh[0]
        torch.mm(output[t], p.projection, out=target[t, :, : p.projection.shape[1]])
    for share, fresh, before, after in zip(p.keep, p.fresh, p.before, p.after, strict=True):
        if share is not None and fresh is not None:
            width = share.shape[2]
            torch.lerp(fresh[t, :, :width], before[t, :, :width], share[t], out=after[t, :, :width])


def _enter(q: Homeward, t: int) -> None:
    """Split off what zoneout kept from before step t, and go back through the projection."""
    for place, (whole, share, carried) in enumerate(zip(q.whole, q.keep, q.carried, strict=True)):
        if share is not None and carried is not None:
            torch.mul(whole, share[t], out=carried)
            torch.sub(whole, carried, out=whole if place else q.new)
    if q.projection is not None and q.projected is not None:
        q.projected[t].copy_(q.new)
        product(q.new, q.projection, q.inner)


def _unread(q: Homeward, t: int) -> None:
    """From the gradient of what the sums read to that of h."""
    width, d = q.whole[0].shape[1], q.read
    if q.product is not None and q.d_modulator is not None:
        torch.mul(d, q.product[t], out=q.d_modulator[t])
    if q.modulated is not None and q.modulator is not None and q.modulating is not None:
        torch.mul(d, q.modulator[t], out=q.modulated[t])
        d = q.whole[0]
        product(q.modulated[t], q.modulating, d)
    if q.x is not None and q.d_x is not None:
        torch.mul(d[:, width:], q.rows[t, :, :width], out=q.d_x[t])
        d = torch.addcmul(d[:, :width], d[:, width:], q.x[t], out=q.whole[0])
    if q.mask is not None:
        torch.mul(d, q.mask, out=q.whole[0])


def _further(q: Homeward, t: int) -> list[tuple[Tensor, Tensor]]:
    """What is added to the gradients of the state before step t."""
    found = [(q.whole[0], q.direct)] if q.direct is not None else []
    for whole, carried, above in zip(q.whole, q.carried, q.above, strict=True):
        if carried is not None:
            found.append((whole, carried))
        if above is not None:
            found.append((whole, above[t]))
    return found
