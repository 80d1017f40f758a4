"""Compiled pointwise rules of the cells that keep their memory in bounds. Letters as in ``kernels``; ``N`` and ``M``
are the normaliser and the stabiliser before a step, ``A`` the summands added, ``S`` what the forward half keeps."""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np

from lstmcast.net.rules.kernels import (
    EPSILON,
    ONE,
    add_product,
    compiled,
    forget,
    part,
    remember,
    scale_by,
    sigmoid_all,
    tanh,
    tanh_all,
    unshow,
)

ZERO = np.float32(0)


@compiled
def slstm_forward(G, C, N, M, K, L, Q, S, Y, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r, c, n, m, closed = G[t, b], C[t, b], N[t, b], M[t, b], S[t, b]
        k, n_new, m_new, y = K[t, b], L[t, b], Q[t, b], Y[t, b]
        i, f, z, o = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
        tanh_all(z)
        sigmoid_all(o)
        for j in range(w):
            u = f[j]
            small = np.exp(-abs(u))
            closed[j] = (ONE if u < ZERO else small) / (ONE + small)
            reach = (u if u < ZERO else ZERO) - np.log(ONE + small) + m[j]
            top = reach if reach > i[j] else i[j]
            m_new[j] = top
            f[j] = np.exp(reach - top)
            i[j] = np.exp(i[j] - top)
        remember(i, f, z, c, k)
        for j in range(w):
            n_new[j] = f[j] * n[j] + i[j]
        for j in range(w):
            y[j] = o[j] * k[j] / (n_new[j] if n_new[j] > ONE else ONE)


@compiled
def slstm_backward(G, C, N, K, L, S, dH, dC, dN, dM, D, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r, e, d, q, p, s = G[t, b], D[t, b], dH[b], dC[b], dN[b], dM[b]
        c, n, k, n_new, closed = C[t, b], N[t, b], K[t, b], L[t, b], S[t, b]
        i, f, z, o = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
        d_i, d_f, d_z, d_o = e[:w], e[w : 2 * w], e[2 * w : 3 * w], e[3 * w :]
        for j in range(w):
            over = ONE / (n_new[j] if n_new[j] > ONE else ONE)
            y = k[j] * over
            d_o[j] = d[j] * y * o[j] * (ONE - o[j])
            q[j] += d[j] * o[j] * over
            p[j] -= d[j] * o[j] * y * over if n_new[j] >= ONE else ZERO
        for j in range(w):
            s[j] -= q[j] * k[j] + p[j] * n_new[j]
        for j in range(w):
            d_z[j] = q[j] * i[j] * (ONE - z[j] * z[j])
        for j in range(w):
            reaches = f[j] > i[j]
            d_i[j] = (q[j] * z[j] + p[j]) * i[j] + (ZERO if reaches else s[j])
            s[j] = (q[j] * c[j] + p[j] * n[j]) * f[j] + (s[j] if reaches else ZERO)
        for j in range(w):
            d_f[j] = s[j] * closed[j]
        scale_by(q, f)
        scale_by(p, f)


@part
def standardise(x, out):
    """x into out with mean 0 and deviation 1; the reciprocal deviation is returned."""
    total = ZERO
    for j in range(x.size):
        total += x[j]
    mean = total / np.float32(x.size)
    total = ZERO
    for j in range(x.size):
        total += (x[j] - mean) * (x[j] - mean)
    inverse = ONE / np.sqrt(total / np.float32(x.size) + EPSILON)
    for j in range(x.size):
        out[j] = (x[j] - mean) * inverse
    return inverse


@part
def unstandardise(v, normal, inverse, out):
    """Back through ``standardise``."""
    total, slope = ZERO, ZERO
    for j in range(v.size):
        total += v[j]
        slope += v[j] * normal[j]
    mean, slope = total / np.float32(v.size), slope / np.float32(v.size)
    for j in range(v.size):
        out[j] = inverse * (v[j] - mean - normal[j] * slope)


@compiled
def layernorm_forward(G, A, C, K, Y, X, Z, S, gain, gain_c, bias_c, t):
    w = C.shape[2]
    for b in range(G.shape[1]):
        r, a, x, z, s, k, y = G[t, b], A[t, b], X[t, b], Z[t, b], S[t, b], K[t, b], Y[t, b]
        for gate in range(4):
            s[gate] = standardise(r[gate * w : (gate + 1) * w], x[gate * w : (gate + 1) * w])
        for j in range(4 * w):
            r[j] = a[j] + gain[j] * x[j]
        sigmoid_all(r[: 2 * w])
        tanh_all(r[2 * w : 3 * w])
        sigmoid_all(r[3 * w :])
        remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], k)
        s[4] = standardise(k, z)
        o = r[3 * w :]
        for j in range(w):
            y[j] = o[j] * tanh(gain_c[j] * z[j] + bias_c[j])


@compiled
def layernorm_backward(G, C, X, Z, S, dH, dC, D, E, gain, gain_c, bias_c, d_gain, d_gain_c, d_bias_c, t):
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    inner = np.empty(w, np.float32)
    slope = np.empty(w, np.float32)
    for b in range(G.shape[1]):
        r, e, u, x, z, s, q = G[t, b], E[t, b], D[t, b], X[t, b], Z[t, b], S[t, b], dC[b]
        for j in range(w):
            inner[j] = gain_c[j] * z[j] + bias_c[j]
            slope[j] = ZERO
        unshow(dH[b], r[3 * w :], inner, slope, e[3 * w :], shown)
        add_product(d_gain_c, slope, z)
        for j in range(w):
            d_bias_c[j] += slope[j]
        scale_by(slope, gain_c)
        unstandardise(slope, z, s[4], inner)
        for j in range(w):
            q[j] += inner[j]
        forget(q, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
        scale_by(q, r[w : 2 * w])
        add_product(d_gain, e, x)
        for j in range(4 * w):
            u[j] = e[j] * gain[j]
        for gate in range(4):
            part = slice(gate * w, (gate + 1) * w)
            unstandardise(u[part], x[part], s[gate], u[part])
