"""Gamma random numbers, by rejection, differentiable in their parameter.

Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26 (2000): with z normal,
d (1 + c z)**3 is distributed almost as a gamma number, and a uniform number says whether to take it. Each element has
a key of its own, from which it draws as often as it needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad import lax
from fungrad.custom import custom_jvp
from fungrad.random.checks import as_key, float_dtype, parameters
from fungrad.random.continuous import exponential, normal, uniform
from fungrad.random.gamma_slope import gamma_slope
from fungrad.random.keys import split
from fungrad.regions.each import each


def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Gamma numbers, of density x**(a - 1) exp(-x) / Gamma(a).

    Args:
        key: uint32 of shape (2,).
        a: the shape parameter, positive; a number or an array that broadcasts to `shape`. The result is differentiable
            in it: along the curve on which the distribution function keeps its value.
        shape: of the result; by default that of `a`.
        dtype: float32 or float64.

    Multiply by a scale, or divide by a rate. Numbers of small `a` may underflow to 0; see `loggamma`.

    Raises:
        ArgumentError: `a` is not positive.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import grad, random
    >>> x = gamma(random.key(0), 3.0, (10_000,))
    >>> round(float(x.mean()), 1), round(float(x.var()), 1)
    (3.0, 3.0)
    >>> mean = grad(lambda a: gamma(random.key(0), a, (10_000,)).mean())
    >>> round(float(mean(3.0)), 1)
    1.0
    """
    return _drawn("gamma", _gamma, key, a, shape, dtype)


def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Logarithms of gamma numbers: those of `gamma` for the same key, exact where these underflow.

    Args and errors are those of `gamma`.

    >>> from fungrad import random
    >>> bool(np.allclose(np.exp(loggamma(random.key(1), 2.0, 5)), gamma(random.key(1), 2.0, 5)))
    True
    """
    return _drawn("loggamma", _loggamma, key, a, shape, dtype)


def _drawn(function: str, draw: Any, key: Any, a: Any, shape: Any, dtype: Any) -> Any:
    key, dtype = as_key(function, key), float_dtype(function, dtype)
    shape, (a,) = parameters(function, shape, dtype, a=a)
    size = math.prod(shape)
    return draw(split(key, size), np.broadcast_to(a, shape).reshape(size)).reshape(shape)[()]


@custom_jvp
def _gamma(keys: Any, a: Any) -> Any:
    return each(_gamma_of_one, keys, a)[0]


@_gamma.defjvp
def _gamma_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (keys, a), (_, t) = primals, tangents
    x = _gamma(keys, a)
    log_x = np.log(np.maximum(x, np.finfo(x.dtype).tiny))
    return x, t * x * gamma_slope(a, log_x)


@custom_jvp
def _loggamma(keys: Any, a: Any) -> Any:
    return each(_loggamma_of_one, keys, a)[0]


@_loggamma.defjvp
def _loggamma_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (keys, a), (_, t) = primals, tangents
    log_x = _loggamma(keys, a)
    return log_x, t * gamma_slope(a, log_x)


def _gamma_of_one(key: Any, a: Any) -> list[Any]:
    """A gamma number of `a`; below 1 one of a + 1 times u**(1 / a)."""
    large = a >= 1
    d, cube, spare = _accepted(key, np.where(large, a, a + 1))
    power = (1 - uniform(spare, (), a.dtype)) ** (1 / a)
    return [d * cube * np.where(large, a.dtype.type(1), power)]


def _loggamma_of_one(key: Any, a: Any) -> list[Any]:
    large = a >= 1
    d, cube, spare = _accepted(key, np.where(large, a, a + 1))
    log_u = -exponential(spare, (), a.dtype)
    return [np.log(d) + np.log(cube) + np.where(large | (log_u == 0), a.dtype.type(0), log_u * (1 / a))]


def _accepted(key: Any, a: Any) -> tuple[Any, Any, Any]:
    """d and (1 + c z)**3 of an accepted z, for a >= 1, and a key that is left. For other `a`, d is nan."""
    dtype = a.dtype
    zero, one, two = (dtype.type(n) for n in range(3))
    d = np.where(a >= 1, a - dtype.type(1 / 3), dtype.type(np.nan))
    c = dtype.type(1 / 3) / np.sqrt(d)

    def rejected(state: Any) -> Any:
        _, square, cube, u = state
        log_u = np.log(np.maximum(u, np.finfo(dtype).tiny))
        outside = u >= 1 - dtype.type(0.0331) * (square * square)
        return outside & (log_u >= square * dtype.type(0.5) + d * (1 - cube + np.log(cube)))

    def draw(state: Any) -> Any:
        key, for_normal, for_uniform = split(state[0], 3)
        _, z, v = lax.while_loop(lambda state: state[2] <= 0, draw_above, (for_normal, zero, -one))
        return key, z * z, v * v * v, uniform(for_uniform, (), dtype)

    def draw_above(state: Any) -> Any:
        key, once = split(state[0])
        z = normal(once, (), dtype)
        return key, z, 1 + z * c

    key, spare = split(key)
    _, _, cube, _ = lax.while_loop(rejected, draw, (key, zero, one, two))
    return d, cube, spare
