"""The logarithm of the gamma function and its derivative, for `scipy.special.gammaln`, `psi` and what is made of them.

They are compositions, so they have derivatives of every order. Stirling's series serves from 8 on; below, the argument
is moved there by the recurrence, and below 1/2 it is reflected (NIST Digital Library of Mathematical Functions, 5.5.1,
5.5.3, 5.11.1 and 5.11.2). The errors are a few units in the last place of the largest term, about 1e-15 near the zeros
at 1 and 2. float32 is computed in float64.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad.numpy.promotion import as_value
from fungrad.primitives.convert import convert

_SHIFT = 8
_LOG_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
_SLOPE_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _in_double(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """On floats of any size; integers become float64."""

    @functools.wraps(f)
    def of_floats(x: Any) -> Any:
        x = as_value(x)
        result = f(convert(x, np.dtype(np.float64)))
        return convert(result, x.dtype) if x.dtype.kind == "f" else result

    return of_floats


def _series(coefficients: Sequence[float], z: Any) -> Any:
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * z + c
    return total


def _moved(x: Any) -> tuple[Any, Any, Any]:
    """For x from 1/2: whether it lies below the shift, it (or 1 if not), and the number from the shift on."""
    below = x < _SHIFT
    return below, np.where(below, x, 1.0), np.where(below, x + _SHIFT, x)


def _reflected(x: Any) -> tuple[Any, Any, Any]:
    """Whether x lies below 1/2, the one of x and 1 - x that does not, and x less the nearest integer (or 1/4)."""
    below = x < 0.5
    return below, np.where(below, 1.0 - x, x), np.where(below, x - np.rint(x), 0.25)


@_in_double
def gammaln(x: Any) -> Any:
    """log |gamma(x)|; infinite at 0, -1, -2, ...."""
    reflected, z, rest = _reflected(x)
    below, base, y = _moved(z)
    product = functools.reduce(lambda p, k: p * (base + k), range(1, _SHIFT), base)
    value = (y - 0.5) * (np.log(y) - 1.0) + (0.5 * math.log(2 * math.pi) - 0.5) + _series(_LOG_SERIES, 1 / (y * y)) / y
    value = value - np.log(np.where(below, product, 1.0))
    return np.where(reflected, math.log(math.pi) - np.log(np.abs(np.sin(math.pi * rest))) - value, value)


@_in_double
def loggamma(x: Any) -> Any:
    """log gamma(x) for x from 0; nan below, where it is not real."""
    return np.where(x < 0, np.nan, gammaln(np.abs(x)))


@_in_double
def psi(x: Any) -> Any:
    """The derivative of gammaln, called digamma; nan at 0, -1, -2, ...."""
    reflected, z, rest = _reflected(x)
    below, base, y = _moved(z)
    moved = functools.reduce(lambda total, k: total + 1 / (base + k), range(1, _SHIFT), 1 / base)
    value = np.log(y) - 0.5 / y - _series(_SLOPE_SERIES, 1 / (y * y)) / (y * y)
    value = value - np.where(below, moved, 0.0)
    sine = np.sin(math.pi * rest) * np.where(rest == 0, np.nan, 1.0)  # so that derivatives are nan, too
    return np.where(reflected, value - math.pi * np.cos(math.pi * rest) / sine, value)


def betaln(a: Any, b: Any) -> Any:
    """log |beta(a, b)|; infinite where one of both is 0.

    From 8 on the series of the larger argument and of the sum are subtracted term by term: their leading terms are far
    larger than the result (A. R. Didonato, A. H. Morris: Algorithm 708, ACM Transactions on Mathematical Software 18,
    1992).
    """
    a, b = np.add(a, 0.0), np.add(b, 0.0)
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = (convert(as_value(x), np.dtype(np.float64)) for x in np.broadcast_arrays(a, b))
    less_first = a < b  # of equal ones either may be the smaller, but not half of each
    small, large = np.where(less_first, a, b), np.where(less_first, b, a)
    far = (large >= _SHIFT) & (small > 0)
    y, s = np.where(far, large, 8.0), np.where(far, small, 1.0)
    total = y + s
    less = s - (y - 0.5) * np.log1p(s / y) - s * np.log(total)
    less = less + _series(_LOG_SERIES, 1 / (y * y)) / y - _series(_LOG_SERIES, 1 / (total * total)) / total
    x, z = np.where(far, 1.0, small), np.where(far, 1.0, large)
    result = np.where(far, gammaln(s) + less, gammaln(x) + gammaln(z) - gammaln(x + z))
    return convert(np.where((a == 0) | (b == 0), np.inf, result), dtype)
