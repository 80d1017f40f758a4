"""Pointwise rules compiled by numba: what one step does to all lanes, in single precision.

Every loop runs along the units of one lane and touches few arrays, so that it becomes vector instructions. ``G`` holds
the gates (n, B, N), ``C``/``K`` the memory before and after, ``H``/``Y`` the output before and after (in the first
columns), ``D`` the gradients of the sums. Files of numba are kept beside this one: a kernel is compiled once.
"""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

HALF, ONE, LIMIT = np.float32(0.5), np.float32(1), np.float32(7.9053111)
EPSILON = np.float32(1e-5)
ROUNDING = {"contract", "reassoc", "arcp", "nsz"}  # faster sums, but what is not a number stays visible


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` in machine code, once it is called."""
    wrap = numba.njit(cache=True, fastmath=ROUNDING, error_model="numpy", nogil=True)
    return cast("Callable[..., Any]", wrap(function))


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as a part of the kernels that call it: a call per lane would cost as much as its loop."""
    wrap = numba.njit(inline="always", fastmath=ROUNDING, error_model="numpy", nogil=True)
    return cast("Callable[..., Any]", wrap(function))


# Numerator x·P(x²) and denominator Q(x²) of a rational tanh, good to a few units in the last place of float32.
P0, P1, P2, P3 = (
    np.float32(v) for v in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08)
)
P4, P5, P6 = (np.float32(v) for v in (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
Q0, Q1, Q2, Q3 = (
    np.float32(v) for v in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)


@part
def tanh(x):
    x = LIMIT if x > LIMIT else x
    x = -LIMIT if x < -LIMIT else x
    s = x * x
    above = x * (P0 + s * (P1 + s * (P2 + s * (P3 + s * (P4 + s * (P5 + s * P6))))))
    return above / (Q0 + s * (Q1 + s * (Q2 + s * Q3)))


@part
def sigmoid(x):
    return HALF + HALF * tanh(HALF * x)


@part
def sigmoid_all(u):
    for j in range(u.size):
        u[j] = sigmoid(u[j])


@part
def tanh_all(u):
    for j in range(u.size):
        u[j] = tanh(u[j])


@part
def remember(i, f, g, c, k):
    for j in range(c.size):
        k[j] = f[j] * c[j] + i[j] * g[j]


@part
def show(o, k, y):
    for j in range(k.size):
        y[j] = o[j] * tanh(k[j])


@part
def unshow(d, o, k, q, d_o, shown):
    """Back through y = o·tanh k: adds to q, writes d_o and tanh k."""
    for j in range(k.size):
        shown[j] = tanh(k[j])
    for j in range(k.size):
        d_o[j] = d[j] * shown[j] * o[j] * (ONE - o[j])
    for j in range(k.size):
        q[j] += d[j] * o[j] * (ONE - shown[j] * shown[j])


@part
def forget(q, i, f, g, c, d_i, d_f, d_g):
    """Back through k = f·c + i·g, but for q·f."""
    for j in range(c.size):
        d_i[j] = q[j] * g[j] * i[j] * (ONE - i[j])
    for j in range(c.size):
        d_f[j] = q[j] * c[j] * f[j] * (ONE - f[j])
    for j in range(c.size):
        d_g[j] = q[j] * i[j] * (ONE - g[j] * g[j])


@part
def scale_by(q, f):
    for j in range(q.size):
        q[j] *= f[j]


@compiled
def lstm_forward(G, C, K, Y, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r = G[t, b]
        sigmoid_all(r[: 2 * w])
        tanh_all(r[2 * w : 3 * w])
        sigmoid_all(r[3 * w :])
        remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], K[t, b])
        show(r[3 * w :], K[t, b], Y[t, b])


@compiled
def lstm_backward(G, C, K, dH, dC, D, t):
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for b in range(G.shape[1]):
        r, e, q = G[t, b], D[t, b], dC[b]
        unshow(dH[b], r[3 * w :], K[t, b], q, e[3 * w :], shown)
        forget(q, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
        scale_by(q, r[w : 2 * w])


@part
def look(u, p, c):
    for j in range(c.size):
        u[j] = sigmoid(u[j] + p[j] * c[j])


@part
def add_product(q, d, p):
    for j in range(q.size):
        q[j] += d[j] * p[j]


@compiled
def peephole_forward(G, C, K, Y, P, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r = G[t, b]
        look(r[:w], P[0], C[t, b])
        look(r[w : 2 * w], P[1], C[t, b])
        tanh_all(r[2 * w : 3 * w])
        remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], K[t, b])
        look(r[3 * w :], P[2], K[t, b])
        show(r[3 * w :], K[t, b], Y[t, b])


@compiled
def peephole_backward(G, C, K, dH, dC, D, P, dP, t):
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for b in range(G.shape[1]):
        r, e, q = G[t, b], D[t, b], dC[b]
        unshow(dH[b], r[3 * w :], K[t, b], q, e[3 * w :], shown)
        add_product(q, e[3 * w :], P[2])
        forget(q, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
        scale_by(q, r[w : 2 * w])
        add_product(q, e[:w], P[0])
        add_product(q, e[w : 2 * w], P[1])
        add_product(dP[0], e[:w], C[t, b])
        add_product(dP[1], e[w : 2 * w], C[t, b])
        add_product(dP[2], e[3 * w :], K[t, b])


@compiled
def coupled_forward(G, C, K, Y, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r, c, k = G[t, b], C[t, b], K[t, b]
        f, g, o = r[:w], r[w : 2 * w], r[2 * w :]
        sigmoid_all(f)
        tanh_all(g)
        sigmoid_all(o)
        for j in range(w):
            k[j] = g[j] + f[j] * (c[j] - g[j])
        show(o, k, Y[t, b])


@compiled
def coupled_backward(G, C, K, dH, dC, D, t):
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for b in range(G.shape[1]):
        r, e, q, c = G[t, b], D[t, b], dC[b], C[t, b]
        f, g, d_f, d_g = r[:w], r[w : 2 * w], e[:w], e[w : 2 * w]
        unshow(dH[b], r[2 * w :], K[t, b], q, e[2 * w :], shown)
        for j in range(w):
            d_f[j] = q[j] * (c[j] - g[j]) * f[j] * (ONE - f[j])
        for j in range(w):
            d_g[j] = q[j] * (ONE - f[j]) * (ONE - g[j] * g[j])
        scale_by(q, f)


@compiled
def highway_forward(G, C, K, H, Y, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r, k, h, y = G[t, b], K[t, b], H[t, b], Y[t, b]
        o, gate = r[3 * w : 4 * w], r[4 * w :]
        sigmoid_all(r[: 2 * w])
        tanh_all(r[2 * w : 3 * w])
        sigmoid_all(r[3 * w :])
        remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], k)
        for j in range(w):
            y[j] = h[j] + gate[j] * (o[j] * tanh(k[j]) - h[j])


@compiled
def highway_backward(G, C, K, H, dH, dC, D, back, t):
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    inner = np.empty(w, np.float32)
    for b in range(G.shape[1]):
        r, e, q, d, h, to_h = G[t, b], D[t, b], dC[b], dH[b], H[t, b], back[b]
        o, gate, d_gate = r[3 * w : 4 * w], r[4 * w :], e[4 * w :]
        for j in range(w):
            inner[j] = d[j] * gate[j]
        unshow(inner, o, K[t, b], q, e[3 * w : 4 * w], shown)
        for j in range(w):
            d_gate[j] = d[j] * (o[j] * shown[j] - h[j]) * gate[j] * (ONE - gate[j])
        for j in range(w):
            to_h[j] = d[j] - inner[j]
        forget(q, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
        scale_by(q, r[w : 2 * w])


@compiled
def rnn_forward(G, Y, t):
    for b in range(G.shape[1]):
        r, y = G[t, b], Y[t, b]
        tanh_all(r)
        for j in range(r.size):
            y[j] = r[j]


@compiled
def rnn_backward(G, dH, D, t):
    for b in range(G.shape[1]):
        r, e, d = G[t, b], D[t, b], dH[b]
        for j in range(r.size):
            e[j] = d[j] * (ONE - r[j] * r[j])


@compiled
def gru_forward(G, H, Y, t):
    w = G.shape[2] // 4
    for b in range(G.shape[1]):
        r, h, y = G[t, b], H[t, b], Y[t, b]
        reset, z, n, inner = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
        sigmoid_all(r[: 2 * w])
        for j in range(w):
            n[j] = tanh(n[j] + reset[j] * inner[j])
        for j in range(w):
            y[j] = n[j] + z[j] * (h[j] - n[j])


@compiled
def gru_backward(G, H, dH, D, back, t):
    w = G.shape[2] // 4
    for b in range(G.shape[1]):
        g, e, d, h, to_h = G[t, b], D[t, b], dH[b], H[t, b], back[b]
        r, z, n, inner = g[:w], g[w : 2 * w], g[2 * w : 3 * w], g[3 * w :]
        d_r, d_z, d_n, d_inner = e[:w], e[w : 2 * w], e[2 * w : 3 * w], e[3 * w :]
        for j in range(w):
            d_z[j] = d[j] * (h[j] - n[j]) * z[j] * (ONE - z[j])
        for j in range(w):
            d_n[j] = d[j] * (ONE - z[j]) * (ONE - n[j] * n[j])
        for j in range(w):
            d_inner[j] = d_n[j] * r[j]
        for j in range(w):
            d_r[j] = d_n[j] * inner[j] * r[j] * (ONE - r[j])
        for j in range(w):
            to_h[j] = d[j] * z[j]
