"""Pointwise rules of the gated cells with a linear memory, in torch's operations.

Backwards, everything that does not wait for the gradient is computed for all steps of a frame at once; a step then
only multiplies. ``σ'``(g, y) below stands for g·y(1−y), ``tanh'``(g, y) for g·(1−y²).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from lstmcast.net.rules import Frame, Upstream
from lstmcast.net.rules.stepwise import Advance

times_sigmoid_slope = torch.ops.aten.sigmoid_backward.grad_input
times_tanh_slope = torch.ops.aten.tanh_backward.grad_input


@cache
def minus_one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((1, 1), -1.0, dtype=dtype, device=device)


def from_sigmoid_(twice: Tensor, minus: Tensor) -> None:
    """σ(2u) -> tanh u, in place: several times cheaper than ``torch.tanh`` on a CPU, and exact to 1.5e-7."""
    torch.add(minus, twice, alpha=2, out=twice)


def tanh_(u: Tensor, minus: Tensor) -> Tensor:
    u.mul_(2).sigmoid_()
    from_sigmoid_(u, minus)
    return u


def steps(buffer: Tensor, blocks: int) -> list[tuple[Tensor, ...]]:
    """(n, B, blocks·C) -> for each block its n steps (B, C)."""
    return [block.unbind(0) for block in buffer.chunk(blocks, 2)]


def settled() -> None:
    """For rules without parameters."""


class LSTM:
    """c = f⊙c₋ + i⊙g, h = o⊙tanh c."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 2, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        (before,), (after,) = frame.memory, frame.after
        width, minus = before.shape[2], minus_one(before.dtype, before.device)
        gates, (i, f, g, o) = frame.gates.unbind(0), steps(frame.gates, 4)
        c, new, out = before.unbind(0), after.unbind(0), frame.output[..., :width].unbind(0)
        shown = torch.empty_like(before[0])

        def advance(t: int) -> None:
            gates[t].sigmoid_()
            from_sigmoid_(g[t], minus)
            torch.mul(f[t], c[t], out=new[t])
            new[t].addcmul_(i[t], g[t])
            torch.tanh(new[t], out=shown)
            torch.mul(o[t], shown, out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        (dc,), dh = upstream.memory, upstream.output
        d = upstream.gates
        d_c = _through_memory(frame, d)
        first = torch.unflatten(d, 2, (4, -1))[:, :, :3].unbind(0)
        d_o, f, through, wide = d.chunk(4, 2)[3].unbind(0), steps(frame.gates, 4)[1], d_c.unbind(0), dc.unsqueeze(1)

        def retreat(t: int) -> None:
            d_o[t].mul_(dh)
            dc.addcmul_(dh, through[t])
            first[t].mul_(wide)
            dc.mul_(f[t])

        return retreat, settled


def _through_memory(frame: Frame, d: Tensor) -> Tensor:
    """The factors of i, f, g, o in d (n, B, 4C), and ∂h/∂c, for all steps of a frame."""
    (before,), (after,) = frame.memory, frame.after
    i, f, g, o = frame.gates.chunk(4, 2)
    d_i, d_f, d_g, d_o = d.chunk(4, 2)
    shown = torch.tanh(after)
    times_sigmoid_slope(g, i, grad_input=d_i)
    times_sigmoid_slope(before, f, grad_input=d_f)
    times_tanh_slope(i, g, grad_input=d_g)
    times_sigmoid_slope(shown, o, grad_input=d_o)
    through: Tensor = times_tanh_slope(o, shown, grad_input=shown)
    return through


class Peephole:
    """As ``LSTM``, with p_i⊙c₋ and p_f⊙c₋ added to the sums of i and f, and p_o⊙c to that of o. Parameter (3, C)."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 2, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        (before,), (after,), (peepholes,) = frame.memory, frame.after, frame.parameters
        width, minus = before.shape[2], minus_one(before.dtype, before.device)
        blocks = torch.unflatten(frame.gates, 2, (4, -1))
        two, three, (i, f, g, o) = blocks[:, :, :2].unbind(0), blocks[:, :, :3].unbind(0), steps(frame.gates, 4)
        c, wide, new = before.unbind(0), before.unsqueeze(2).unbind(0), after.unbind(0)
        out = frame.output[..., :width].unbind(0)
        old_eyes, new_eye, shown = peepholes[:2].unsqueeze(0), peepholes[2:], torch.empty_like(before[0])

        def advance(t: int) -> None:
            two[t].addcmul_(wide[t], old_eyes)
            three[t].sigmoid_()
            from_sigmoid_(g[t], minus)
            torch.mul(f[t], c[t], out=new[t])
            new[t].addcmul_(i[t], g[t])
            o[t].addcmul_(new[t], new_eye)
            o[t].sigmoid_()
            torch.tanh(new[t], out=shown)
            torch.mul(o[t], shown, out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        (before,), (after,), (peepholes,) = frame.memory, frame.after, frame.parameters
        (dc,), dh, d = upstream.memory, upstream.output, upstream.gates
        through = _through_memory(frame, d).unbind(0)
        first, (d_i, d_f, _, d_o) = torch.unflatten(d, 2, (4, -1))[:, :, :3].unbind(0), steps(d, 4)
        f, wide, (eye_i, eye_f, eye_o) = steps(frame.gates, 4)[1], dc.unsqueeze(1), peepholes.chunk(3)

        def retreat(t: int) -> None:
            d_o[t].mul_(dh)
            dc.addcmul_(dh, through[t])
            dc.addcmul_(d_o[t], eye_o)
            first[t].mul_(wide)
            dc.mul_(f[t])
            dc.addcmul_(d_i[t], eye_i)
            dc.addcmul_(d_f[t], eye_f)

        def settle() -> None:
            blocks = torch.unflatten(d, 2, (4, -1))
            for row, gate, seen in ((0, 0, before), (1, 1, before), (2, 3, after)):
                upstream.parameters[0][row].add_((blocks[:, :, gate] * seen).sum((0, 1)))

        return retreat, settle


class Coupled:
    """c = f⊙c₋ + (1−f)⊙g, h = o⊙tanh c, with the blocks f, g, o."""

    scale: ClassVar[tuple[int, ...]] = (1, 2, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        (before,), (after,) = frame.memory, frame.after
        width, minus = before.shape[2], minus_one(before.dtype, before.device)
        gates, (f, g, o) = frame.gates.unbind(0), steps(frame.gates, 3)
        c, new, out = before.unbind(0), after.unbind(0), frame.output[..., :width].unbind(0)
        shown = torch.empty_like(before[0])

        def advance(t: int) -> None:
            gates[t].sigmoid_()
            from_sigmoid_(g[t], minus)
            torch.lerp(g[t], c[t], f[t], out=new[t])
            torch.tanh(new[t], out=shown)
            torch.mul(o[t], shown, out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        (before,), (after,) = frame.memory, frame.after
        (dc,), dh, d = upstream.memory, upstream.output, upstream.gates
        (f, g, o), (d_f, d_g, d_o) = frame.gates.chunk(3, 2), d.chunk(3, 2)
        shown = torch.tanh(after)
        times_sigmoid_slope(before - g, f, grad_input=d_f)
        times_tanh_slope(1 - f, g, grad_input=d_g)
        times_sigmoid_slope(shown, o, grad_input=d_o)
        through = times_tanh_slope(o, shown, grad_input=shown).unbind(0)
        first, to_o, keep, wide = (
            torch.unflatten(d, 2, (3, -1))[:, :, :2].unbind(0),
            d_o.unbind(0),
            f.unbind(0),
            dc[:, None],
        )

        def retreat(t: int) -> None:
            to_o[t].mul_(dh)
            dc.addcmul_(dh, through[t])
            first[t].mul_(wide)
            dc.mul_(keep[t])

        return retreat, settled


class Highway:
    """As ``LSTM`` with a fifth gate: y = o⊙tanh c, h = T⊙y + (1−T)⊙h₋."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 2, 1, 1)
    direct: ClassVar[bool] = True
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        (before,), (after,) = frame.memory, frame.after
        width, minus = before.shape[2], minus_one(before.dtype, before.device)
        gates, (i, f, g, o, gate) = frame.gates.unbind(0), steps(frame.gates, 5)
        c, new = before.unbind(0), after.unbind(0)
        h, out = frame.h[..., :width].unbind(0), frame.output[..., :width].unbind(0)
        shown = torch.empty_like(before[0])

        def advance(t: int) -> None:
            gates[t].sigmoid_()
            from_sigmoid_(g[t], minus)
            torch.mul(f[t], c[t], out=new[t])
            new[t].addcmul_(i[t], g[t])
            torch.tanh(new[t], out=shown)
            shown.mul_(o[t])
            torch.lerp(h[t], shown, gate[t], out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        (before,), (after,) = frame.memory, frame.after
        (dc,), dh, d = upstream.memory, upstream.output, upstream.gates
        (i, f, g, o, gate), (d_i, d_f, d_g, d_o, d_gate) = frame.gates.chunk(5, 2), d.chunk(5, 2)
        shown = torch.tanh(after)
        times_sigmoid_slope(g, i, grad_input=d_i)
        times_sigmoid_slope(before, f, grad_input=d_f)
        times_tanh_slope(i, g, grad_input=d_g)
        times_sigmoid_slope(shown * gate, o, grad_input=d_o)
        times_sigmoid_slope(o * shown - frame.h[..., : before.shape[2]], gate, grad_input=d_gate)
        through = times_tanh_slope(o * gate, shown, grad_input=shown).unbind(0)
        blocks = torch.unflatten(d, 2, (5, -1))
        first, last = blocks[:, :, :3].unbind(0), blocks[:, :, 3:].unbind(0)
        keep, gates, wide_c, wide_h = f.unbind(0), gate.unbind(0), dc.unsqueeze(1), dh.unsqueeze(1)

        def retreat(t: int) -> None:
            last[t].mul_(wide_h)
            dc.addcmul_(dh, through[t])
            first[t].mul_(wide_c)
            dc.mul_(keep[t])
            torch.addcmul(dh, dh, gates[t], value=-1, out=upstream.h)

        return retreat, settled
