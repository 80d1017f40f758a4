"""Compiled rules of the cells that keep their memory in bounds. Letters as in ``kernels``; ``n`` and ``m`` are the
normaliser and the stabiliser before a step, ``a`` the sums of the inputs, ``s`` what is kept for the way back."""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np

from lstmcast.net.rules.between import arrive, compiled, depart, enter, leave, part
from lstmcast.net.rules.lane import (
    EPSILON,
    HALF,
    ONE,
    ZERO,
    forget,
    remember,
    scale_by,
    sigmoid_all,
    tanh,
    tanh_all,
    unshow,
)

LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
SMALLEST, BIAS, MANTISSA = np.float32(-87.0), np.int32(127), np.int32(23)
# e^r for |r| ≤ ln 2 / 2, and 2·artanh z / z − 2 over z² for log(1 + s) with z = s / (2 + s) ≤ 1/3
E2, E3, E4, E5, E6, E7 = (
    np.float32(v)
    for v in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
L1, L2, L3, L4, L5, L6 = (np.float32(2 / v) for v in (3, 5, 7, 9, 11, 13))


@part
def exp_all(x, bits, powers):
    """e^x in place for x ≤ 0, where e^−87 stands for all that is smaller. ``bits`` and ``powers`` share memory."""
    for j in range(x.size):
        x[j] = SMALLEST if x[j] < SMALLEST else x[j]
    for j in range(x.size):
        bits[j] = (np.int32(x[j] * LOG2_E - HALF) + BIAS) << MANTISSA
    for j in range(x.size):
        whole = np.float32((bits[j] >> MANTISSA) - BIAS)
        r = x[j] - whole * LN2_HIGH - whole * LN2_LOW
        x[j] = (ONE + r + r * r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * E7)))))) * powers[j]


@part
def log1p(s):
    """log(1 + s) for 0 ≤ s ≤ 1."""
    z = s / (ONE + ONE + s)
    v = z * z
    return z * (ONE + ONE + v * (L1 + v * (L2 + v * (L3 + v * (L4 + v * (L5 + v * L6))))))


@compiled
def slstm_outward(f, p):
    G, C, N, M, Y = f.gates, f.memory[0], f.memory[1], f.memory[2], f.output
    K, L, Q, S = f.after[0], f.after[1], f.after[2], f.stash[0]
    w = C.shape[2]
    bits = np.empty(2 * w, np.int32)
    powers = bits.view(np.float32)
    small = np.empty(w, np.float32)
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r, c, n, m, closed = G[t, b], C[t, b], N[t, b], M[t, b], S[t, b]
            k, n_new, m_new, y = K[t, b], L[t, b], Q[t, b], Y[t, b]
            i, keep, z, o = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
            tanh_all(z)
            sigmoid_all(o)
            for j in range(w):
                small[j] = -abs(keep[j])
            exp_all(small, bits[:w], powers[:w])
            for j in range(w):
                closed[j] = (ONE if keep[j] < ZERO else small[j]) / (ONE + small[j])
            for j in range(w):
                keep[j] = (keep[j] if keep[j] < ZERO else ZERO) - log1p(small[j]) + m[j]
            for j in range(w):
                m_new[j] = keep[j] if keep[j] > i[j] else i[j]
            for j in range(w):
                keep[j] -= m_new[j]
            for j in range(w):
                i[j] -= m_new[j]
            exp_all(r[: 2 * w], bits, powers)
            remember(i, keep, z, c, k)
            for j in range(w):
                n_new[j] = keep[j] * n[j] + i[j]
            for j in range(w):
                y[j] = o[j] * k[j] / (n_new[j] if n_new[j] > ONE else ONE)
        depart(p, Y, t)


@compiled
def slstm_homeward(f, u, q):
    G, C, N, K, L, S = f.gates, f.memory[0], f.memory[1], f.after[0], f.after[1], f.stash[0]
    D, dH, dC, dN, dM = u.gates, u.output, u.memory[0], u.memory[1], u.memory[2]
    w = C.shape[2]
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, d, v, p, s = G[t, b], D[t, b], dH[b], dC[b], dN[b], dM[b]
            c, n, k, n_new, closed = C[t, b], N[t, b], K[t, b], L[t, b], S[t, b]
            i, keep, z, o = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
            d_i, d_f, d_z, d_o = e[:w], e[w : 2 * w], e[2 * w : 3 * w], e[3 * w :]
            for j in range(w):
                over = ONE / (n_new[j] if n_new[j] > ONE else ONE)
                y = k[j] * over
                d_o[j] = d[j] * y * o[j] * (ONE - o[j])
                v[j] += d[j] * o[j] * over
                p[j] -= d[j] * o[j] * y * over if n_new[j] >= ONE else ZERO
            for j in range(w):
                s[j] -= v[j] * k[j] + p[j] * n_new[j]
            for j in range(w):
                d_z[j] = v[j] * i[j] * (ONE - z[j] * z[j])
            for j in range(w):
                reaches = keep[j] > i[j]
                d_i[j] = (v[j] * z[j] + p[j]) * i[j] + (ZERO if reaches else s[j])
                s[j] = (v[j] * c[j] + p[j] * n[j]) * keep[j] + (s[j] if reaches else ZERO)
            for j in range(w):
                d_f[j] = s[j] * closed[j]
            scale_by(v, keep)
            scale_by(p, keep)
        leave(q, D, t)


@part
def spread(x):
    """The reciprocal deviation of x, whose mean is 0 as its weights were centred."""
    total = ZERO
    for j in range(x.size):
        total += x[j] * x[j]
    return ONE / np.sqrt(total / np.float32(x.size) + EPSILON)


@part
def join(r, gain, x, inverse, gain_a, a, inverse_a, bias):
    for j in range(r.size):
        r[j] = gain_a[j] * (a[j] * inverse_a) + bias[j]
    for j in range(r.size):
        r[j] += gain[j] * (x[j] * inverse)


@part
def unjoin(e, gain, x, inverse, d_gain, v):
    """Back through gain·x·inverse, whose gradient is e, into v, which may be e."""
    tilt = ZERO
    for j in range(e.size):
        tilt += e[j] * gain[j] * x[j]
    for j in range(e.size):
        d_gain[j] += e[j] * x[j] * inverse
    factor = tilt / np.float32(e.size) * inverse * inverse * inverse
    for j in range(e.size):
        v[j] = inverse * gain[j] * e[j] - factor * x[j]


@compiled
def layernorm_outward(f, p):
    G, A, C, K, Y, X, S = f.gates, f.added, f.memory[0], f.after[0], f.output, f.stash[0], f.stash[1]
    gain, gain_a, bias, gain_c, bias_c = f.parameters
    w = C.shape[2]
    for t in range(G.shape[0]):
        arrive(p, X, t)
        np.dot(f.x[t], f.arriving, A)
        for b in range(G.shape[1]):
            r, a, x, s, k, y = G[t, b], A[b], X[t, b], S[t, b], K[t, b], Y[t, b]
            for gate in range(4):
                part = slice(gate * w, (gate + 1) * w)
                s[gate], s[4 + gate] = spread(x[part]), spread(a[part])
                join(r[part], gain[part], x[part], s[gate], gain_a[part], a[part], s[4 + gate], bias[part])
            sigmoid_all(r[: 2 * w])
            tanh_all(r[2 * w : 3 * w])
            sigmoid_all(r[3 * w :])
            remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], k)
            mean = ZERO
            for j in range(w):
                mean += k[j]
            mean /= np.float32(w)
            total = ZERO
            for j in range(w):
                total += (k[j] - mean) * (k[j] - mean)
            inverse = ONE / np.sqrt(total / np.float32(w) + EPSILON)
            s[8], s[9] = inverse, mean
            o = r[3 * w :]
            for j in range(w):
                y[j] = o[j] * tanh(gain_c[j] * ((k[j] - mean) * inverse) + bias_c[j])
        depart(p, Y, t)


@compiled
def layernorm_homeward(f, u, q):
    G, A, C, K, X, S = f.gates, f.added, f.memory[0], f.after[0], f.stash[0], f.stash[1]
    gain, gain_a, _, gain_c, bias_c = f.parameters
    d_gain, d_gain_a, d_bias, d_gain_c, d_bias_c = u.parameters
    D, E, dH, dC = u.gates, u.added, u.output, u.memory[0]
    w = C.shape[2]
    shown, inner, slope, normal = (
        np.empty(w, np.float32), np.empty(w, np.float32), np.empty(w, np.float32), np.empty(w, np.float32)
    )  # fmt: skip
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        np.dot(f.x[t], f.arriving, A)
        for b in range(G.shape[1]):
            r, e, v, x, a, s, m, k = G[t, b], E[t, b], D[t, b], X[t, b], A[b], S[t, b], dC[b], K[t, b]
            inverse, mean = s[8], s[9]
            for j in range(w):
                normal[j] = (k[j] - mean) * inverse
            for j in range(w):
                inner[j] = gain_c[j] * normal[j] + bias_c[j]
                slope[j] = ZERO
            unshow(dH[b], r[3 * w :], inner, slope, e[3 * w :], shown)
            for j in range(w):
                d_gain_c[j] += slope[j] * normal[j]
            for j in range(w):
                d_bias_c[j] += slope[j]
            scale_by(slope, gain_c)
            level, tilt = ZERO, ZERO
            for j in range(w):
                level += slope[j]
                tilt += slope[j] * normal[j]
            level, tilt = level / np.float32(w), tilt / np.float32(w)
            for j in range(w):
                m[j] += inverse * (slope[j] - level - normal[j] * tilt)
            forget(m, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
            scale_by(m, r[w : 2 * w])
            for j in range(4 * w):
                d_bias[j] += e[j]
            for gate in range(4):
                part = slice(gate * w, (gate + 1) * w)
                unjoin(e[part], gain[part], x[part], s[gate], d_gain[part], v[part])
                unjoin(e[part], gain_a[part], a[part], s[4 + gate], d_gain_a[part], e[part])
        leave(q, D, t)
