"""The time loop in torch's operations, for rules that take one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from lstmcast.net.rules import Frame, Homeward, Outward, Upstream

Advance = Callable[[int], object]
Rows = tuple[Tensor, ...]


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
        before, after = [*_masking(p), *_modulating(p), *_crossing(p)], [*_projecting(p, frame.output), *_keeping(p)]
        for t in range(len(gates)):
            for take in before:
                take(t)
            dot(rows[t], weight, out=gates[t])
            advance(t)
            for take in after:
                take(t)

    def homeward(self, frame: Frame, upstream: Upstream, between: Homeward) -> None:
        q = between
        retreat, settle = self.steps.backward(frame, upstream)
        straight = q.mask is None and q.modulating is None and q.x is None
        before = [*_setting_aside(q), *_unprojecting(q)]
        after = [*_unmodulating(q), *_uncrossing(q), *_unmasking(q), *_adding(q)]
        dot, operand, rows = _bound(upstream.gates)
        weight, out = operand(q.weight), operand(q.whole[0] if straight else q.read)
        for t in range(len(rows) - 1, -1, -1):
            for take in before:
                take(t)
            retreat(t)
            dot(rows[t], weight, out=out)
            for take in after:
                take(t)
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


# Each of these is empty where the cell does without, or one function of the step. Outward:


def _masking(p: Outward) -> list[Advance]:
    """h is masked into the rows, or where the modulating product reads it."""
    if p.mask is None or p.h is None:
        return []
    mask, width = p.mask, p.mask.shape[1]
    h, target = p.h[..., :width].unbind(0), (p.rows[..., :width] if p.read is None else p.read).unbind(0)
    return [lambda t: torch.mul(h[t], mask, out=target[t])]


def _modulating(p: Outward) -> list[Advance]:
    if p.modulating is None or p.product is None or p.modulator is None or p.h is None:
        return []
    dot, operand, read = _bound(p.h if p.read is None else p.read)
    weight, multiplied = operand(p.modulating), list(operand(p.product))
    products, modulator = p.product.unbind(0), p.modulator.unbind(0)
    target = p.rows[..., : p.modulator.shape[2]].unbind(0)

    def take(t: int) -> None:
        dot(read[t], weight, out=multiplied[t])
        torch.mul(products[t], modulator[t], out=target[t])

    return [take]


def _crossing(p: Outward) -> list[Advance]:
    if p.x is None:
        return []
    width, x = p.x.shape[2], p.x.unbind(0)
    h, target = p.rows[..., :width].unbind(0), p.rows[..., width : 2 * width].unbind(0)
    return [lambda t: torch.mul(h[t], x[t], out=target[t])]


def _projecting(p: Outward, output: Tensor) -> list[Advance]:
    if p.projection is None or p.narrow is None:
        return []
    dot, operand, wide = _bound(output)
    weight, narrow, array = operand(p.projection), p.narrow, operand(p.narrow)
    target = (p.after[0] if p.fresh[0] is None else p.fresh[0])[..., : narrow.shape[1]].unbind(0)

    def take(t: int) -> None:
        dot(wide[t], weight, out=array)
        target[t].copy_(narrow)

    return [take]


def _keeping(p: Outward) -> list[Advance]:
    """Some of the state before stays."""
    found = []
    for share, fresh, before, after in zip(p.keep, p.fresh, p.before, p.after, strict=True):
        if share is not None and fresh is not None:
            width = share.shape[2]
            found.append(_mixing(*(part[..., :width].unbind(0) for part in (fresh, before, share, after))))
    return found


def _mixing(fresh: Rows, before: Rows, share: Rows, after: Rows) -> Advance:
    return lambda t: torch.lerp(fresh[t], before[t], share[t], out=after[t])


# Homeward:


def _setting_aside(q: Homeward) -> list[Advance]:
    """Before the rule goes back, what zoneout kept from before the step is set aside."""
    found = []
    for place, (whole, share, carried) in enumerate(zip(q.whole, q.keep, q.carried, strict=True)):
        if share is not None and carried is not None:
            found.append(_splitting(whole, share.unbind(0), carried, whole if place else q.new))
    return found


def _splitting(whole: Tensor, share: Rows, carried: Tensor, rest: Tensor) -> Advance:
    def take(t: int) -> None:
        torch.mul(whole, share[t], out=carried)
        torch.sub(whole, carried, out=rest)

    return take


def _unprojecting(q: Homeward) -> list[Advance]:
    if q.projection is None or q.projected is None:
        return []
    dot, operand, _ = _bound(q.projected)
    projected, new = q.projected.unbind(0), q.new
    narrow, weight, inner = operand(new), operand(q.projection), operand(q.inner)

    def take(t: int) -> None:
        projected[t].copy_(new)
        dot(narrow, weight, out=inner)

    return [take]


def _unmodulating(q: Homeward) -> list[Advance]:
    """From the gradient of what the sums read to that of h, as the next two."""
    if q.product is None or q.d_modulator is None or q.modulated is None or q.modulator is None or q.modulating is None:
        return []
    dot, operand, arrays = _bound(q.modulated)
    weight, whole, read = operand(q.modulating), operand(q.whole[0]), q.read
    products, modulator = q.product.unbind(0), q.modulator.unbind(0)
    d_modulator, modulated = q.d_modulator.unbind(0), q.modulated.unbind(0)

    def take(t: int) -> None:
        torch.mul(read, products[t], out=d_modulator[t])
        torch.mul(read, modulator[t], out=modulated[t])
        dot(arrays[t], weight, out=whole)

    return [take]


def _uncrossing(q: Homeward) -> list[Advance]:
    if q.x is None or q.d_x is None:
        return []
    whole, width, x, d_x = q.whole[0], q.x.shape[2], q.x.unbind(0), q.d_x.unbind(0)
    h, crossed, read = q.rows[..., :width].unbind(0), q.read[:, width:], q.read[:, :width]

    def take(t: int) -> None:
        torch.mul(crossed, h[t], out=d_x[t])
        torch.addcmul(read, crossed, x[t], out=whole)

    return [take]


def _unmasking(q: Homeward) -> list[Advance]:
    if q.mask is None:
        return []
    mask, whole = q.mask, q.whole[0]
    read = q.read if q.modulating is None and q.x is None else whole
    return [lambda _: torch.mul(read, mask, out=whole)]


def _adding(q: Homeward) -> list[Advance]:
    """What else arrives for the state before the step."""
    found: list[Advance] = []
    if q.direct is not None:
        found.append(_summing(q.whole[0], q.direct))
    for whole, carried, above in zip(q.whole, q.carried, q.above, strict=True):
        if carried is not None:
            found.append(_summing(whole, carried))
        if above is not None:
            found.append(_summing_rows(whole, above.unbind(0)))
    return found


def _summing(whole: Tensor, further: Tensor) -> Advance:
    return lambda _: whole.add_(further)


def _summing_rows(whole: Tensor, further: Rows) -> Advance:
    return lambda t: whole.add_(further[t])
