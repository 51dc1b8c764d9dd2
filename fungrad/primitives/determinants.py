"""Determinants: `Det`, its gradient `Cofactors`, and `LogDet`.

The determinant is a polynomial, so its gradient, the matrix of cofactors, exists for singular matrices too, where the
common formula det(A) A^-T does not. The cofactors are computed from a singular value decomposition, without division.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.ir.primitive import Value
from fungrad.primitives.linalg import Inverse, MatrixFunction, flipped
from fungrad.primitives.reduce import Sum, spread
from fungrad.primitives.shape import Shape
from fungrad.trace import bind


def _inner(x: Value, y: Value) -> Value:
    """For each pair of matrices the sum of the products of their elements."""
    return bind(Sum((x.ndim - 2, x.ndim - 1)), x * y)


def _scaled(factor: Value, x: Value) -> Value:
    """Each matrix times its factor."""
    return spread(factor, x.shape, (x.ndim - 2, x.ndim - 1)) * x


@dataclass(frozen=True, slots=True)
class Det(MatrixFunction):
    """The determinant of A; its gradient are the cofactors."""

    def shape_for(self, shape: Shape) -> Shape:
        return shape[:-2]

    def evaluate(self, *arrays: Any) -> Any:
        return np.linalg.det(arrays[0])

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        return _scaled(ct, bind(Cofactors(), a))

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        return _inner(bind(Cofactors(), a), t)


@dataclass(frozen=True, slots=True)
class Cofactors(MatrixFunction):
    """The cofactors C of A: C A^T = det(A) I.

    With A = U diag(s) V^T they are det(U V^T) U diag(p) V^T, where p_i is the product of all s but s_i. Their own
    derivative is taken of C = det(A) A^-T, so it needs an inverse: along t it is <A^-T, t> C - A^-T t^T C.
    """

    def evaluate(self, *arrays: Any) -> Any:
        (a,) = arrays
        finite = np.isfinite(a).all(axis=(-2, -1), keepdims=True)
        u, s, vt = np.linalg.svd(np.where(finite, a, a.dtype.type(0)))
        before = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :-1]], axis=-1), axis=-1)
        after = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
        sign = np.rint(np.linalg.det(u) * np.linalg.det(vt))
        others = (before * after * sign[..., None])[..., None, :]
        return np.where(finite, np.matmul(u * others, vt), a.dtype.type(np.nan))

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        inverse = flipped(bind(Inverse(), a))
        return _scaled(_inner(ct, out), inverse) - np.matmul(out, np.matmul(flipped(ct), inverse))

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        inverse = flipped(bind(Inverse(), a))
        return _scaled(_inner(inverse, t), out) - np.matmul(inverse, np.matmul(flipped(t), out))


@dataclass(frozen=True, slots=True)
class LogDet(MatrixFunction):
    """The sign of the determinant of A and the logarithm of its magnitude, along a last axis of two.

    One primitive for both, so that they share the factorization. The sign is constant almost everywhere; the gradient
    of the logarithm is A^-T.
    """

    def shape_for(self, shape: Shape) -> Shape:
        return (*shape[:-2], 2)

    def evaluate(self, *arrays: Any) -> Any:
        return np.stack(np.linalg.slogdet(arrays[0]), axis=-1)

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        return _scaled(ct[..., 1], flipped(bind(Inverse(), a)))

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        moved = _inner(flipped(bind(Inverse(), a)), t)
        return np.stack([np.zeros_like(moved), moved], axis=-1)
