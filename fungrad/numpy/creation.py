"""Functions that make arrays.

`zeros_like(t)` and its kin of a traced `t` give a traced constant, so that `y = np.zeros_like(x); y[0] = x[1]` works.
NumPy's `array` cannot see tracers inside a list; the ones here can.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.numpy.promotion import as_value, broadcast_shape, cast, contains_tracer, spread_to
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import shape_from
from fungrad.numpy.ufuncs import copy as copy_tracer
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full as constant
from fungrad.primitives.shape import reshape
from fungrad.trace import Tracer, user_line


def array(object: Any, dtype: Any = None, *, copy: bool | None = True, order: str = "K", ndmin: int = 0) -> Any:
    """An array from nested sequences, which may contain traced values; see `numpy.array`.

    >>> array([1.0, 2.0])
    array([1., 2.])
    """
    if not contains_tracer(object):
        return np.array(object, dtype, copy=copy, order=order, ndmin=ndmin)  # type: ignore[call-overload]
    x = as_value(object)
    x = x if dtype is None else convert(x, np.dtype(dtype))
    x = reshape(x, (1,) * (ndmin - x.ndim) + x.shape)
    return copy_tracer(x) if x is object and copy else x


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None) -> Any:
    """As `array`, but an array of that dtype already is returned as it is."""
    return array(a, dtype, copy=copy) if contains_tracer(a) else np.asarray(a, dtype, order, copy=copy)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of `shape` that repeats `fill_value`, which may be traced; see `numpy.full`."""
    if not contains_tracer(fill_value):
        return np.full(shape, fill_value, dtype)
    x = as_value(fill_value)
    return spread_to(x, shape_from(shape), x.dtype if dtype is None else np.dtype(dtype))


def _filled(prototype: Any, value: Any, dtype: Any, shape: Any) -> Any:
    x = as_value(prototype)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    target = x.shape if shape is None else shape_from(shape)
    if isinstance(value, Tracer | np.ndarray | list | tuple):
        value = as_value(value)
        if broadcast_shape("full_like", value.shape, target) != target:
            raise ShapeError(f"np.full_like: shape {value.shape} does not broadcast to {target}, at {user_line()}.")
        return spread_to(value, target, dtype)
    filled = constant(target, cast(value, dtype) if type(value) is int else value, dtype)
    return x.owner.constant(filled) if type(x) is Tracer else filled


@implements(np.zeros_like)
def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    return _filled(a, 0, dtype, shape)


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    return _filled(a, 1, dtype, shape)


@implements(np.empty_like)
def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    return _filled(prototype, 0, dtype, shape)


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    return _filled(a, fill_value, dtype, shape)


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    return copy_tracer(a)


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    converted = convert(as_value(x), np.dtype(dtype))
    return copy_tracer(x) if converted is x and copy else converted


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    a, b = np.broadcast_arrays(start * 1.0, stop * 1.0)
    gaps = num - 1 if endpoint else num
    t = np.linspace(0.0, 1.0, num, endpoint).reshape((num,) + (1,) * a.ndim)
    points = np.moveaxis(a * (1 - t) + b * t, 0, axis)
    points = points if dtype is None else points.astype(dtype)
    return (points, (b - a) / gaps) if retstep else points


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    points = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return points if dtype is None else points.astype(dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    points = np.exp(linspace(np.log(start), np.log(stop), num, endpoint, axis=axis))
    return points if dtype is None else points.astype(dtype)


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    from fungrad.numpy.promotion import kind_of, strong

    examples = {int: 0, float: 0.0}
    kinds = [kind_of(x) if type(x) is Tracer else x for x in arrays_and_dtypes]
    if all(kind in (int, float) for kind in kinds):
        kinds = [strong(kind) for kind in kinds]
    return np.result_type(*[examples.get(k, k) if isinstance(k, type) else k for k in kinds])
