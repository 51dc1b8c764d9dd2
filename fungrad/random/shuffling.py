"""Random order, and samples of an array with and without replacement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, AxisError, ShapeError
from fungrad.numpy.promotion import as_value
from fungrad.primitives.random import WORD
from fungrad.random.checks import as_float, as_key, as_shape, known
from fungrad.random.continuous import gumbel, unit
from fungrad.random.discrete import randint
from fungrad.random.keys import raw_bits, split
from fungrad.trace import Tracer


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """The elements of `x` along an axis in random order.

    Args:
        key: uint32 of shape (2,).
        x: an array, or an integer n for the order of n things.
        axis: the axis that is shuffled.
        independent: whether each line along `axis` is shuffled on its own, rather than all in the same way.

    Returns:
        An array like `x`, or int64 of shape (n,). Differentiable in `x`.

    The order is that of random 32-bit numbers, sorted often enough that equal ones do not matter: ceil(3 log(size) /
    log(2**32)) times.

    Raises:
        AxisError: `axis` is not an axis of `x`.
        DtypeError, ShapeError: `key` is not a key, or `x` a number that is not a count.

    >>> from fungrad import random
    >>> sorted(permutation(random.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    key = as_key("permutation", key)
    x = _items("permutation", "x", x)
    axis = _axis("permutation", axis, x.ndim)
    if independent or x.ndim == 1:
        return _shuffle(key, x, axis)
    return np.take(x, _shuffle(key, np.arange(x.shape[axis]), 0), axis)


def choice(key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0) -> Any:
    """Elements of an array, drawn at random.

    Args:
        key: uint32 of shape (2,).
        a: an array, or an integer n for one of n things.
        shape: how many elements, in what shape.
        replace: whether an element may be drawn again.
        p: the probability of each element, an array of shape (n,); the sum is divided out. Equal by default.
        axis: the axis of `a` the elements lie along.

    Returns:
        An array of `a`'s dtype and shape, with `shape` in place of `axis`; int64 for an integer `a`. Differentiable in
        `a`.

    Raises:
        ArgumentError: there are not enough elements, or `p` has negative entries or none that is positive.
        AxisError: `axis` is not an axis of `a`.
        DtypeError, ShapeError: an argument is not what it should be.

    >>> from fungrad import random
    >>> choice(random.key(0), np.array([2.0, 3.0, 5.0]), (4,)).shape
    (4,)
    """
    key, shape = as_key("choice", key), as_shape("choice", shape)
    x = _items("choice", "a", a)
    axis = _axis("choice", axis, x.ndim)
    count, draws = x.shape[axis], math.prod(shape)
    if draws and not count:
        raise ArgumentError("choice: there is nothing to draw from, a is empty.")
    if not replace and draws > count:
        raise ArgumentError(f"choice: {draws} of {count} elements cannot be drawn without replacement.")
    if p is not None:
        p = _weights(p, count, 1 if replace else draws)
    if not draws:
        order = np.zeros(shape, np.int64)
    elif p is None:
        order = randint(key, shape, 0, count) if replace else _shuffle(key, np.arange(count), 0)[:draws].reshape(shape)
    elif replace:
        total = np.cumsum(p)
        order = np.searchsorted(total, total[-1] * (1 - unit(key, shape, p.dtype)))
    else:
        order = np.argsort(-(gumbel(key, (count,), p.dtype) + _log(p)), kind="stable")[:draws].reshape(shape)
    return np.take(x, order, axis)


def _log(p: Any) -> Any:
    """log(p), -inf for 0 without NumPy's warning."""
    with np.errstate(divide="ignore"):
        return np.log(p)


def _shuffle(key: Any, x: Any, axis: int) -> Any:
    """`x` sorted along `axis` by random numbers, again and again."""
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, once = split(key)
        order = np.argsort(raw_bits(once, x.shape, WORD), axis=axis, kind="stable")
        x = np.take_along_axis(x, order, axis)
    return x


def _items(function: str, name: str, x: Any) -> Any:
    """An array to draw from; an integer n stands for 0, ..., n - 1."""
    value = as_value(x)
    if value.ndim:
        return value
    count = known(value)
    if count is None or value.dtype.kind not in "iu" or count < 0:
        shown = f"a traced {value.type}" if isinstance(value, Tracer) and count is None else repr(count.item())
        raise ShapeError(
            f"{function}: {name} must be an array or a known integer that is not negative, got {shown}. Under jit, "
            "mark a count as static."
        )
    return np.arange(int(count))


def _axis(function: str, axis: Any, ndim: int) -> int:
    if isinstance(axis, bool) or not isinstance(axis, int) or not -ndim <= axis < ndim:
        raise AxisError(f"{function}: axis={axis!r} is not an axis of an array that has {ndim}.")
    return axis % ndim


def _weights(p: Any, count: int, draws: int) -> Any:
    """Probabilities, checked."""
    p = as_float("choice", "p", p)
    if p.shape != (count,):
        raise ShapeError(f"choice: p has shape {p.shape}, expected ({count},), a probability for each element.")
    value = known(p)
    if value is not None:
        if not np.all((value >= 0) & np.isfinite(value)):
            raise ArgumentError(f"choice: p must be finite and not negative, got {value}.")
        if np.count_nonzero(value) < draws:
            raise ArgumentError(
                f"choice: {draws} different elements are to be drawn, but p is 0 for all but {np.count_nonzero(value)}."
            )
    return p
