"""Factorizations of matrices, computed by LAPACK: `Eigh`, `Svd`, `Qr`; and `PseudoInverse`.

Matrices lie along the last two axes, in stacks along those before them. Eigenvectors and singular vectors have a
derivative where no two of their values are equal; elsewhere it is nan, while the values alone still have theirs.

    M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008
    J. Townsend, "Differentiating the singular value decomposition", 2016
    S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions", arXiv:1001.1654, 2010
    G. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems", 1973
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fungrad.errors import DtypeError, NoConvergenceError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.linalg import (
    MatrixFunction,
    TriangularSolve,
    by_lapack,
    check_square,
    flipped,
    half_triangle,
)
from fungrad.trace import bind


def check_matrix(name: str, x: ArrayType) -> None:
    """Raise unless these are matrices of floats."""
    if x.ndim < 2:
        raise ShapeError(f"{name}: {x} is not a matrix")
    if not x.is_float:
        raise DtypeError(f"{name}: {x} must be converted to floats first")


def _over(x: Value) -> Value:
    """1 / x, and nan for 0."""
    return 1 / np.where(x == 0, np.nan, x)


def _over_gaps(x: Value) -> Value:
    """The matrix of 1 / (x_j - x_i): 0 on the diagonal, nan where two numbers are equal."""
    diagonal = np.eye(x.shape[-1], dtype=np.bool_)
    gaps = x[..., None, :] - x[..., :, None]
    return np.where(diagonal, 0.0, _over(np.where(diagonal, 1.0, gaps)))


def _diagonal(x: Value) -> Value:
    return np.diagonal(x, axis1=-2, axis2=-1)


def _total(terms: Sequence[Cotangent]) -> Cotangent:
    """The sum of what is not None; None if there is nothing."""
    found = [x for x in terms if x is not None]
    return sum(found[1:], found[0]) if found else None


class Factorization(Primitive):
    """A tuple of arrays from a matrix, and from each of a stack."""

    multiple: ClassVar[bool] = True

    def pullback(self, cts: Sequence[Cotangent], out: Sequence[Value]) -> Cotangent:
        """The cotangent of the matrix, where None stands for a cotangent of zero."""
        raise NotImplementedError

    def pushforward(self, t: Value, out: Sequence[Value]) -> tuple[Value, ...]:
        """The tangents of the results."""
        raise NotImplementedError

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [self.pullback(ct, out) if wanted[0] else None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        return (None,) * len(out) if tangents[0] is None else self.pushforward(tangents[0], out)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        return bind(self, *inputs)


@dataclass(frozen=True, slots=True)
class Eigh(Factorization):
    """The eigenvalues w of a symmetric A, ascending, and its orthonormal eigenvectors, the columns of V.

    One triangle of A is read, the lower or the upper one. With S the symmetric tangent that the triangle of t stands
    for, M = V^T S V and F_ij = 1 / (w_j - w_i), the tangents are the diagonal of M, and V (F * M). The cotangent of the
    symmetric matrix is V (diag(ct_w) + F * (V^T ct_V)) V^T.
    """

    lower: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square(self.name, a)
        return array_type(a.shape[:-1], a.dtype), a

    def evaluate(self, *arrays: Any) -> Any:
        def eigh(a: Any) -> Any:
            return np.linalg.eigh(a, "L" if self.lower else "U")

        return tuple(by_lapack(self, eigh, NoConvergenceError, "has eigenvalues that were not found", *arrays))

    def pullback(self, cts: Sequence[Cotangent], out: Sequence[Value]) -> Cotangent:
        (ct_w, ct_v), (w, v) = cts, out
        scaled = None if ct_w is None else v * ct_w[..., None, :]
        turned = None if ct_v is None else np.matmul(v, _over_gaps(w) * np.matmul(flipped(v), ct_v))
        full = np.matmul(_total([scaled, turned]), flipped(v))
        read = half_triangle(full + flipped(full))
        return read if self.lower else flipped(read)

    def pushforward(self, t: Value, out: Sequence[Value]) -> tuple[Value, ...]:
        w, v = out
        half = half_triangle(t if self.lower else flipped(t))
        inner = np.matmul(flipped(v), np.matmul(half + flipped(half), v))
        return _diagonal(inner), np.matmul(v, _over_gaps(w) * inner)


@dataclass(frozen=True, slots=True)
class Svd(Factorization):
    """The singular values s of A, descending, and its singular vectors: A = U diag(s) V^T, where U and V have as many
    columns as A has singular values, the shorter of its sides. The results are U, s and V^T.

    With M = U^T t V and F_ij = 1 / (s_j^2 - s_i^2), the tangents are the diagonal of M for s,
    U (F * (M S + S M^T)) + (I - U U^T) t V S^-1 for U, and for V the same of the transposed matrices.
    """

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *stack, m, n = a.shape
        k = min(m, n)
        return tuple(array_type(shape, a.dtype) for shape in ((*stack, m, k), (*stack, k), (*stack, k, n)))

    def evaluate(self, *arrays: Any) -> Any:
        def svd(a: Any) -> Any:
            return np.linalg.svd(a, full_matrices=False)

        return tuple(by_lapack(self, svd, NoConvergenceError, "has singular values that were not found", *arrays))

    def pullback(self, cts: Sequence[Cotangent], out: Sequence[Value]) -> Cotangent:
        (ct_u, ct_s, ct_vt), (u, s, vt) = cts, out
        ut, v = flipped(u), flipped(vt)
        inner, outer = [], []
        if ct_u is not None:
            x = np.matmul(ut, ct_u)
            inner.append(self._over_gaps(s) * (x - flipped(x)) * s[..., None, :])
            if u.shape[-2] > s.shape[-1]:
                outer.append(np.matmul((ct_u - np.matmul(u, x)) * _over(s)[..., None, :], vt))
        if ct_vt is not None:
            x = np.matmul(vt, flipped(ct_vt))
            inner.append(s[..., :, None] * (self._over_gaps(s) * (x - flipped(x))))
            if v.shape[-2] > s.shape[-1]:
                outer.append(np.matmul(u * _over(s)[..., None, :], ct_vt - np.matmul(flipped(x), vt)))
        scaled = None if ct_s is None else u * ct_s[..., None, :]
        turned = _total(inner)
        left = _total([scaled, None if turned is None else np.matmul(u, turned)])
        return _total([np.matmul(left, vt), *outer])

    def pushforward(self, t: Value, out: Sequence[Value]) -> tuple[Value, ...]:
        u, s, vt = out
        moved = np.matmul(t, flipped(vt))
        inner = np.matmul(flipped(u), moved)
        over_gaps = self._over_gaps(s)
        right, left = inner * s[..., None, :], s[..., :, None] * inner
        t_u = np.matmul(u, over_gaps * (right + flipped(right)))
        t_v = np.matmul(flipped(vt), over_gaps * (left + flipped(left)))
        if u.shape[-2] > s.shape[-1]:
            t_u = t_u + (moved - np.matmul(u, inner)) * _over(s)[..., None, :]
        if vt.shape[-1] > s.shape[-1]:
            back = np.matmul(flipped(t), u)
            t_v = t_v + (back - np.matmul(flipped(vt), flipped(inner))) * _over(s)[..., None, :]
        return t_u, _diagonal(inner), flipped(t_v)

    @staticmethod
    def _over_gaps(s: Value) -> Value:
        """F."""
        sums = s[..., None, :] + s[..., :, None]
        return _over_gaps(s) / np.where(sums == 0, 1.0, sums)


@dataclass(frozen=True, slots=True)
class Qr(Factorization):
    """The Q with orthonormal columns and the upper triangular R with Q R = A, of a matrix with at least as many rows
    as columns.

    With X = t R^-1, C = Q^T X, L the part of C below its diagonal and W = L - L^T, the tangents are X + Q (W - C) and
    (C - W) R. For M = R ct_R^T - ct_Q^T Q and its lower triangle mirrored, N, the cotangent is (ct_Q + Q N) R^-T. They
    need columns that do not depend on each other.
    """

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix(self.name, a)
        *stack, m, n = a.shape
        if m < n:
            raise ShapeError(f"{self.name}: {a} has more columns than rows")
        return a, array_type((*stack, n, n), a.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return tuple(np.linalg.qr(*arrays))

    def pullback(self, cts: Sequence[Cotangent], out: Sequence[Value]) -> Cotangent:
        (ct_q, ct_r), (q, r) = cts, out
        inner = _total(
            [
                None if ct_r is None else np.matmul(r, flipped(ct_r)),
                None if ct_q is None else -np.matmul(flipped(ct_q), q),
            ]
        )
        half = half_triangle(inner)
        right = _total([ct_q, np.matmul(q, half + flipped(half))])
        return flipped(bind(TriangularSolve(lower=False), r, flipped(right)))

    def pushforward(self, t: Value, out: Sequence[Value]) -> tuple[Value, ...]:
        q, r = out
        x = flipped(bind(TriangularSolve(lower=False, transposed=True), r, flipped(t)))
        inner = np.matmul(flipped(q), x)
        below = np.tril(inner, -1)
        rest = inner - below + flipped(below)
        return x - np.matmul(q, rest), np.matmul(rest, r)


@dataclass(frozen=True, slots=True)
class PseudoInverse(MatrixFunction):
    """Moore and Penrose's inverse P of A, in which singular values below `rcond` times the largest count as 0.

    Its tangent is -P t P + P P^T t^T (I - A P) + (I - P A) t^T P^T P, where the rank does not change.
    """

    rcond: float

    def infer(self, *types: ArrayType) -> ArrayType:
        (a,) = types
        check_matrix(self.name, a)
        *stack, m, n = a.shape
        return array_type((*stack, n, m), a.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        def pinv(a: Any) -> Any:
            return np.linalg.pinv(a, self.rcond)

        return by_lapack(self, pinv, NoConvergenceError, "has singular values that were not found", *arrays)

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        p, pt, g = out, flipped(out), flipped(ct)
        kernel = np.matmul(np.matmul(g, p), pt)
        image = np.matmul(pt, np.matmul(p, g))
        return (
            kernel
            - np.matmul(a, np.matmul(p, kernel))
            + image
            - np.matmul(np.matmul(image, p), a)
            - np.matmul(pt, np.matmul(ct, pt))
        )

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        p, pt, g = out, flipped(out), flipped(t)
        kernel = np.matmul(p, np.matmul(pt, g))
        image = np.matmul(np.matmul(g, pt), p)
        return (
            kernel
            - np.matmul(np.matmul(kernel, a), p)
            + image
            - np.matmul(p, np.matmul(a, image))
            - np.matmul(p, np.matmul(t, p))
        )
