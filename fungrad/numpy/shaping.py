"""Functions that change the shape or the order of axes. Most results are views: see `views`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fungrad.errors import AxisError, ShapeError, UnsupportedError
from fungrad.numpy.promotion import as_value, broadcast_shape
from fungrad.numpy.registry import implements
from fungrad.numpy.ufuncs import copy as copied
from fungrad.numpy.views import is_part, perhaps_view_of, view_of
from fungrad.primitives import shape as primitives
from fungrad.trace import Tracer, user_line

Shape = tuple[int, ...]


def axis_in(axis: Any, ndim: int, name: str) -> int:
    """An axis as a number from 0 to ndim - 1.

    Raises:
        AxisError: there is no such axis, or `axis` is not an integer.
    """
    try:
        number = int(axis.__index__())
    except AttributeError:
        raise AxisError(f"np.{name}: an axis must be an integer, got {axis!r}, at {user_line()}.") from None
    if not -ndim <= number < ndim:
        raise AxisError(f"np.{name}: axis {number} is out of range for an array of {ndim} axes, at {user_line()}.")
    return number % ndim


def axes_in(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """An axis, several axes or None (all) as distinct sorted numbers."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis_order(axis, ndim, name)
    return tuple(sorted(axes))


def axis_order(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """An axis or several axes as distinct numbers, in the order given."""
    given = axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple([axis_in(a, ndim, name) for a in given])
    if len(set(axes)) != len(axes):
        raise AxisError(f"np.{name}: {axis} names an axis twice, at {user_line()}.")
    return axes


def shape_from(shape: Any) -> Shape:
    """A shape given as an integer or a sequence of integers."""
    given = shape if isinstance(shape, tuple | list) else (shape,)
    try:
        return tuple([int(n.__index__()) for n in given])
    except AttributeError:
        raise ShapeError(f"a shape consists of integers, got {shape!r}, at {user_line()}.") from None


def completed_shape(x: Any, shape: Any) -> Shape:
    """The argument of `reshape` with a -1 filled in.

    Raises:
        ShapeError: the number of elements differs.
    """
    wanted = list(shape_from(shape))
    if wanted.count(-1) == 1:
        others = -math.prod(wanted)
        wanted[wanted.index(-1)] = x.size // others if others else 0
    if math.prod(wanted) != x.size or min(wanted, default=0) < 0:
        raise ShapeError(
            f"np.reshape: an array of shape {x.shape} has {x.size} elements and cannot take the shape {shape}, at "
            f"{user_line()}."
        )
    return tuple(wanted)


# -- the elements in another shape ----------------------------------------------------------------------------------


@implements(np.reshape)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    x = as_value(a)
    target = completed_shape(x, shape)
    if order not in ("C", "F") and x.ndim > 1:
        raise UnsupportedError(
            f"reshape or ravel with order={order!r} depends on the memory layout, which a traced array lacks, at "
            f"{user_line()}. Use order='C' or order='F'."
        )
    if order == "F" and (len(target) > 1 or x.ndim > 1):
        result = _reversed(primitives.reshape(_reversed(x), tuple(reversed(target))))
    else:
        result = primitives.reshape(x, target)
    if copy:
        return copied(result) if result is x and type(x) is Tracer else result
    return perhaps_view_of(x, result)


def _reversed(x: Any) -> Any:
    return primitives.transpose(x, tuple(reversed(range(x.ndim))))


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    x = as_value(a)
    if x.ndim == 1 and is_part(x):  # NumPy copies it unless it is contiguous
        return perhaps_view_of(x, copied(x))
    return reshape(x, -1, order)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    x = as_value(a)
    if axis is None:
        dropped = [i for i, n in enumerate(x.shape) if n == 1]
    else:
        dropped = list(axes_in(axis, x.ndim, "squeeze"))
        for i in dropped:
            if x.shape[i] != 1:
                raise ShapeError(
                    f"np.squeeze: axis {i} of shape {x.shape} has {x.shape[i]} elements, not 1, at {user_line()}."
                )
    target = tuple([n for i, n in enumerate(x.shape) if i not in dropped])
    return _same_elements(x, target)


def _same_elements(x: Any, target: Shape) -> Any:
    """A view that only inserts or drops axes of extent 1."""
    return view_of(x, primitives.reshape(x, target), lambda whole: primitives.reshape(whole, target))


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    x = as_value(a)
    count = len(axis) if isinstance(axis, tuple | list) else 1
    inserted = axes_in(axis, x.ndim + count, "expand_dims")
    left = iter(x.shape)
    return _same_elements(x, tuple([1 if i in inserted else next(left) for i in range(x.ndim + count)]))


def _each(function: Any, arrays: tuple[Any, ...]) -> Any:
    """The result for one array, a tuple of results for several."""
    return function(as_value(arrays[0])) if len(arrays) == 1 else tuple([function(as_value(a)) for a in arrays])


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    return _each(lambda x: x if x.ndim else primitives.reshape(x, (1,)), arys)


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    return _each(lambda x: x if x.ndim > 1 else _same_elements(x, (1, x.size)), arys)


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    def raised(x: Any) -> Any:
        shapes = {0: (1, 1, 1), 1: (1, x.size, 1), 2: (*x.shape, 1)}
        return _same_elements(x, shapes[x.ndim]) if x.ndim in shapes else x

    return _each(raised, arys)


# -- the order of axes ----------------------------------------------------------------------------------------------


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    x = as_value(a)
    order = tuple(reversed(range(x.ndim))) if axes is None else axis_order(axes, x.ndim, "transpose")
    if len(order) != x.ndim:
        raise AxisError(f"np.transpose: axes {axes} do not name each of {x.ndim} axes, at {user_line()}.")
    return view_of(x, primitives.transpose(x, order), lambda whole: primitives.transpose(whole, order))


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    x = as_value(x)
    if x.ndim < 2:
        raise ShapeError(f"np.matrix_transpose needs at least 2 axes, got shape {x.shape}, at {user_line()}.")
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    x = as_value(a)
    order = list(range(x.ndim))
    i, j = axis_in(axis1, x.ndim, "swapaxes"), axis_in(axis2, x.ndim, "swapaxes")
    order[i], order[j] = j, i
    return transpose(x, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    x = as_value(a)
    sources, targets = axis_order(source, x.ndim, "moveaxis"), axis_order(destination, x.ndim, "moveaxis")
    if len(sources) != len(targets):
        raise AxisError(
            f"np.moveaxis: source {source} and destination {destination} differ in number, at {user_line()}."
        )
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return transpose(x, order)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Any:
    x = as_value(a)
    axis = axis_in(axis, x.ndim, "rollaxis")
    start = start + x.ndim if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


# -- broadcasting ---------------------------------------------------------------------------------------------------


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    x, target = as_value(array), shape_from(shape)
    if broadcast_shape("broadcast_to", x.shape, target) != target:
        raise ShapeError(f"np.broadcast_to: shape {x.shape} does not broadcast to {target}, at {user_line()}.")
    return perhaps_view_of(x, primitives.broadcast(x, target))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    values = [as_value(a) for a in args]
    shape = broadcast_shape("broadcast_arrays", *[x.shape for x in values])
    return tuple([broadcast_to(x, shape) for x in values])


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    arrays = [ravel(x) for x in xi]
    axes = list(range(len(arrays)))
    if indexing == "xy" and len(axes) > 1:
        axes[:2] = [1, 0]
    shape = [1] * len(arrays)
    grids = []
    for x, axis in zip(arrays, axes, strict=True):
        alone = [1] * len(arrays)
        shape[axis] = alone[axis] = x.size
        grids.append(primitives.reshape(x, tuple(alone)))
    return tuple(grids) if sparse else tuple([primitives.broadcast(grid, tuple(shape)) for grid in grids])


# -- what is known without the values --------------------------------------------------------------------------------


@implements(np.shape)
def shape(a: Any) -> Shape:
    found: Shape = as_value(a).shape
    return found


@implements(np.ndim)
def ndim(a: Any) -> int:
    return int(as_value(a).ndim)


@implements(np.size)
def size(a: Any, axis: Any = None) -> int:
    x = as_value(a)
    return int(x.size) if axis is None else math.prod(x.shape[i] for i in axes_in(axis, x.ndim, "size"))
