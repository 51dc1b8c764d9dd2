"""Triangular systems, which NumPy has no functions for; SciPy's cannot be traced.

L = np.linalg.cholesky(K)
alpha = lax.linalg.cho_solve((L, True), y)              # K^-1 y
half = lax.linalg.solve_triangular(L, y, lower=True)    # L^-1 y
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError
from fungrad.numpy.linear_algebra import solved
from fungrad.numpy.promotion import as_value
from fungrad.primitives.linalg import TriangularSolve
from fungrad.results import own

_TRANS = {0: False, 1: True, "N": False, "T": True}


def solve_triangular(a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """Solve `T @ x = b` for the upper or lower triangle T of `a`; named as in SciPy.

    Args:
        a: matrices of shape (..., n, n), of which one triangle is read.
        b: a vector of shape (n,), or matrices of shape (..., n, m); leading axes are broadcast.
        trans: 0 or "N" for `T @ x = b`, 1 or "T" for `T.T @ x = b`.
        lower: whether T is the lower triangle.
        unit_diagonal: whether the diagonal of T is 1, whatever that of `a` is.

    Returns:
        x, of the shape of `b`.

    Raises:
        ShapeError: `a` is not square, or `b` does not fit it.
        SingularMatrixError: there is a zero on the diagonal.

    >>> solve_triangular(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 9.0]), lower=True)
    array([1., 2.])
    """
    if trans not in _TRANS:
        raise ArgumentError(f"solve_triangular: trans must be 0, 1, 'N' or 'T', got {trans!r}.")
    return _solve("solve_triangular", TriangularSolve(bool(lower), _TRANS[trans], bool(unit_diagonal)), a, b)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """Solve `x @ T = b`, or `T @ x = b` if `left_side`; named as in `jax.lax.linalg`.

    Args:
        a: matrices of shape (..., n, n), of which one triangle, T, is read.
        b: matrices of shape (..., m, n), or (..., n, m) if `left_side`; or one vector of shape (n,).
        left_side: on which side of x the triangle is.
        lower: whether T is the lower triangle.
        transpose_a: whether T is transposed.
        unit_diagonal: whether the diagonal of T is 1, whatever that of `a` is.

    Returns:
        x, of the shape of `b`.

    Raises:
        ShapeError: `a` is not square, or `b` does not fit it.
        SingularMatrixError: there is a zero on the diagonal.

    >>> triangular_solve(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([[2.0, 9.0]]))
    array([[1., 2.]])
    """
    transposed = bool(transpose_a) == bool(left_side)  # x T = b is T^T x^T = b^T
    op = TriangularSolve(bool(lower), transposed, bool(unit_diagonal))
    if left_side or np.ndim(b) < 2:
        return _solve("triangular_solve", op, a, b)
    return np.swapaxes(_solve("triangular_solve", op, a, np.swapaxes(as_value(b), -1, -2)), -1, -2)


def cho_solve(c_and_lower: tuple[Any, bool], b: Any) -> Any:
    """Solve `A @ x = b` from the Cholesky factor of A; named as in SciPy.

    Args:
        c_and_lower: the factor, of shape (..., n, n), and whether it is the lower one, L with `L @ L.T = A`, as
            `np.linalg.cholesky` gives it, or the upper one.
        b: a vector of shape (n,), or matrices of shape (..., n, m).

    Returns:
        x, of the shape of `b`.

    >>> A = np.array([[4.0, 2.0], [2.0, 5.0]])
    >>> cho_solve((np.linalg.cholesky(A), True), A @ np.array([1.0, 2.0]))
    array([1., 2.])
    """
    if not isinstance(c_and_lower, tuple | list) or len(c_and_lower) != 2:
        raise ArgumentError(
            f"cho_solve: the first argument must be a pair (factor, lower), got a {type(c_and_lower).__name__}."
        )
    factor, lower = c_and_lower
    half = solve_triangular(factor, b, not lower, lower)
    return solve_triangular(factor, half, lower, lower)


def _solve(name: str, op: TriangularSolve, a: Any, b: Any) -> Any:
    return own([solved(name, op, a, b)])[0]
