"""Functions that combine elements along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import DtypeError, ShapeError, UnsupportedError
from fungrad.numpy.promotion import BOOL, as_value
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axes_in
from fungrad.primitives.convert import convert
from fungrad.primitives.reduce import Reduce, Sum
from fungrad.primitives.shape import reshape
from fungrad.trace import bind, user_line


def _sum_dtype(x: Any, dtype: Any) -> Any:
    """The dtype in which NumPy sums: at least the platform's integer."""
    if dtype is not None:
        return np.dtype(dtype)
    kind, size = x.dtype.kind, x.dtype.itemsize
    if kind in "bi" and size < 8:
        return np.dtype(np.int64)
    return np.dtype(np.uint64) if kind == "u" and size < 8 else x.dtype


def _reduce(name: str, op: Any, x: Any, axis: Any, keepdims: Any) -> Any:
    axes = axes_in(axis, x.ndim, name)
    result = bind(op(axes), x) if axes or x.ndim == 0 else x
    if keepdims and keepdims is not np._NoValue:
        return reshape(result, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    return result


@implements(np.sum)
def sum_(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Any:
    x = as_value(a)
    result = _reduce("sum", Sum, convert(x, _sum_dtype(x, dtype)), axis, keepdims)
    return result if initial is None or initial is np._NoValue else result + initial


@implements(np.mean)
def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    x = as_value(a)
    if dtype is None and x.dtype.kind != "f":
        dtype = np.float64
    total = sum_(x, axis, dtype, None, keepdims)
    count = 1
    for i in axes_in(axis, x.ndim, "mean"):
        count *= x.shape[i]
    return total / count


def _extremum(kind: str, a: Any, axis: Any, keepdims: Any) -> Any:
    x = as_value(a)
    axes = axes_in(axis, x.ndim, kind)
    if any(x.shape[i] == 0 for i in axes):
        raise ShapeError(f"np.{kind}: shape {x.shape} has no elements along axis {axis}, at {user_line()}.")
    if x.dtype == BOOL:
        return _reduce(kind, lambda axes: Reduce("any" if kind == "max" else "all", axes), x, axis, keepdims)
    return _reduce(kind, lambda axes: Reduce(kind, axes), x, axis, keepdims)


@implements(np.max, np.amax)
def max_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True) -> Any:
    return _extremum("max", a, axis, keepdims)


@implements(np.min, np.amin)
def min_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True) -> Any:
    return _extremum("min", a, axis, keepdims)
