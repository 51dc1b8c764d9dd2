"""Order, and selection along an axis by positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError
from fungrad.numpy.indexing import getitem
from fungrad.numpy.promotion import as_operand, as_value
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axis_in
from fungrad.primitives.shape import reshape
from fungrad.primitives.sort import ArgSort
from fungrad.trace import Tracer, bind, user_line


def _flat_or_axis(a: Any, axis: Any, name: str, order: Any = None) -> tuple[Any, int]:
    if order is not None:
        raise ArgumentError(f"np.{name}: order={order!r} names fields; an array of numbers has none, at {user_line()}.")
    x = as_value(a)
    if axis is None:
        return reshape(x, (x.size,)), 0
    return x, axis_in(axis, x.ndim, name)


@implements(np.argsort)
def argsort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    x, axis = _flat_or_axis(a, axis, "argsort", order)
    return bind(ArgSort(axis), x)


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    x, axis = _flat_or_axis(a, axis, "sort", order)
    return take_along_axis(x, bind(ArgSort(axis), x), axis)


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    return sort(a, axis, order=order)  # a sorted array is partitioned at every place


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None) -> Any:
    return argsort(a, axis, order=order)


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    positions = as_value(indices)
    x, axis = _flat_or_axis(arr, axis, "take_along_axis")
    if positions.ndim != x.ndim:
        raise ShapeError(
            f"np.take_along_axis: indices of {positions.ndim} axes for an array of {x.ndim}, at {user_line()}."
        )
    index = [
        positions if i == axis else np.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])
        for i, n in enumerate(x.shape)
    ]
    return getitem(x, tuple(index))


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """NumPy's `take`. As `fungrad.numpy.take` it also reads a plain array at traced indices, for which NumPy does not
    ask us."""
    x, axis = _flat_or_axis(a, axis, "take")
    positions = as_value(indices)
    extent = x.shape[axis]
    if mode == "wrap":
        positions = positions % extent
    elif mode == "clip":
        positions = np.clip(positions, 0, extent - 1)
    if positions.ndim == 0 and type(positions) is not Tracer:
        positions = int(positions)
    return getitem(x, (*[slice(None)] * axis, positions))


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    x, axis = _flat_or_axis(a, axis, "compress")
    return getitem(x, (*[slice(None)] * axis, np.nonzero(as_value(condition))[0]))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    return compress(np.ravel(as_value(condition)), arr)


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    from fungrad.numpy.shaping import broadcast_arrays

    index, *options = broadcast_arrays(as_value(a), *choices)
    return take_along_axis(np.stack(options), index[None], 0)[0]


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    x, values = as_value(a), as_operand(v)
    x = x if sorter is None else take(x, sorter)
    values = as_value(values)
    column = reshape(values, (*values.shape, 1))
    is_nan = column != column  # which comes last
    before = (x < column) | (is_nan & (x == x)) if side == "left" else (x <= column) | is_nan
    return np.sum(before, axis=-1)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    return searchsorted(bins, x, "left" if right else "right")
