"""Values and gradients of the problems as one writes them in plain NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

INTEREST = 0.03  # a year
TIME_STEP = 0.01


def waves(x: Any) -> Any:
    sine, bell = np.sin(x), np.exp(-x * x)
    t = np.tanh(sine * bell)
    return t.sum(), (1 - t * t) * bell * (np.cos(x) - 2 * x * sine)


def cross_entropy(z: Any, classes: Any) -> Any:
    z = z - z.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(z, classes, 1)
    p = np.exp(z, out=z)
    total = p.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total) - chosen)
    p /= total
    p[np.arange(len(z)), classes[:, 0]] -= 1
    p *= 1 / len(z)
    return value, p


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(1e-5))
    y = centred / deviation
    square = y * y
    g = 3 * square
    gradient = (g - g.mean(axis=1, keepdims=True) - y * (g * y).mean(axis=1, keepdims=True)) / deviation
    return (square * y).sum(), gradient


def log_sum_exp(x: Any) -> Any:
    top = x.max(axis=-1, keepdims=True)
    p = np.exp(x - top)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    return (np.log(total) + top).sum(), p


def logistic_regression(w: Any, x: Any, y: Any) -> Any:
    z = x @ w
    residual = 1 / (1 + np.exp(-z)) - y
    return np.mean(np.logaddexp(0, z) - y * z), residual @ x / len(y)


def rosenbrock(x: Any) -> Any:
    bend, slope = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[1:] = 200 * bend
    gradient[:-1] -= 400 * x[:-1] * bend + 2 * slope
    return (100 * bend * bend + slope * slope).sum(), gradient


def black_scholes(options: Any, strike: Any) -> Any:
    from scipy.special import ndtr

    spot, volatility, years = options
    root = np.sqrt(years)
    spread = volatility * root
    d1 = (np.log(spot / strike) + (INTEREST + volatility * volatility / 2) * years) / spread
    discounted = strike * np.exp(-INTEREST * years)
    delta, sure = ndtr(d1), discounted * ndtr(d1 - spread)
    weight = spot * np.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    theta = weight * volatility / (2 * root) + INTEREST * sure
    return (spot * delta - sure).sum(), (delta, weight * root, theta)


def recurrent(params: Any, xs: Any) -> Any:
    w, u = params
    states = [np.zeros_like(xs[0])]
    inputs = xs @ w
    for x in inputs:
        states.append(np.tanh(x + states[-1] @ u))
    last = states[-1]
    g = last * (2 / last.size)
    before = np.empty_like(inputs)
    for i in range(len(xs) - 1, -1, -1):
        h = states[i + 1]
        before[i] = g * (1 - h * h)
        g = before[i] @ u.T
    rows = before.reshape(-1, before.shape[-1])
    earlier = np.concatenate(states[:-1])
    return np.mean(last * last), (xs.reshape(len(rows), -1).T @ rows, earlier.T @ rows)


def pendulum(p: Any) -> Any:
    """Forwards with the states kept, then backwards through each step, in Python's numbers."""
    gravity, a, v = (float(x) for x in p)
    h, states = TIME_STEP, []
    for _ in range(1000):
        states.append((a, v))
        v1 = -gravity * math.sin(a)
        a2, b2 = a + h / 2 * v, v + h / 2 * v1
        v2 = -gravity * math.sin(a2)
        a3, b3 = a + h / 2 * b2, v + h / 2 * v2
        v3 = -gravity * math.sin(a3)
        a4, b4 = a + h * b3, v + h * v3
        v4 = -gravity * math.sin(a4)
        a, v = a + h / 6 * (v + 2 * b2 + 2 * b3 + b4), v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    last, da, dv, dg = a, 1.0, 0.0, 0.0
    for a, v in reversed(states):
        v1 = -gravity * math.sin(a)
        a2, b2 = a + h / 2 * v, v + h / 2 * v1
        v2 = -gravity * math.sin(a2)
        a3, b3 = a + h / 2 * b2, v + h / 2 * v2
        a4 = a + h * b3
        da_, dv_ = da, dv
        d4 = h / 6 * dv  # of v4, and so on
        e4 = h / 6 * da  # of b4
        f4 = -gravity * math.cos(a4) * d4  # of a4
        d3 = h / 3 * dv + h * e4
        e3 = h / 3 * da + h * f4
        f3 = -gravity * math.cos(a3) * d3
        d2 = h / 3 * dv + h / 2 * e3
        e2 = h / 3 * da + h / 2 * f3
        f2 = -gravity * math.cos(a2) * d2
        d1 = h / 6 * dv + h / 2 * e2
        da = da_ + f4 + f3 + f2 - gravity * math.cos(a) * d1
        dv = dv_ + h / 6 * da_ + e4 + e3 + e2 + h / 2 * f2
        dg -= math.sin(a) * d1 + math.sin(a2) * d2 + math.sin(a3) * d3 + math.sin(a4) * d4
    return last, (dg, da, dv)


def scalar_step(weights: Any, x: float, y: float, rate: float) -> Any:
    """One step of gradient descent of the network o = a3 (a2 (a1 x)^2)^2 with the loss (o - y)^2."""
    a1, a2, a3 = weights
    z1 = (a1 * x) ** 2
    z2 = (a2 * z1) ** 2
    do = 2 * (a3 * z2 - y)
    dz2 = do * a3
    dz1 = dz2 * 2 * a2 * z1 * a2
    return a1 - rate * dz1 * 2 * a1 * x * x, a2 - rate * dz2 * 2 * a2 * z1 * z1, a3 - rate * do * z2
