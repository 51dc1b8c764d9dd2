"""Products that sum over axes: all are `Dot` between reshapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.numpy.promotion import as_value, broadcast_shape, cast, common_dtype
from fungrad.numpy.registry import implements
from fungrad.primitives.contract import Dot
from fungrad.primitives.shape import broadcast
from fungrad.trace import bind, user_line


def operands(*xs: Any) -> list[Any]:
    """Arrays of one dtype."""
    values = [as_value(x) for x in xs]
    dtype = common_dtype(*values)
    return [cast(x, dtype) for x in values]


def matmul(a: Any, b: Any) -> Any:
    a, b = operands(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"np.matmul: shapes {a.shape} and {b.shape}: a scalar is not allowed, use *, at {user_line()}.")
    i, j = a.ndim - 1, max(b.ndim - 2, 0)
    if a.shape[i] != b.shape[j]:
        raise ShapeError(
            f"np.matmul: shapes {a.shape} and {b.shape} do not fit: the last axis of the first has {a.shape[i]} elements, "
            f"axis {j} of the second has {b.shape[j]}, at {user_line()}."
        )
    if a.ndim <= 2 and b.ndim <= 2:
        return bind(Dot((i,), (j,)), a, b)
    batch = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    n = len(batch)
    if b.ndim <= 2:  # no batch of its own: one large product
        return bind(Dot((i,), (j,)), a, b)
    if a.ndim == 1:
        return bind(Dot((0,), (j,)), a, b)
    a, b = broadcast(a, (*batch, *a.shape[-2:])), broadcast(b, (*batch, *b.shape[-2:]))
    axes = tuple(range(n))
    return bind(Dot((n + 1,), (n,), axes, axes), a, b)


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    a, b = operands(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    i, j = a.ndim - 1, max(b.ndim - 2, 0)
    if a.shape[i] != b.shape[j]:
        raise ShapeError(
            f"np.dot: shapes {a.shape} and {b.shape} do not fit: the last axis of the first has {a.shape[i]} elements, "
            f"axis {j} of the second has {b.shape[j]}, at {user_line()}."
        )
    return bind(Dot((i,), (j,)), a, b)
