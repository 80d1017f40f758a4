"""Rules compiled by numba with the loop over time around them: what n steps do to all lanes, in single precision.

``f`` is the ``Frame`` of the steps, ``u`` the ``Upstream`` of its gradients, ``p`` and ``q`` what happens between two
steps. ``r`` are the gates of a lane, ``c`` and ``k`` its memory before and after, ``d`` and ``e`` the gradients of its
output and its sums. Files of numba are kept beside this one: a kernel is compiled once.
"""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np

from lstmcast.net.rules.between import arrive, compiled, depart, enter, leave
from lstmcast.net.rules.lane import (
    ONE,
    add_product,
    forget,
    look,
    remember,
    scale_by,
    show,
    sigmoid_all,
    tanh,
    tanh_all,
    unshow,
)


@compiled
def lstm_outward(f, p):
    G, C, K, Y = f.gates, f.memory[0], f.after[0], f.output
    w = C.shape[2]
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r = G[t, b]
            sigmoid_all(r[: 2 * w])
            tanh_all(r[2 * w : 3 * w])
            sigmoid_all(r[3 * w :])
            remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], K[t, b])
            show(r[3 * w :], K[t, b], Y[t, b])
        depart(p, Y, t)


@compiled
def lstm_homeward(f, u, q):
    G, C, K, D, dH, dC = f.gates, f.memory[0], f.after[0], u.gates, u.output, u.memory[0]
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, m = G[t, b], D[t, b], dC[b]
            unshow(dH[b], r[3 * w :], K[t, b], m, e[3 * w :], shown)
            forget(m, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
            scale_by(m, r[w : 2 * w])
        leave(q, D, t)


@compiled
def peephole_outward(f, p):
    G, C, K, Y, P = f.gates, f.memory[0], f.after[0], f.output, f.parameters[0]
    w = C.shape[2]
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r = G[t, b]
            look(r[:w], P[0], C[t, b])
            look(r[w : 2 * w], P[1], C[t, b])
            tanh_all(r[2 * w : 3 * w])
            remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], K[t, b])
            look(r[3 * w :], P[2], K[t, b])
            show(r[3 * w :], K[t, b], Y[t, b])
        depart(p, Y, t)


@compiled
def peephole_homeward(f, u, q):
    G, C, K, D, dH, dC = f.gates, f.memory[0], f.after[0], u.gates, u.output, u.memory[0]
    P, dP = f.parameters[0], u.parameters[0]
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, m = G[t, b], D[t, b], dC[b]
            unshow(dH[b], r[3 * w :], K[t, b], m, e[3 * w :], shown)
            add_product(m, e[3 * w :], P[2])
            forget(m, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
            scale_by(m, r[w : 2 * w])
            add_product(m, e[:w], P[0])
            add_product(m, e[w : 2 * w], P[1])
            add_product(dP[0], e[:w], C[t, b])
            add_product(dP[1], e[w : 2 * w], C[t, b])
            add_product(dP[2], e[3 * w :], K[t, b])
        leave(q, D, t)


@compiled
def coupled_outward(f, p):
    G, C, K, Y = f.gates, f.memory[0], f.after[0], f.output
    w = C.shape[2]
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r, c, k = G[t, b], C[t, b], K[t, b]
            keep, g, o = r[:w], r[w : 2 * w], r[2 * w :]
            sigmoid_all(keep)
            tanh_all(g)
            sigmoid_all(o)
            for j in range(w):
                k[j] = g[j] + keep[j] * (c[j] - g[j])
            show(o, k, Y[t, b])
        depart(p, Y, t)


@compiled
def coupled_homeward(f, u, q):
    G, C, K, D, dH, dC = f.gates, f.memory[0], f.after[0], u.gates, u.output, u.memory[0]
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, m, c = G[t, b], D[t, b], dC[b], C[t, b]
            keep, g, d_f, d_g = r[:w], r[w : 2 * w], e[:w], e[w : 2 * w]
            unshow(dH[b], r[2 * w :], K[t, b], m, e[2 * w :], shown)
            for j in range(w):
                d_f[j] = m[j] * (c[j] - g[j]) * keep[j] * (ONE - keep[j])
            for j in range(w):
                d_g[j] = m[j] * (ONE - keep[j]) * (ONE - g[j] * g[j])
            scale_by(m, keep)
        leave(q, D, t)


@compiled
def highway_outward(f, p):
    G, C, K, H, Y = f.gates, f.memory[0], f.after[0], f.h, f.output
    w = C.shape[2]
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r, k, h, y = G[t, b], K[t, b], H[t, b], Y[t, b]
            o, gate = r[3 * w : 4 * w], r[4 * w :]
            sigmoid_all(r[: 2 * w])
            tanh_all(r[2 * w : 3 * w])
            sigmoid_all(r[3 * w :])
            remember(r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], k)
            for j in range(w):
                y[j] = h[j] + gate[j] * (o[j] * tanh(k[j]) - h[j])
        depart(p, Y, t)


@compiled
def highway_homeward(f, u, q):
    G, C, K, H, D, dH, dC = f.gates, f.memory[0], f.after[0], f.h, u.gates, u.output, u.memory[0]
    w = C.shape[2]
    shown = np.empty(w, np.float32)
    inner = np.empty(w, np.float32)
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, m, d, h, to_h = G[t, b], D[t, b], dC[b], dH[b], H[t, b], u.h[b]
            o, gate, d_gate = r[3 * w : 4 * w], r[4 * w :], e[4 * w :]
            for j in range(w):
                inner[j] = d[j] * gate[j]
            unshow(inner, o, K[t, b], m, e[3 * w : 4 * w], shown)
            for j in range(w):
                d_gate[j] = d[j] * (o[j] * shown[j] - h[j]) * gate[j] * (ONE - gate[j])
            for j in range(w):
                to_h[j] = d[j] - inner[j]
            forget(m, r[:w], r[w : 2 * w], r[2 * w : 3 * w], C[t, b], e[:w], e[w : 2 * w], e[2 * w : 3 * w])
            scale_by(m, r[w : 2 * w])
        leave(q, D, t)


@compiled
def rnn_outward(f, p):
    G, Y = f.gates, f.output
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r, y = G[t, b], Y[t, b]
            tanh_all(r)
            for j in range(r.size):
                y[j] = r[j]
        depart(p, Y, t)


@compiled
def rnn_homeward(f, u, q):
    G, D, dH = f.gates, u.gates, u.output
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            r, e, d = G[t, b], D[t, b], dH[b]
            for j in range(r.size):
                e[j] = d[j] * (ONE - r[j] * r[j])
        leave(q, D, t)


@compiled
def gru_outward(f, p):
    G, H, Y = f.gates, f.h, f.output
    w = G.shape[2] // 4
    for t in range(G.shape[0]):
        arrive(p, G, t)
        for b in range(G.shape[1]):
            r, h, y = G[t, b], H[t, b], Y[t, b]
            reset, z, n, inner = r[:w], r[w : 2 * w], r[2 * w : 3 * w], r[3 * w :]
            sigmoid_all(r[: 2 * w])
            for j in range(w):
                n[j] = tanh(n[j] + reset[j] * inner[j])
            for j in range(w):
                y[j] = n[j] + z[j] * (h[j] - n[j])
        depart(p, Y, t)


@compiled
def gru_homeward(f, u, q):
    G, H, D, dH = f.gates, f.h, u.gates, u.output
    w = G.shape[2] // 4
    for t in range(G.shape[0] - 1, -1, -1):
        enter(q, t)
        for b in range(G.shape[1]):
            g, e, d, h, to_h = G[t, b], D[t, b], dH[b], H[t, b], u.h[b]
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
        leave(q, D, t)
