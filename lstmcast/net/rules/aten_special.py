"""Pointwise rules in torch's operations: cells without a memory of their own, and those that keep it in bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from lstmcast.net.rules import Frame, Rule, Upstream
from lstmcast.net.rules.aten import (
    LSTM,
    Coupled,
    Highway,
    Peephole,
    from_sigmoid_,
    minus_one,
    settled,
    steps,
    times_sigmoid_slope,
    times_tanh_slope,
)
from lstmcast.net.rules.stepwise import Advance, Steps, Stepwise

EPSILON = 1e-5
"""Under the root of a variance, as in ``torch.nn.LayerNorm``."""


class RNN:
    """h = tanh of the sums."""

    scale: ClassVar[tuple[int, ...]] = (2,)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        minus = minus_one(frame.gates.dtype, frame.gates.device)
        sums, out = frame.gates.unbind(0), frame.output[..., : frame.gates.shape[2]].unbind(0)

        def advance(t: int) -> None:
            sums[t].sigmoid_()
            from_sigmoid_(sums[t], minus)
            out[t].copy_(sums[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        torch.mul(frame.gates, frame.gates, out=upstream.gates)
        torch.sub(1, upstream.gates, out=upstream.gates)
        d = upstream.gates.unbind(0)

        def retreat(t: int) -> None:
            d[t].mul_(upstream.output)

        return retreat, settled


class GRU:
    """n = tanh(x_n + r⊙h_n), h = (1−z)⊙n + z⊙h₋, with the blocks r, z, x_n (inputs only), h_n (h₋ only)."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 2, 2)
    direct: ClassVar[bool] = True
    stash: ClassVar[tuple[tuple[int, int], ...]] = ()

    def forward(self, frame: Frame) -> Advance:
        width = frame.gates.shape[2] // 4
        minus = minus_one(frame.gates.dtype, frame.gates.device)
        both, (r, z, n, h_n) = frame.gates[..., : 2 * width].unbind(0), steps(frame.gates, 4)
        h, out = frame.h[..., :width].unbind(0), frame.output[..., :width].unbind(0)

        def advance(t: int) -> None:
            both[t].sigmoid_()
            n[t].addcmul_(r[t], h_n[t])
            n[t].sigmoid_()
            from_sigmoid_(n[t], minus)
            torch.lerp(n[t], h[t], z[t], out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        d, dh = upstream.gates, upstream.output
        (r, z, n, h_n), (d_r, d_z, d_n, d_h) = frame.gates.chunk(4, 2), d.chunk(4, 2)
        times_sigmoid_slope(frame.h[..., : z.shape[2]] - n, z, grad_input=d_z)
        times_tanh_slope(1 - z, n, grad_input=d_n)
        torch.mul(d_n, r, out=d_h)
        times_sigmoid_slope(d_n * h_n * 0.5, r, grad_input=d_r)  # h_n holds twice the sum
        every, keep, wide = torch.unflatten(d, 2, (4, -1)).unbind(0), z.unbind(0), dh.unsqueeze(1)

        def retreat(t: int) -> None:
            every[t].mul_(wide)
            torch.mul(dh, keep[t], out=upstream.h)

        return retreat, settled


class SLSTM:
    """m = max(log σ(f̃) + m₋, ĩ), i' = exp(ĩ−m), f' = exp(log σ(f̃) + m₋ − m), c = f'c₋ + i'tanh z̃, n = f'n₋ + i',
    h = σ(õ)⊙c/n; every lane and unit decides for itself. Kept from the forward half: 1 − σ(f̃)."""

    scale: ClassVar[tuple[int, ...]] = (1, 1, 2, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ((1, 0),)

    def forward(self, frame: Frame) -> Advance:
        width, minus = frame.memory[0].shape[2], minus_one(frame.gates.dtype, frame.gates.device)
        last_two, (i, f, z, o) = frame.gates[..., 2 * width :].unbind(0), steps(frame.gates, 4)
        c, n, m = (part.unbind(0) for part in frame.memory)
        new_c, new_n, new_m = (part.unbind(0) for part in frame.after)
        out, closed = frame.output[..., :width].unbind(0), frame.stash[0].unbind(0)
        divisor = torch.empty_like(frame.memory[0][0])

        def advance(t: int) -> None:
            torch.neg(f[t], out=closed[t])
            closed[t].sigmoid_()
            reach = F.logsigmoid(f[t]).add_(m[t])
            torch.maximum(reach, i[t], out=new_m[t])
            i[t].sub_(new_m[t]).exp_()
            torch.sub(reach, new_m[t], out=f[t])
            f[t].exp_()
            last_two[t].sigmoid_()
            from_sigmoid_(z[t], minus)
            torch.mul(f[t], c[t], out=new_c[t])
            new_c[t].addcmul_(i[t], z[t])
            torch.addcmul(i[t], f[t], n[t], out=new_n[t])
            torch.clamp(new_n[t], min=1, out=divisor)
            torch.div(new_c[t], divisor, out=divisor)
            torch.mul(o[t], divisor, out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        d, dh = upstream.gates, upstream.output
        dc, dn, dm = upstream.memory
        (before_c, before_n, _), (after_c, after_n, _) = frame.memory, frame.after
        (i, f, z, o), (d_i, d_f, d_z, d_o) = frame.gates.chunk(4, 2), d.chunk(4, 2)
        divisor = after_n.clamp(min=1)
        y = after_c / divisor
        times_sigmoid_slope(y, o, grad_input=d_o)
        times_tanh_slope(i, z, grad_input=d_z)
        to_c = (o / divisor).unbind(0)
        to_n = torch.where(after_n < 1, 0.0, o * y / divisor).unbind(0)
        reaches = (f > i).to(d.dtype)  # the stabiliser is the old memory's; there f' = 1
        rows = zip(*(part.unbind(0) for part in (i, f, z, d_i, d_f, d_z, d_o, reaches, frame.stash[0],
                                                 before_c, before_n, after_c, after_n)), strict=True)  # fmt: skip
        taken = list(rows)

        def retreat(t: int) -> None:
            i, f, z, d_i, d_f, d_z, d_o, reaches, closed, old_c, old_n, c, n = taken[t]
            d_o.mul_(dh)
            dc.addcmul_(dh, to_c[t])
            dn.addcmul_(dh, to_n[t], value=-1)
            dm.addcmul_(dc, c, value=-1).addcmul_(dn, n, value=-1)
            torch.addcmul(dn, dc, z, out=d_i)
            d_i.mul_(i)
            d_z.mul_(dc)
            d_f.copy_(dn).mul_(old_n).addcmul_(dc, old_c).mul_(f)
            d_i.add_(dm)
            dm.mul_(reaches)
            d_i.sub_(dm)
            dm.add_(d_f)
            torch.mul(dm, closed, out=d_f)
            dc.mul_(f)
            dn.mul_(f)

        return retreat, settled


standardise = torch.ops.aten.native_layer_norm.out
unstandardise = torch.ops.aten.native_layer_norm_backward


def _slope(v: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, gain: Tensor | None = None) -> Tensor:
    """The gradient v of a standardised x (…, C), taken back to x."""
    slope: Tensor = unstandardise(v, x, [x.shape[-1]], mean, inverse, gain, None, [True, False, False])[0]
    return slope


class LayerNorm:
    """u = γ⊙LN(sums) + γ_a⊙LN(added) + β per gate, then as ``LSTM`` but h = o⊙tanh(γ_c⊙LN(c) + β_c).

    The sums have no mean, as their weights are centred. Parameters γ, γ_a, β (4C,), γ_c and β_c (C,). Kept for the way
    back: LN(sums) and its reciprocal deviations, mean and reciprocal deviation of c.
    """

    scale: ClassVar[tuple[int, ...]] = (1, 1, 1, 1)
    direct: ClassVar[bool] = False
    stash: ClassVar[tuple[tuple[int, int], ...]] = ((4, 0), (0, 4), (0, 1), (0, 1))

    def forward(self, frame: Frame) -> Advance:
        (before,), (after,), (gain, gain_a, bias, gain_c, bias_c) = frame.memory, frame.after, frame.parameters
        width, minus = before.shape[2], minus_one(before.dtype, before.device)
        twice = torch.cat([gain.new_ones(2, width), gain.new_full((1, width), 2), gain.new_ones(1, width)]).flatten()
        extra = torch.addcmul(bias, _apart(frame)[0].flatten(2), gain_a).mul_(twice).unbind(0)
        gain, shape = gain * twice, [width]
        gates, blocks, (i, f, g, o) = frame.gates.unbind(0), _by_gate(frame.gates).unbind(0), steps(frame.gates, 4)
        c, new, out = before.unbind(0), after.unbind(0), frame.output[..., :width].unbind(0)
        normals, normal_blocks = frame.stash[0].unbind(0), _by_gate(frame.stash[0]).unbind(0)
        inverses, means, inverses_c = (part.unbind(0) for part in (frame.stash[1].unsqueeze(3), *frame.stash[2:]))
        shown, epsilon = torch.empty_like(before[0]), gain.new_full((1, 1, 1), EPSILON)

        def advance(t: int) -> None:
            size = torch.linalg.vector_norm(blocks[t], dim=2, keepdim=True)
            torch.addcmul(epsilon, size, size, value=1 / width, out=inverses[t]).rsqrt_()
            torch.mul(blocks[t], inverses[t], out=normal_blocks[t])
            torch.addcmul(extra[t], normals[t], gain, out=gates[t])
            gates[t].sigmoid_()
            from_sigmoid_(g[t], minus)
            torch.mul(f[t], c[t], out=new[t])
            new[t].addcmul_(i[t], g[t])
            standardise(new[t], shape, gain_c, bias_c, EPSILON, out0=shown, out1=means[t], out2=inverses_c[t])
            shown.tanh_()
            torch.mul(o[t], shown, out=out[t])

        return advance

    def backward(self, frame: Frame, upstream: Upstream) -> tuple[Advance, Callable[[], None]]:
        (before,), (after,), (gain, gain_a, _, gain_c, bias_c) = frame.memory, frame.after, frame.parameters
        (dc,), dh, d = upstream.memory, upstream.output, torch.empty_like(frame.gates)
        normal, inverses, means, inverses_c = frame.stash
        (i, f, g, o), (d_i, d_f, d_g, d_o) = frame.gates.chunk(4, 2), d.chunk(4, 2)
        normal_c = (after - means) * inverses_c
        shown = torch.addcmul(bias_c, normal_c, gain_c).tanh_()
        times_sigmoid_slope(g, i, grad_input=d_i)
        times_sigmoid_slope(before, f, grad_input=d_f)
        times_tanh_slope(i, g, grad_input=d_g)
        times_sigmoid_slope(shown, o, grad_input=d_o)
        through = times_tanh_slope(o, shown, grad_input=shown)
        slopes, first = through.unbind(0), torch.unflatten(d, 2, (4, -1))[:, :, :3].unbind(0)
        to_o, keep, wide = d_o.unbind(0), f.unbind(0), dc.unsqueeze(1)
        normals, cells, out = _by_gate(normal).unbind(0), after.unbind(0), _by_gate(upstream.gates).unbind(0)
        spread, mean_c, spread_c = inverses.unsqueeze(3).unbind(0), means.unbind(0), inverses_c.unbind(0)
        width, gain = dc.shape[1], torch.unflatten(gain, 0, (4, -1))
        blocks, inner, tilted = _by_gate(d).unbind(0), torch.empty_like(normals[0]), torch.empty_like(normals[0])

        def retreat(t: int) -> None:
            to_o[t].mul_(dh)
            slopes[t].mul_(dh)
            dc.add_(_slope(slopes[t], cells[t], mean_c[t], spread_c[t], gain_c))
            first[t].mul_(wide)
            dc.mul_(keep[t])
            torch.mul(blocks[t], gain, out=inner)
            torch.mul(inner, normals[t], out=tilted)
            tilt = tilted.sum(2, keepdim=True)
            torch.addcmul(inner, normals[t], tilt, value=-1 / width, out=tilted)
            torch.mul(tilted, spread[t], out=out[t])

        def settle() -> None:
            normal_a, inverse_a = _apart(frame)
            sums = (d * normal, d * normal_a.flatten(2), d, through * normal_c, through)
            for total, share in zip(upstream.parameters, sums, strict=True):
                total.add_(share.sum((0, 1)))
            if upstream.added is not None:
                v = _by_gate(d * gain_a)
                tilt = (v * normal_a).mean(3, keepdim=True)
                torch.mul(torch.addcmul(v, normal_a, tilt, value=-1), inverse_a, out=_by_gate(upstream.added))

        return retreat, settle


def _by_gate(buffer: Tensor) -> Tensor:
    return torch.unflatten(buffer, 2, (4, -1))


def _apart(frame: Frame) -> tuple[Tensor, Tensor]:
    """The inputs' sums of all steps gate by gate, standardised, and their reciprocal deviations."""
    added = _by_gate(frame.gates if frame.x is None else frame.x @ cast(Tensor, frame.arriving))
    size = torch.linalg.vector_norm(added, dim=3, keepdim=True)
    inverse = (size.square_() / added.shape[3] + EPSILON).rsqrt_()
    return added * inverse, inverse


STEPS: dict[str, Steps] = {
    "lstm": LSTM(),
    "peephole": Peephole(),
    "coupled": Coupled(),
    "highway": Highway(),
    "rnn": RNN(),
    "gru": GRU(),
    "slstm": SLSTM(),
    "layernorm": LayerNorm(),
}
RULES: dict[str, Rule] = {name: Stepwise(steps) for name, steps in STEPS.items()}
