"""Random booleans, integers and categories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, AxisError, ShapeError
from fungrad.ir.types import DType
from fungrad.numpy.promotion import broadcast_shape
from fungrad.primitives.random import LONG, WORD
from fungrad.random.checks import as_float, as_integer, as_key, as_shape, check_order, fits, integer_dtype, known
from fungrad.random.continuous import gumbel, unit
from fungrad.random.keys import raw_bits, split


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """Booleans that are True with probability `p`.

    Args:
        key: uint32 of shape (2,).
        p: a probability or an array of such. Its dtype is the one of the uniform numbers that are compared with it.
        shape: of the result; by default that of `p`.

    Returns:
        bool of that shape. It has no derivative in `p`.

    Raises:
        ArgumentError: `p` is below 0, above 1 or nan.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> int(bernoulli(random.key(0), 0.25, (1000,)).sum())
    272
    """
    p = as_float("bernoulli", "p", p)
    key, shape = as_key("bernoulli", key), as_shape("bernoulli", p.shape if shape is None else shape)
    fits("bernoulli", "p", p, shape)
    value = known(p)
    if value is not None and not np.all((value >= 0) & (value <= 1)):
        raise ArgumentError(f"bernoulli: p is a probability, from 0 to 1, got {value}.")
    return unit(key, shape, p.dtype) < p


def rademacher(key: Any, shape: Any = (), dtype: Any = np.int64) -> Any:
    """-1 or 1, equally likely, as an integer dtype.

    >>> from fungrad import random
    >>> sorted({int(x) for x in rademacher(random.key(0), (10,))})
    [-1, 1]
    """
    dtype = integer_dtype("rademacher", dtype)
    if dtype.kind == "u":
        raise ArgumentError(f"rademacher: -1 does not fit dtype {dtype}. Use a signed integer type.")
    heads = bernoulli(as_key("rademacher", key), 0.5, as_shape("rademacher", shape))
    return np.where(heads, dtype.type(1), dtype.type(-1))[()]


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = np.int64) -> Any:
    """Integers from `minval` to `maxval` - 1.

    Args:
        key: uint32 of shape (2,).
        shape: of the result.
        minval, maxval: integers or integer arrays that broadcast to `shape`. Where traced ones are out of order or out
            of the range of `dtype`, the result is `minval`, or they are moved into the range.
        dtype: an integer type.

    Returns:
        Integers of `dtype`, random bits reduced by remainder. The probabilities of n integers therefore differ by a
        factor of at most 1 + n / 2**64 (1 + n / 2**32 where the dtype has at most 32 bits), which is nothing unless n
        is huge.

    Raises:
        ArgumentError: `minval` is not less than `maxval`, or a bound does not fit the dtype.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> x = randint(random.key(0), (1000,), 1, 7)
    >>> sorted({int(i) for i in x})
    [1, 2, 3, 4, 5, 6]
    """
    key, shape, dtype = as_key("randint", key), as_shape("randint", shape), integer_dtype("randint", dtype)
    bounds = [as_integer("randint", name, x) for name, x in (("minval", minval), ("maxval", maxval))]
    limits = np.iinfo(dtype)
    for name, x, most in (("minval", bounds[0], int(limits.max)), ("maxval", bounds[1], int(limits.max) + 1)):
        fits("randint", name, x, shape)
        _check_within(name, known(x), int(limits.min), most, dtype)
    check_order("randint", ("minval", bounds[0]), ("maxval", bounds[1]))
    word = LONG if dtype.itemsize == 8 else WORD
    with np.errstate(over="ignore"):  # all of this is arithmetic modulo a power of 2
        low, span = _range(dtype, word, *bounds)
        above, below = (raw_bits(k, shape, word) for k in split(key))
        half = _remainder(word.type(1 << (4 * word.itemsize)), span)
        carry = _remainder(half * half, span)  # 2**bits modulo span
        offset = _remainder(_remainder(above, span) * carry + _remainder(below, span), span)
        return (low + offset).astype(dtype)


def _check_within(name: str, value: Any, least: int, most: int, dtype: DType) -> None:
    if value is None or (not isinstance(value, int) and value.size == 0):
        return
    if int(np.min(value)) < least or int(np.max(value)) > most:
        raise ArgumentError(f"randint: {name} must be from {least} to {most} for dtype {dtype}, got {value}.")


def _range(dtype: DType, word: DType, minval: Any, maxval: Any) -> tuple[Any, Any]:
    """The least number and how many there are, modulo 2**bits as `word`; 0 stands for all there are."""
    if type(minval) is int and type(maxval) is int:
        modulus = 1 << (8 * word.itemsize)
        return word.type(minval % modulus), word.type((maxval - minval) % modulus)
    low, high = _moved_into(dtype, minval, 0), _moved_into(dtype, maxval, 1)
    return low.astype(word), np.where(low < high, (high - low).astype(word), word.type(1))


def _moved_into(dtype: DType, x: Any, beyond: int) -> Any:
    """A bound as uint64 for uint64, else as int64, clipped to the range of `dtype` and `beyond`."""
    wide = np.dtype(np.uint64 if dtype == np.uint64 else np.int64)
    if type(x) is int:
        return wide.type(min(x, np.iinfo(wide).max))
    if x.dtype == np.uint64 and wide == np.int64:
        x = np.minimum(x, LONG.type(np.iinfo(wide).max))
    elif wide == np.uint64 and x.dtype.kind == "i":
        x = np.maximum(x, x.dtype.type(0))
    x = x.astype(wide)
    limits = np.iinfo(dtype)
    return x if dtype.itemsize == 8 else np.clip(x, wide.type(limits.min), wide.type(int(limits.max) + beyond))


def _remainder(x: Any, span: Any) -> Any:
    """x modulo span, where 0 stands for 2**bits."""
    return np.where(span == 0, x, x % np.maximum(span, span.dtype.type(1)))


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True) -> Any:
    """Positions along an axis, drawn with the probabilities softmax(logits).

    Args:
        key: uint32 of shape (2,).
        logits: logarithms of probabilities, up to a constant along `axis`; float array with at least one axis.
        axis: the axis of the categories.
        shape: of the result; it ends with the shape of `logits` without `axis`, which is also the default.
        replace: whether a category may be drawn again along the axes that `shape` has in front.

    Returns:
        int64 of that shape, by the largest of `logits` plus Gumbel numbers. It has no derivative in `logits`.

    Raises:
        AxisError: `axis` is not an axis of `logits`.
        ArgumentError: more categories are to be drawn without replacement than there are.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> logits = np.log([0.1, 0.2, 0.7])
    >>> np.bincount(categorical(random.key(0), logits, shape=(1000,)))
    array([100, 194, 706])
    """
    key, logits = as_key("categorical", key), as_float("categorical", "logits", logits)
    if isinstance(axis, bool) or not isinstance(axis, int) or not -logits.ndim <= axis < logits.ndim:
        raise AxisError(f"categorical: axis={axis!r} is not an axis of logits, which has {logits.ndim}.")
    axis %= logits.ndim
    own = (*logits.shape[:axis], *logits.shape[axis + 1 :])
    shape = own if shape is None else as_shape("categorical", shape)
    extra = len(shape) - len(own)
    if extra < 0 or broadcast_shape("categorical", shape, own) != shape:
        raise ShapeError(f"categorical: shape={shape} must end with {own}, the shape of logits without axis {axis}.")
    count = logits.shape[axis]
    if count == 0:
        raise ShapeError(f"categorical: logits of shape {logits.shape} have no categories along axis {axis}.")
    if replace:
        rest = shape[extra:]
        noise = gumbel(key, (*shape[:extra], *rest[:axis], count, *rest[axis:]), logits.dtype)
        return np.argmax(noise + logits, axis=extra + axis)
    draws = math.prod(shape[:extra])
    if draws > count:
        raise ArgumentError(f"categorical: {draws} of {count} categories cannot be drawn without replacement.")
    order = np.argsort(-(logits + gumbel(key, logits.shape, logits.dtype)), axis=axis, kind="stable")
    first = np.take(np.moveaxis(order, axis, 0), np.arange(draws), axis=0)
    return np.reshape(first, shape)
