"""Kernels for the tests, compiled once for all of them, with the same functions in NumPy."""

import numba
import numpy as np

from fungrad.extend import array_type, njit_primitive


@numba.njit
def _softplus(x, k):
    return np.log1p(np.exp(k * x)) / k


softplus = njit_primitive(
    _softplus,
    jvp=(
        lambda t, out, x, k: t / (1 + np.exp(-k * x)),
        lambda t, out, x, k: t * (x / (1 + np.exp(-k * x)) - out) / k,
    ),
)


def numpy_softplus(x, k):
    return np.log1p(np.exp(k * x)) / k


@numba.njit
def _decay(x, rate, result, total):
    """result[i] = x[i] + rate * result[i - 1]; total is the sum of squares."""
    state = 0.0
    square = 0.0
    for i in range(x.size):
        state = x[i] + rate * state
        result[i] = state
        square += state * state
    total[()] = square


@numba.njit
def _decay_back(ct, rate, result):
    state = 0.0
    for i in range(ct.size - 1, -1, -1):
        state = ct[i] + rate * state
        result[i] = state


# y = L x with L = (1 - rate * shift)^-1 and L' its transpose; total = y . y
unfiltered = njit_primitive(
    _decay_back,
    out=lambda ct, rate: ct,
    jvp=(lambda t, out, ct, rate: unfiltered(t, rate), lambda t, out, ct, rate: unfiltered(t * after(out), rate)),
    vjp=(
        lambda ct, out, x, rate: decay(ct, rate)[0],
        lambda ct, out, x, rate: np.sum(decay(ct, rate)[0] * after(out)),
    ),
)


def after(x):
    """x one place to the left."""
    return np.concatenate([x[1:], np.zeros_like(x[:1])])


def before(x):
    """x one place to the right."""
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


def _decay_by_x(t, out, x, rate):
    moved = decay(t, rate)[0]
    return moved, 2 * np.sum(out[0] * moved)


def _decay_by_rate(t, out, x, rate):
    moved = decay(before(out[0]), rate)[0]
    return t * moved, 2 * t * np.sum(out[0] * moved)


def _decay_vjp(ct, out, x, rate):
    back = unfiltered(ct[0] + 2 * ct[1] * out[0], rate)
    return back, np.sum(back * before(out[0]))


decay = njit_primitive(
    _decay,
    out=lambda x, rate: (x, array_type((), x.dtype)),
    jvp=(_decay_by_x, _decay_by_rate),
    vjp=_decay_vjp,
)


def numpy_decay(x, rate):
    """The same for traced values, as a matrix product."""
    places = np.arange(x.shape[0])
    powers = np.maximum(places[:, None] - places, 0)
    result = np.sum(np.where(places[:, None] >= places, rate**powers, 0.0) * x, axis=1)
    return result, np.sum(result**2)


def loss(x, rate, f=decay, g=softplus):
    """A function of both kernels; with NumPy's versions as `f` and `g` the same in NumPy."""
    result, total = f(x, rate)
    return np.sum(np.sin(result) * g(x, 1.0 + rate)) + 0.1 * total


def numpy_loss(x, rate):
    return loss(x, rate, numpy_decay, numpy_softplus)


@numba.njit
def _picky(x, result):
    if x[0] < 0:
        raise ValueError("a negative start")
    for i in range(x.size):
        result[i] = x[i]


picky = njit_primitive(_picky, out=lambda x: x)


def per_example(f, x, *others):
    """`f` of each row of `x`, stacked."""
    return np.stack([np.asarray(f(row, *others)) for row in x])
