"""Between two steps, compiled by numba: reading and multiplying h, projecting it, keeping some of it, and all of that
backwards. ``p`` is an ``Outward``, ``q`` a ``Homeward``; what a cell does without is empty there."""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

ROUNDING = {"contract", "reassoc", "arcp", "nsz"}  # faster sums, but what is not a number stays visible


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` in machine code, once it is called."""
    wrap = numba.njit(cache=True, fastmath=ROUNDING, error_model="numpy", nogil=True)
    return cast("Callable[..., Any]", wrap(function))


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as a part of the kernels that call it: a call per lane would cost as much as its loop."""
    wrap = numba.njit(inline="always", fastmath=ROUNDING, error_model="numpy", nogil=True)
    return cast("Callable[..., Any]", wrap(function))


@part
def blend(share, new, old, result):
    for j in range(share.size):
        result[j] = new[j] + share[j] * (old[j] - new[j])


@part
def divide(whole, share, carried, rest):
    for j in range(share.size):
        carried[j] = whole[j] * share[j]
    for j in range(share.size):
        rest[j] = whole[j] - carried[j]


@compiled
def arrive(p, sums, t):
    """Step t's sums: h is read, masked, modulated or crossed with x where the cell does so, and multiplied."""
    if p.mask.size:
        target = p.read[t] if p.read.size else p.rows[t]
        for b in range(p.mask.shape[0]):
            for j in range(p.mask.shape[1]):
                target[b, j] = p.h[t, b, j] * p.mask[b, j]
    if p.modulating.size:
        np.dot(p.read[t] if p.read.size else p.h[t], p.modulating, p.product[t])
        for b in range(p.product.shape[1]):
            for j in range(p.product.shape[2]):
                p.rows[t, b, j] = p.product[t, b, j] * p.modulator[t, b, j]
    if p.x.size:
        width = p.x.shape[2]
        for b in range(p.x.shape[1]):
            for j in range(width):
                p.rows[t, b, width + j] = p.rows[t, b, j] * p.x[t, b, j]
    np.dot(p.rows[t], p.weight, sums[t])


@compiled
def depart(p, output, t):
    """After the rule of step t: h is projected, and some of the state before stays."""
    if p.projection.size:
        np.dot(output[t], p.projection, p.narrow)
        target = p.fresh[0][t] if p.keep[0].size else p.after[0][t]
        for b in range(p.narrow.shape[0]):
            for j in range(p.narrow.shape[1]):
                target[b, j] = p.narrow[b, j]
    for s in range(len(p.keep)):
        share, fresh, before, after = p.keep[s], p.fresh[s], p.before[s], p.after[s]
        if share.size:
            for b in range(share.shape[1]):
                blend(share[t, b], fresh[t, b], before[t, b], after[t, b])


@compiled
def enter(q, t):
    """Before the rule goes back over step t: what zoneout kept is set aside, h's projection is undone."""
    for s in range(len(q.keep)):
        share, whole, carried = q.keep[s], q.whole[s], q.carried[s]
        if share.size:
            rest = q.new if s == 0 else whole
            for b in range(share.shape[1]):
                divide(whole[b], share[t, b], carried[b], rest[b])
    if q.projection.size:
        q.projected[t] = q.new
        np.dot(q.new, q.projection, q.inner)


@compiled
def leave(q, sums, t):
    """After it: on to the gradient of the state before step t."""
    whole = q.whole[0]
    width = whole.shape[1]
    straight = not (q.x.size or q.mask.size)
    target = whole if straight and not q.modulating.size else q.read
    np.dot(sums[t], q.weight, target)
    if q.modulating.size:
        for b in range(whole.shape[0]):
            for j in range(width):
                q.d_modulator[t, b, j] = q.read[b, j] * q.product[t, b, j]
                q.modulated[t, b, j] = q.read[b, j] * q.modulator[t, b, j]
        np.dot(q.modulated[t], q.modulating, whole if straight else q.read)
    if q.x.size:
        for b in range(whole.shape[0]):
            for j in range(width):
                crossed = q.read[b, width + j]
                q.d_x[t, b, j] = crossed * q.rows[t, b, j]
                q.read[b, j] += crossed * q.x[t, b, j]
    if q.mask.size:
        for b in range(whole.shape[0]):
            for j in range(width):
                q.read[b, j] *= q.mask[b, j]
    if not straight:
        whole[:] = q.read[:, :width]
    if q.direct.size:
        add(whole, q.direct)
    for s in range(len(q.whole)):
        if q.keep[s].size:
            add(q.whole[s], q.carried[s])
        if q.above[s].size:
            add(q.whole[s], q.above[s][t])


@part
def add(total, further):
    for b in range(total.shape[0]):
        one, other = total[b], further[b]
        for j in range(one.size):
            one[j] += other[j]
