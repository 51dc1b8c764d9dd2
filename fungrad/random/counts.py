"""Random counts: Poisson and binomial numbers.

Both add up short waiting times where few events are expected, and elsewhere transform a uniform number into a count
that is taken or rejected: W. Hormann, "The transformed rejection method for generating Poisson random variables",
Insurance: Mathematics and Economics 12 (1993), and "The generation of binomial random variates", J. Statist. Comput.
Simul. 46 (1993). Counts have no derivative.

All elements share one chain of keys, of which each takes as many as it needs, its numbers by its own position.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fungrad.numpy as fnp
from fungrad import lax
from fungrad.errors import ArgumentError
from fungrad.numpy.promotion import broadcast_shape
from fungrad.primitives.random import LONG, Threefry
from fungrad.primitives.shape import Shape
from fungrad.random.checks import as_float, as_key, as_shape, fits, float_dtype, integer_dtype, known
from fungrad.random.keys import split
from fungrad.regions.each import each
from fungrad.trace import bind

FEW = 10.0  # expected events, below which waiting times are added up
MOST = 1e15  # expected events, beyond which double precision does not resolve a count


def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = np.int64) -> Any:
    """Poisson numbers: how many events of rate `lam` happen in a unit of time.

    Args:
        key: uint32 of shape (2,).
        lam: the expected number, from 0 to 1e15; a number or an array that broadcasts to `shape`.
        shape: of the result; by default that of `lam`.
        dtype: an integer type.

    Returns:
        Integers of that dtype, its largest where a count does not fit; -1 where a traced `lam` is out of range.

    Raises:
        ArgumentError: `lam` is negative, nan or above 1e15.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> x = poisson(random.key(0), 4.0, (10_000,))
    >>> round(float(x.mean())), round(float(x.var()))
    (4, 4)
    """
    key, dtype = as_key("poisson", key), integer_dtype("poisson", dtype)
    lam = as_float("poisson", "lam", lam)
    shape = as_shape("poisson", lam.shape if shape is None else shape)
    fits("poisson", "lam", lam, shape)
    value = known(lam)
    if value is not None and not np.all((value >= 0) & (value <= MOST)):
        raise ArgumentError(f"poisson: lam must be from 0 to 1e15, got {value}.")
    counts = _counts(_poisson_of_one, key, shape, lam)
    return np.minimum(counts, np.int64(min(np.iinfo(dtype).max, np.iinfo(np.int64).max))).astype(dtype)


def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Binomial numbers: how many of `n` trials succeed, each with the probability `p`.

    Args:
        key: uint32 of shape (2,).
        n: the number of trials, from 0 to 1e15; a fraction counts for nothing.
        p: the probability; numbers or arrays that broadcast to `shape`, both.
        shape: of the result; by default that to which `n` and `p` broadcast.
        dtype: float32 or float64, as in JAX.

    Returns:
        Whole numbers of that dtype; nan where a traced `n` or `p` is out of range.

    Raises:
        ArgumentError: `n` is negative, nan or above 1e15, or `p` is not a probability.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> x = binomial(random.key(0), 100, 0.3, (10_000,))
    >>> round(float(x.mean())), round(float(x.var()))
    (30, 21)
    """
    key, dtype = as_key("binomial", key), float_dtype("binomial", dtype)
    n, p = as_float("binomial", "n", n), as_float("binomial", "p", p)
    shape = as_shape("binomial", broadcast_shape("binomial", n.shape, p.shape) if shape is None else shape)
    for name, x, most in (("n", n, MOST), ("p", p, 1.0)):
        fits("binomial", name, x, shape)
        value = known(x)
        if value is not None and not np.all((value >= 0) & (value <= most)):
            raise ArgumentError(f"binomial: {name} must be from 0 to {most:g}, got {value}.")
    return _counts(_binomial_of_one, key, shape, n, p).astype(dtype)


def _counts(of_one: Any, key: Any, shape: Shape, *given: Any) -> Any:
    size = math.prod(shape)
    keys = np.broadcast_to(key, (size, 2))
    flat = [np.broadcast_to(x.astype(np.float64), shape).reshape(size) for x in given]
    (found,) = each(of_one, keys, np.arange(size, dtype=LONG), *flat)
    return found.reshape(shape)[()]


def _fine(key: Any, position: Any) -> Any:
    """A uniform number between 0 and 1: the 23 bits of `uniform` in float32, and 32 more and a half."""
    words = bind(Threefry(()), key, position)
    upper, lower = words // LONG.type(1 << 32), words % LONG.type(1 << 32)
    first = (upper ^ lower) // LONG.type(1 << 9)
    return (first.astype(np.float64) + (lower.astype(np.float64) + 0.5) * 2.0**-32) * 2.0**-23


def _double(key: Any, position: Any) -> Any:
    """The number of `uniform` in float64, between 0 and 1, at a position; half a step stands for 0."""
    fraction = (bind(Threefry(()), key, position) // LONG.type(1 << 12)).astype(np.float64) * 2.0**-52
    return np.maximum(fraction, 2.0**-53)


def _poisson_of_one(key: Any, position: Any, lam: Any) -> list[Any]:
    which = np.where((lam >= 0) & (lam <= MOST), np.where(lam < FEW, 0, 1), 2)
    few, many = np.where(which == 0, lam, 0.0), np.where(which == 1, lam, FEW)
    ways = [
        lambda: _waiting_poisson(key, position, few),
        lambda: _rejection_poisson(key, position, many),
        lambda: -1.0,
    ]
    return [lax.switch(which, ways).astype(np.int64)]


def _waiting_poisson(key: Any, position: Any, lam: Any) -> Any:
    """How many exponential waiting times fit into `lam`."""

    def wait(state: Any) -> Any:
        key, count, log_product = state
        key, once = split(key)
        return key, count + 1, log_product + np.log(_fine(once, position))

    return np.maximum(lax.while_loop(lambda state: state[2] > -lam, wait, (key, -1.0, 0.0))[1], 0.0)


def _rejection_poisson(key: Any, position: Any, lam: Any) -> Any:
    """Hormann's PTRS."""
    b = 0.931 + 2.53 * np.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    enough = 0.9277 - 3.6224 / (b - 2)

    def draw(state: Any) -> Any:
        key, for_u, for_v = split(state[0], 3)
        u, v = _double(for_u, position) - 0.5, _double(for_v, position)
        side = 0.5 - np.abs(u)
        k = np.floor((2 * a / side + b) * u + lam + 0.43)
        possible = (k >= 0) & ((side >= 0.013) | (v <= side))
        k = np.maximum(k, 0.0)
        rest = k + 1 - lam
        log_p = rest + k * np.log1p(-rest / (k + 1)) - 0.5 * np.log(2 * math.pi * (k + 1)) - _stirling_rest(k)
        log_v = np.log(v * inverse_alpha / (a / (side * side) + b))
        return key, k, ((side >= 0.07) & (v <= enough)) | (possible & (log_v <= log_p))

    return lax.while_loop(lambda state: ~state[2], draw, (key, 0.0, False))[1]


def _stirling_rest(k: Any) -> Any:
    """log k! - ((k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2) for whole k >= 0."""
    z = 1 / (k + 1)
    s = z * z
    series = z * (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188))))
    return np.where(k < len(_SMALL), fnp.take(_SMALL, np.clip(k, 0, len(_SMALL) - 1).astype(np.int64)), series)


_SMALL = np.array(
    [math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi)) for k in range(12)]
)


def _binomial_of_one(key: Any, position: Any, n: Any, p: Any) -> list[Any]:
    """Successes, or failures if these are rarer."""
    n, rare = np.floor(n), np.where(p < 0.5, p, 1 - p)
    right = (n >= 0) & (n <= MOST) & (rare >= 0)
    few = right & (n * rare <= FEW)
    many = right & ~few
    count = lax.cond(
        many,
        lambda: _rejection_binomial(key, position, np.where(many, n, 4 * FEW), np.where(many, rare, 0.5)),
        lambda: _waiting_binomial(key, position, np.where(few, n, 0.0), np.where(few, np.maximum(rare, 1e-300), 0.5)),
    )
    return [np.where(right, np.where(p < 0.5, count, n - count), np.nan)]


def _waiting_binomial(key: Any, position: Any, n: Any, p: Any) -> Any:
    """How many geometric waiting times fit into n trials."""
    log_q = np.log1p(-p)

    def wait(state: Any) -> Any:
        key, count, trials = state
        once, key = split(key)
        return key, count + 1, trials + np.ceil(np.log(_double(once, position)) / log_q)

    return lax.while_loop(lambda state: state[2] <= n, wait, (key, -1.0, 0.0))[1]


def _rejection_binomial(key: Any, position: Any, n: Any, p: Any) -> Any:
    """Hormann's BTRS."""
    spread = np.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * spread
    enough = 0.92 - 4.2 / b
    mode = np.floor((n + 1) * p)
    centre = (n + 2) * p
    log_mode = (mode + 0.5) * np.log1p((mode + 1 - centre) / (p * (n - mode + 1)))
    log_mode = log_mode + _stirling_rest(mode) + _stirling_rest(n - mode)

    def draw(state: Any) -> Any:
        key, for_u, for_v = split(state[0], 3)
        u, v = _double(for_u, position) - 0.5, _double(for_v, position)
        side = 0.5 - np.abs(u)
        k = np.floor((2 * a / side + b) * u + n * p + 0.5)
        possible = (k >= 0) & (k <= n)
        k = np.clip(k, 0.0, n)
        log_p = log_mode + (n + 1) * np.log1p((k - mode) / (n - k + 1)) - _stirling_rest(k) - _stirling_rest(n - k)
        log_p = log_p + (k + 0.5) * np.log1p((centre - (k + 1)) / ((1 - p) * (k + 1)))
        log_v = np.log(v * alpha / (a / (side * side) + b))
        return key, k, possible & (((side >= 0.07) & (v <= enough)) | (log_v <= log_p))

    return lax.while_loop(lambda state: ~state[2], draw, (key, 0.0, False))[1]
