"""Functions of matrices and linear systems of `np.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.ir.primitive import Primitive
from fungrad.numpy.promotion import broadcast_shape, cast, common_dtype
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import matrix_transpose
from fungrad.numpy.ufuncs import as_float
from fungrad.primitives.determinants import Det, LogDet
from fungrad.primitives.linalg import Cholesky, Inverse, Solve
from fungrad.primitives.shape import broadcast, reshape
from fungrad.trace import bind, user_line

_SlogdetResult: Any = type(np.linalg.slogdet(np.eye(1)))


def square(name: str, a: Any) -> Any:
    """An operand as square matrices of floats."""
    x = as_float(a)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{name} needs square matrices along the last two axes, got shape {x.shape}, at {user_line()}."
        )
    return x


def solved(name: str, op: Primitive, a: Any, b: Any) -> Any:
    """Solutions of linear systems: `b` is one vector, or matrices whose columns are right-hand sides."""
    a, b = square(name, a), as_float(b)
    dtype = common_dtype(a, b)
    a, b = cast(a, dtype), cast(b, dtype)
    n = a.shape[-1]
    vector = b.ndim == 1
    if b.ndim == 0 or b.shape[0 if vector else -2] != n:
        raise ShapeError(
            f"{name}: shapes {a.shape} and {b.shape} do not fit: the right-hand side must be a vector of {n} elements "
            f"or matrices of {n} rows, at {user_line()}."
        )
    columns = reshape(b, (n, 1)) if vector else b
    stack = broadcast_shape(name.removeprefix("np."), a.shape[:-2], columns.shape[:-2])
    columns = broadcast(columns, (*stack, *columns.shape[-2:]))
    x = bind(op, broadcast(a, (*stack, n, n)), columns)
    return reshape(x, x.shape[:-1]) if vector else x


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    x = square("np.linalg.cholesky", a)
    return matrix_transpose(bind(Cholesky(), matrix_transpose(x))) if upper else bind(Cholesky(), x)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    return solved("np.linalg.solve", Solve(), a, b)


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    return bind(Inverse(), square("np.linalg.inv", a))


@implements(np.linalg.det)
def det(a: Any) -> Any:
    return bind(Det(), square("np.linalg.det", a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    pair = bind(LogDet(), square("np.linalg.slogdet", a))
    return _SlogdetResult(pair[..., 0], pair[..., 1])
