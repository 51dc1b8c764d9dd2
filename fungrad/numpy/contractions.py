"""Products that sum over axes: each is one `Dot` between transpositions and reshapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError
from fungrad.numpy.promotion import as_value, broadcast_shape, cast, common_dtype
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axis_in, axis_order, moveaxis, ravel
from fungrad.primitives.contract import Dot
from fungrad.primitives.shape import broadcast, reshape, transpose
from fungrad.trace import bind, user_line


def _pair(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands in one dtype."""
    a, b = as_value(a), as_value(b)
    dtype = common_dtype(a, b)
    return cast(a, dtype), cast(b, dtype)


def _check_inner(name: str, a: Any, b: Any, i: int, j: int) -> None:
    if a.shape[i] != b.shape[j]:
        raise ShapeError(
            f"np.{name}: shapes {a.shape} and {b.shape} do not fit: axis {i} of the first has {a.shape[i]} elements, "
            f"axis {j} of the second has {b.shape[j]}, at {user_line()}."
        )


def matmul(a: Any, b: Any) -> Any:
    """`np.matmul`, also the operator @."""
    a, b = _pair(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(
            f"np.matmul: shapes {a.shape} and {b.shape}: a 0-d operand is not allowed, use *, at {user_line()}."
        )
    i, j = a.ndim - 1, max(b.ndim - 2, 0)
    _check_inner("matmul", a, b, i, j)
    if b.ndim <= 2 or a.ndim == 1:  # at most one operand has batch axes: one large product
        return bind(Dot((i,), (j,)), a, b)
    batch = broadcast_shape("matmul", a.shape[:-2], b.shape[:-2])
    n = len(batch)
    a, b = broadcast(a, (*batch, *a.shape[-2:])), broadcast(b, (*batch, *b.shape[-2:]))
    axes = tuple(range(n))
    return bind(Dot((n + 1,), (n,), axes, axes), a, b)


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    a, b = _pair(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    i, j = a.ndim - 1, max(b.ndim - 2, 0)
    _check_inner("dot", a, b, i, j)
    return bind(Dot((i,), (j,)), a, b)


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    a, b = _pair(a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    _check_inner("inner", a, b, a.ndim - 1, b.ndim - 1)
    return bind(Dot((a.ndim - 1,), (b.ndim - 1,)), a, b)


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    return inner(ravel(a), ravel(b))


@implements(np.outer, np.linalg.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    a, b = ravel(a), ravel(b)
    return reshape(a, (a.size, 1)) * reshape(b, (1, b.size))


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = _pair(a, b)
    if isinstance(axes, int | np.integer):
        count = int(axes)
        if count > min(a.ndim, b.ndim):
            raise ShapeError(
                f"np.tensordot: {count} axes to sum, but shapes {a.shape} and {b.shape}, at {user_line()}."
            )
        axes = (tuple(range(a.ndim - count, a.ndim)), tuple(range(count)))
    of_a, of_b = axis_order(axes[0], a.ndim, "tensordot"), axis_order(axes[1], b.ndim, "tensordot")
    if len(of_a) != len(of_b):
        raise ArgumentError(f"np.tensordot: axes {axes} do not pair up, at {user_line()}.")
    for i, j in zip(of_a, of_b, strict=True):
        _check_inner("tensordot", a, b, i, j)
    return bind(Dot(of_a, of_b), a, b)


def vecdot(a: Any, b: Any, axis: int = -1) -> Any:
    """The products of vectors that lie along the last axes."""
    a, b = _pair(a, b)
    _check_inner("vecdot", a, b, axis_in(axis, a.ndim, "vecdot"), axis_in(axis, b.ndim, "vecdot"))
    return np.sum(moveaxis(a, axis, -1) * moveaxis(b, axis, -1), axis=-1)


def matvec(a: Any, b: Any) -> Any:
    """Matrices times vectors along the last axes."""
    b = as_value(b)
    return matmul(a, reshape(b, (*b.shape, 1)))[..., 0]


def vecmat(a: Any, b: Any) -> Any:
    """Vectors times matrices along the last axes."""
    a = as_value(a)
    return matmul(reshape(a, (*a.shape[:-1], 1, a.shape[-1])), b)[..., 0, :]


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    a, b = _pair(a, b)
    rank = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (rank - x.ndim) + x.shape for x in (a, b))
    spread_a = reshape(a, tuple([n for extent in shape_a for n in (extent, 1)]))
    spread_b = reshape(b, tuple([n for extent in shape_b for n in (1, extent)]))
    return reshape(spread_a * spread_b, tuple([n * m for n, m in zip(shape_a, shape_b, strict=True)]))


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _pair(a, b)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ShapeError(
            f"np.cross needs vectors of 3 components, got shapes {a.shape} and {b.shape}, at {user_line()}."
        )
    after, before = np.array([1, 2, 0]), np.array([2, 0, 1])
    return moveaxis(a[..., after] * b[..., before] - a[..., before] * b[..., after], -1, axisc)


@implements(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return cross(x1, x2, axis=axis)


@implements(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return vecdot(x1, x2, axis)


@implements(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    return matmul(x1, x2)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    result, *rest = arrays
    for x in rest:
        result = dot(result, x)
    return result


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    x = as_value(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"np.linalg.matrix_power needs square matrices, got shape {x.shape}, at {user_line()}.")
    if n < 0:
        x, n = np.linalg.inv(x), -n
    result = broadcast(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    if n == 0:
        return np.zeros_like(x) + result
    result = None
    while n:  # repeated squaring
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    return result


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    from fungrad.numpy.views import perhaps_view_of

    x = as_value(a)
    if x.ndim < 2:
        raise ShapeError(f"np.diagonal needs at least 2 axes, got shape {x.shape}, at {user_line()}.")
    i, j = axis_in(axis1, x.ndim, "diagonal"), axis_in(axis2, x.ndim, "diagonal")
    others = tuple(k for k in range(x.ndim) if k not in (i, j))
    rows, columns = max(0, -offset), max(0, offset)
    count = max(0, min(x.shape[i] - rows, x.shape[j] - columns))
    k = np.arange(count)
    moved = transpose(x, (*others, i, j))
    return perhaps_view_of(x, moved[..., k + rows, k + columns])


@implements(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    return diagonal(x, offset, -2, -1)


@implements(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return np.sum(diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)
