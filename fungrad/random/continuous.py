"""Real random numbers, each a differentiable function of its parameters and of uniform numbers.

All are computed in the dtype asked for, from 23 (float32) or 52 (float64) random bits a number, by JAX's formulas.
Arguments `key`, `shape` and `dtype` are the same everywhere: a key is uint32 of shape (2,), `shape` that of the result,
`dtype` float32 or float64 (the default). Where one is not what it should be, the functions raise DtypeError or
ShapeError.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fungrad.ir.types import DType
from fungrad.numpy.promotion import broadcast_shape
from fungrad.primitives.elementwise import erf, erf_inv
from fungrad.primitives.random import LONG, WORD
from fungrad.primitives.shape import Shape
from fungrad.random.checks import as_float, as_key, as_shape, check_order, fits, float_dtype
from fungrad.random.keys import raw_bits

_SQRT2 = math.sqrt(2.0)


def uniform(key: Any, shape: Any = (), dtype: Any = np.float64, minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """Numbers spread evenly over [minval, maxval).

    Args:
        key, shape, dtype: see the module.
        minval, maxval: numbers or arrays that broadcast to `shape`; the result is differentiable in them. By rounding,
            `maxval` itself can occur if it is not 1.

    Raises:
        ArgumentError: `minval` is not less than `maxval`.

    >>> from fungrad import random
    >>> x = uniform(random.key(0), (1000,))
    >>> bool(np.all((x >= 0) & (x < 1)))
    True
    """
    key, shape, dtype = _arguments("uniform", key, shape, dtype)
    u = unit(key, shape, dtype)
    if type(minval) is float and type(maxval) is float and (minval, maxval) == (0.0, 1.0):
        return u
    bounds = [as_float("uniform", name, x) for name, x in (("minval", minval), ("maxval", maxval))]
    for name, x in zip(("minval", "maxval"), bounds, strict=True):
        fits("uniform", name, x, shape)
    check_order("uniform", ("minval", bounds[0]), ("maxval", bounds[1]))
    return _spread(u, *(x.astype(dtype) for x in bounds))


def normal(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Standard normal numbers: sqrt(2) erf_inv(u) of u uniform in (-1, 1).

    For mean m and standard deviation s write `m + s * normal(...)`, which is differentiable in both.

    >>> from fungrad import random
    >>> normal(random.key(0), (2, 3)).shape
    (2, 3)
    """
    key, shape, dtype = _arguments("normal", key, shape, dtype)
    return _SQRT2 * erf_inv(_spread(unit(key, shape, dtype), _above_minus_one(dtype), dtype.type(1)))


def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = np.float64) -> Any:
    """Standard normal numbers between `lower` and `upper`.

    Args:
        key, dtype: see the module.
        lower, upper: numbers, possibly infinite, or arrays; the result is differentiable in them.
        shape: of the result; by default that to which `lower` and `upper` broadcast.

    The distribution function is inverted, so an interval far out in a tail (beyond 5 in float64, 3.5 in float32) is
    resolved coarsely.

    Raises:
        ArgumentError: `lower` is not less than `upper`.

    >>> from fungrad import random
    >>> x = truncated_normal(random.key(0), -1.0, 2.0, (1000,))
    >>> bool(np.all((x > -1) & (x < 2)))
    True
    """
    bounds = [as_float("truncated_normal", name, x) for name, x in (("lower", lower), ("upper", upper))]
    if shape is None:
        shape = broadcast_shape("truncated_normal", *(x.shape for x in bounds))
    key, shape, dtype = _arguments("truncated_normal", key, shape, dtype)
    for name, x in zip(("lower", "upper"), bounds, strict=True):
        fits("truncated_normal", name, x, shape)
    check_order("truncated_normal", ("lower", bounds[0]), ("upper", bounds[1]))
    low, high = (x.astype(dtype) for x in bounds)
    a, b = erf(low / _SQRT2), erf(high / _SQRT2)
    x = _SQRT2 * erf_inv(_spread(unit(key, shape, dtype), np.maximum(a, _above_minus_one(dtype)), b))
    infinity = dtype.type(np.inf)
    return np.clip(x, np.nextafter(low, infinity), np.nextafter(high, -infinity))  # rounding may step over a bound


def exponential(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Exponential numbers of mean 1: -log(1 - u). Divide by a rate for another mean.

    >>> from fungrad import random
    >>> bool(np.all(exponential(random.key(0), (100,)) >= 0))
    True
    """
    return -np.log1p(-unit(*_arguments("exponential", key, shape, dtype)))


def laplace(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Laplace numbers, of density exp(-|x|) / 2.

    >>> from fungrad import random
    >>> laplace(random.key(0), (2,), np.float32).dtype
    dtype('float32')
    """
    key, shape, dtype = _arguments("laplace", key, shape, dtype)
    u = _spread(unit(key, shape, dtype), _above_minus_one(dtype), dtype.type(1))
    return np.sign(u) * np.log1p(-np.abs(u))


def logistic(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Logistic numbers, of distribution function 1 / (1 + exp(-x)).

    >>> from fungrad import random
    >>> logistic(random.key(0), 3).shape
    (3,)
    """
    key, shape, dtype = _arguments("logistic", key, shape, dtype)
    u = _spread(unit(key, shape, dtype), np.finfo(dtype).tiny, dtype.type(1))
    return np.log(u) - np.log1p(-u)


def gumbel(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Gumbel numbers, of distribution function exp(-exp(-x)).

    The position of the largest of `logits + gumbel(...)` is distributed as softmax(logits).

    >>> from fungrad import random
    >>> gumbel(random.key(0), 3).shape
    (3,)
    """
    key, shape, dtype = _arguments("gumbel", key, shape, dtype)
    return -np.log(-np.log(_spread(unit(key, shape, dtype), np.finfo(dtype).tiny, dtype.type(1))))


def cauchy(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Cauchy numbers, of density 1 / (pi (1 + x**2)). They have no mean.

    >>> from fungrad import random
    >>> cauchy(random.key(0), 3).shape
    (3,)
    """
    key, shape, dtype = _arguments("cauchy", key, shape, dtype)
    u = _spread(unit(key, shape, dtype), np.finfo(dtype).eps, dtype.type(1))
    return np.tan(math.pi * (u - 0.5))


def unit(key: Any, shape: Shape, dtype: DType) -> Any:
    """Uniform numbers in [0, 1), multiples of 2**-23 or 2**-52: the leading bits, as many as a fraction has."""
    word, spare, fraction = (WORD, 9, 23) if dtype == np.float32 else (LONG, 12, 52)
    leading = raw_bits(key, shape, word) // word.type(1 << spare)
    return leading.astype(dtype) * dtype.type(2.0**-fraction)


def _spread(u: Any, low: Any, high: Any) -> Any:
    """Numbers of [0, 1) over [low, high)."""
    return np.maximum(low, u * (high - low) + low)


def _above_minus_one(dtype: DType) -> Any:
    """The number next to -1, where erf_inv and log1p are still finite."""
    return np.nextafter(dtype.type(-1), dtype.type(0))


def _arguments(function: str, key: Any, shape: Any, dtype: Any) -> tuple[Any, Shape, DType]:
    return as_key(function, key), as_shape(function, shape), float_dtype(function, dtype)
