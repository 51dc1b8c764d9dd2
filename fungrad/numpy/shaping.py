"""Functions that rearrange elements: shapes, axes, joining, splitting, repeating."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.errors import AxisError, ShapeError
from fungrad.numpy.promotion import as_operand, as_value, cast, common_dtype, stack_operands
from fungrad.numpy.registry import implements
from fungrad.primitives import shape as primitives
from fungrad.trace import bind, user_line

Shape = tuple[int, ...]


def axis_in(axis: Any, ndim: int, name: str) -> int:
    """An axis as a number from 0 to ndim - 1.

    Raises:
        AxisError: there is no such axis.
    """
    number = int(axis.__index__())
    if not -ndim <= number < ndim:
        raise AxisError(f"np.{name}: axis {number} is out of range for an array of {ndim} axes, at {user_line()}.")
    return number % ndim


def axes_in(axis: Any, ndim: int, name: str) -> tuple[int, ...]:
    """An axis, a tuple of axes or None (all) as distinct sorted numbers."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(sorted(axis_in(a, ndim, name) for a in given))
    if len(set(axes)) != len(axes):
        raise AxisError(f"np.{name}: axis {axis} names an axis twice, at {user_line()}.")
    return axes


def resolved_shape(x: Any, shape: Any, name: str = "reshape") -> Shape:
    """A shape with one -1 filled in."""
    given = [int(n.__index__()) for n in (shape if isinstance(shape, tuple | list) else (shape,))]
    if given.count(-1) == 1:
        known = -math.prod(given)
        fits = known and x.size % known == 0
        given[given.index(-1)] = x.size // known if known else 0
    else:
        fits = math.prod(given) == x.size
    if not fits or min(given, default=0) < 0:
        raise ShapeError(
            f"np.{name}: an array of shape {x.shape} with {x.size} elements cannot take the shape {shape}, "
            f"at {user_line()}."
        )
    return tuple(given)


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None) -> Any:
    x = as_value(a)
    if order in ("F", "f"):
        return transpose(reshape(transpose(x), tuple(reversed(resolved_shape(x, shape)))))
    return primitives.reshape(x, resolved_shape(x, shape))


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    return reshape(a, -1, order)


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    x = as_value(a)
    if axes is None:
        return primitives.transpose(x, tuple(reversed(range(x.ndim))))
    order = tuple(axis_in(axis, x.ndim, "transpose") for axis in axes)
    if sorted(order) != list(range(x.ndim)):
        raise AxisError(f"np.transpose: axes {axes} are not a permutation of {x.ndim} axes, at {user_line()}.")
    return primitives.transpose(x, order)


@implements(np.concatenate)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    operands = [as_value(x) for x in arrays]
    if axis is None:
        operands, axis = [ravel(x) for x in operands], 0
    if any(x.ndim == 0 for x in operands):
        raise ShapeError(f"np.concatenate: 0-d arrays cannot be joined, at {user_line()}. Use np.stack.")
    axis = axis_in(axis, operands[0].ndim, "concatenate")
    result = np.dtype(dtype) if dtype is not None else common_dtype(*operands)
    first = operands[0].shape
    for position, x in enumerate(operands):
        if x.ndim != len(first) or any(n != m for i, (n, m) in enumerate(zip(x.shape, first, strict=True)) if i != axis):
            raise ShapeError(
                f"np.concatenate along axis {axis}: array {position} has shape {x.shape}, the first has {first}, "
                f"at {user_line()}."
            )
    return bind(primitives.Concatenate(axis), *[cast(x, result) for x in operands])


@implements(np.stack)
def stack(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    operands = [as_value(x) for x in arrays]
    if dtype is not None:
        operands = [cast(x, np.dtype(dtype)) for x in operands]
    return stack_operands(operands, axis_in(axis, operands[0].ndim + 1, "stack"), "np.stack")
