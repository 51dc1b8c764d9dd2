"""What layers, activations and losses accept, checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.errors import AxisError, DtypeError, ShapeError
from fungrad.ir.types import type_of
from fungrad.trace import is_array


def as_array(function: str, name: str, x: Any) -> Any:
    """`x` as an array or tracer; numbers and lists of numbers are converted.

    Raises:
        DtypeError: the dtype is not bool, an integer, float32 or float64.
    """
    value = x if is_array(x) else np.asarray(x)[()]
    try:
        type_of(value)
    except DtypeError as error:
        raise DtypeError(f"{function}: {name}: {error}") from None
    return value


def as_float(function: str, name: str, x: Any) -> Any:
    """`x` as a float array or tracer. float32 and float64 stay what they are; integers become float64."""
    value = as_array(function, name, x)
    return value if value.dtype.kind == "f" else value.astype(np.float64)


def normal_axes(function: str, x: Any, axis: int | Sequence[int] | None) -> tuple[int, ...]:
    """`axis` as non-negative axes of `x`; None means all of them.

    Raises:
        AxisError: an axis is out of range, named twice, or not an integer.
        ShapeError: an axis is empty.
    """
    given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not -x.ndim <= number < x.ndim:
            raise AxisError(f"{function}: axis={axis!r} is not an axis of {type_of(x)}, which has {x.ndim}.")
    axes = tuple(int(number) % x.ndim for number in given)
    if len(set(axes)) != len(axes):
        raise AxisError(f"{function}: axis={axis!r} names an axis of {type_of(x)} twice.")
    if any(x.shape[a] == 0 for a in axes):
        raise ShapeError(f"{function}: axis {axis} of {type_of(x)} has no elements.")
    return axes
