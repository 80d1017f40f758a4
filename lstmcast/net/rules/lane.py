"""What the kernels do along the units of one lane, compiled into them by numba in single precision.

Every loop touches few arrays, so that it becomes vector instructions.
"""

# mypy: disable-error-code="no-untyped-def,no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np

from lstmcast.net.rules.between import part

ZERO, HALF, ONE, LIMIT = np.float32(0), np.float32(0.5), np.float32(1), np.float32(7.9053111)
EPSILON = np.float32(1e-5)

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


@part
def look(u, p, c):
    for j in range(c.size):
        u[j] = sigmoid(u[j] + p[j] * c[j])


@part
def add_product(q, d, p):
    for j in range(q.size):
        q[j] += d[j] * p[j]
