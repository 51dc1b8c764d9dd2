"""Applying a primitive, and naming the types it works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad import trace
from fungrad.arguments import as_leaf
from fungrad.errors import ArgumentError
from fungrad.ir import types
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType
from fungrad.numpy.promotion import frozen
from fungrad.results import own


def bind(op: Primitive, *operands: Any) -> Any:
    """Apply a primitive: evaluate it on arrays, record it where an operand is traced.

    Operands are neither promoted nor broadcast.

    Args:
        op: the primitive.
        operands: arrays and numbers, traced or not.

    Returns:
        The result, or a tuple of them if `op.multiple`.

    >>> from fungrad.extend import bind
    >>> from fungrad.primitives.shape import Flip
    >>> bind(Flip(axes=(0,)), np.array([1.0, 2.0]))
    array([2., 1.])
    """
    if not isinstance(op, Primitive):
        raise ArgumentError(f"bind takes an instance of a Primitive first, got {op!r}. Write bind(Op(...), x, y).")
    values = [as_leaf(x, f"operand {i} of {op.name}")[0] for i, x in enumerate(operands)]
    found = bind_values(op, values)
    return tuple(found) if op.multiple else found[0]


def bind_values(op: Primitive, values: Sequence[Any]) -> list[Any]:
    """The results of a primitive for values that are arrays, NumPy scalars and tracers."""
    if trace.deepest(values) is not None:
        values = [frozen(x) if type(x) is np.ndarray else x for x in values]
    found = trace.bind(op, *values)
    return own(found if op.multiple else [found], values)


def array_type(shape: Sequence[int] | int, dtype: Any = np.float64) -> ArrayType:
    """The type of arrays of that shape and dtype, as `infer` takes and gives it.

    Args:
        shape: the extents, or one extent.
        dtype: bool, an integer type, float32 or float64.

    >>> from fungrad.extend import array_type
    >>> array_type((2, 3), np.float32)
    f32[2,3]
    """
    extents = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    return types.array_type(tuple(map(int, extents)), np.dtype(dtype))
