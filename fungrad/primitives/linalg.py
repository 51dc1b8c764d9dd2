"""Matrix functions and linear systems, as LAPACK computes them: `Cholesky`, `Inverse`, `TriangularSolve`, `Solve`.

Matrices lie along the last two axes; the axes before them count systems that are solved side by side, and operands
have the same ones. The derivatives solve systems again, so they have derivatives themselves. They are collected in

    M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008
    I. Murray, "Differentiation of the Cholesky decomposition", arXiv:1602.07527, 2016
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, NotPositiveDefiniteError, ShapeError, SingularMatrixError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.shape import Shape, move_axis, repeated, reshape
from fungrad.trace import bind, user_line


def flipped(x: Value) -> Value:
    """Matrices with rows and columns exchanged."""
    return np.swapaxes(x, -1, -2)


def check_square(name: str, x: ArrayType) -> None:
    """Raise unless these are square matrices of floats."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: {x} is not a square matrix")
    if not x.is_float:
        raise DtypeError(f"{name}: {x} must be converted to floats first")


def by_lapack(op: Primitive, function: Callable[..., Any], error: type[Exception], problem: str, *matrices: Any) -> Any:
    """`function` of stacks of matrices; where it fails, an error that says for which of them."""
    try:
        return function(*matrices)
    except np.linalg.LinAlgError:
        raise error(f"{op.name}: {_failing(function, *matrices)} {problem}, at {user_line()}.") from None


def _failing(function: Callable[..., Any], *matrices: Any) -> str:
    """What errors call the first matrix that a function fails for."""
    stack = matrices[0].shape[:-2]
    for place in np.ndindex(stack):
        try:
            function(*(x[place] for x in matrices))
        except np.linalg.LinAlgError:
            return f"matrix {list(place)} of a stack of shape {stack}" if stack else f"the matrix {matrices[0].shape}"
    return "a matrix"


# -- functions of one matrix -------------------------------------------------------------------------------------------


class MatrixFunction(Primitive):
    """A function of a square matrix, and of each of a stack."""

    def shape_for(self, shape: Shape) -> Shape:
        """The shape of the result."""
        return shape

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        """The cotangent of the matrix."""
        raise NotImplementedError

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        """The tangent of the result."""
        raise NotImplementedError

    def infer(self, *types: ArrayType) -> ArrayType:
        (a,) = types
        check_square(self.name, a)
        return array_type(self.shape_for(a.shape), a.dtype)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [self.pullback(ct, inputs[0], out) if wanted[0] else None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return None if tangents[0] is None else self.pushforward(tangents[0], inputs[0], out)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(self, *inputs)


@dataclass(frozen=True, slots=True)
class Cholesky(MatrixFunction):
    """The lower triangular L with L L^T = A, as a function of the lower triangle of A: the rest is not read.

    With Phi(X) the lower triangle of X and half its diagonal, and S the symmetric tangent that the lower triangle of t
    stands for, the tangent of L is L Phi(L^-1 S L^-T). The cotangent is Phi(L^-T (P + P^T) L^-1) for P = Phi(L^T ct).
    """

    def evaluate(self, *arrays: Any) -> Any:
        return by_lapack(self, np.linalg.cholesky, NotPositiveDefiniteError, "is not positive definite", *arrays)

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        solve = TriangularSolve(lower=True, transposed=True)
        inner = half_triangle(np.matmul(flipped(out), ct))
        half = bind(solve, out, inner + flipped(inner))
        return half_triangle(bind(solve, out, flipped(half)))

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        solve = TriangularSolve(lower=True)
        lower = half_triangle(t)
        half = bind(solve, out, lower + flipped(lower))
        return np.matmul(out, half_triangle(bind(solve, out, flipped(half))))


def half_triangle(x: Value) -> Value:
    """The lower triangle with half the diagonal."""
    n = x.shape[-1]
    return x * ((np.tri(n, dtype=x.dtype) + np.tri(n, k=-1, dtype=x.dtype)) / 2)


@dataclass(frozen=True, slots=True)
class Inverse(MatrixFunction):
    """The inverse of A. Its derivative along t is -A^-1 t A^-1, so it costs two products."""

    def evaluate(self, *arrays: Any) -> Any:
        return by_lapack(self, np.linalg.inv, SingularMatrixError, "is singular", *arrays)

    def pullback(self, ct: Value, a: Value, out: Value) -> Value:
        return -np.matmul(flipped(out), np.matmul(ct, flipped(out)))

    def pushforward(self, t: Value, a: Value, out: Value) -> Value:
        return -np.matmul(out, np.matmul(t, out))


# -- linear systems ----------------------------------------------------------------------------------------------------


class LinearSolver(Primitive):
    """The x with M x = B for a stack of matrices B, where M is read from A by a linear map, `matrix`."""

    def matrix(self, a: Value) -> Value:
        """M."""
        raise NotImplementedError

    def matrix_transpose(self, m: Value) -> Value:
        """The transpose of the map from A to M."""
        raise NotImplementedError

    def solve_transposed(self, a: Value, b: Value) -> Value:
        """The x with M^T x = b."""
        raise NotImplementedError

    def infer(self, *types: ArrayType) -> ArrayType:
        a, b = types
        check_square(self.name, a)
        if a.dtype != b.dtype:
            raise DtypeError(f"{self.name}: operands have types {a} and {b}, expected one dtype")
        if b.ndim != a.ndim or b.shape[:-1] != a.shape[:-1]:
            raise ShapeError(
                f"{self.name}: {b} are not right-hand sides for {a}, expected shape {(*a.shape[:-1], 'm')}"
            )
        return b

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        if not any(wanted):
            return [None, None]
        ct_b = self.solve_transposed(inputs[0], ct)
        ct_a = self.matrix_transpose(-np.matmul(ct_b, flipped(out))) if wanted[0] else None
        return [ct_a, ct_b if wanted[1] else None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        t_a, t_b = tangents
        moved = None if t_a is None else np.matmul(self.matrix(t_a), out)
        if moved is None:
            return None if t_b is None else bind(self, inputs[0], t_b)
        return bind(self, inputs[0], -moved if t_b is None else t_b - moved)

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return not operands[0]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        """Examples that share the matrix are more columns of one system."""
        if batched[0]:
            return bind(self, *repeated(size, inputs, batched))
        a, b = inputs
        *stack, columns = b.shape[1:]
        merged = reshape(move_axis(b, 0, b.ndim - 1), (*stack, columns * size))
        found = reshape(bind(self, a, merged), (*stack, columns, size))
        return move_axis(found, found.ndim - 1, 0)


@dataclass(frozen=True, slots=True)
class Solve(LinearSolver):
    """The x with A x = B for a general A."""

    def matrix(self, a: Value) -> Value:
        return a

    def matrix_transpose(self, m: Value) -> Value:
        return m

    def solve_transposed(self, a: Value, b: Value) -> Value:
        return bind(self, flipped(a), b)

    def evaluate(self, *arrays: Any) -> Any:
        return by_lapack(self, np.linalg.solve, SingularMatrixError, "is singular", *arrays)


@dataclass(frozen=True, slots=True)
class TriangularSolve(LinearSolver):
    """The x with T x = B, or T^T x = B if `transposed`, where T is the lower or upper triangle of A.

    With `unit_diagonal` the diagonal of T is 1, whatever that of A is. The rest of A is not read.
    """

    lower: bool
    transposed: bool = False
    unit_diagonal: bool = False

    @property
    def name(self) -> str:
        return "triangular_solve"

    def matrix(self, a: Value) -> Value:
        return flipped(self._read(a)) if self.transposed else self._read(a)

    def matrix_transpose(self, m: Value) -> Value:
        return self._read(flipped(m) if self.transposed else m)

    def solve_transposed(self, a: Value, b: Value) -> Value:
        return bind(replace(self, transposed=not self.transposed), a, b)

    def _read(self, a: Value) -> Value:
        """The elements of A that matter, zeros elsewhere."""
        mask = np.tri(a.shape[-1], k=-int(self.unit_diagonal), dtype=a.dtype)
        return a * (mask if self.lower else mask.T)

    def evaluate(self, *arrays: Any) -> Any:
        a, b = arrays
        if not self.unit_diagonal:
            by_lapack(self, _check_diagonal, SingularMatrixError, "is singular, with a zero on its diagonal", a)
        out = np.empty(b.shape, b.dtype)
        if not out.size:
            return out
        from scipy.linalg import blas

        solve = blas.dtrsm if a.dtype == np.float64 else blas.strsm
        for place in np.ndindex(a.shape[:-2]):  # rows of ours are columns of theirs: x^T M^T = B^T
            found = solve(
                1.0,
                a[place].T,
                b[place].T,
                side=1,
                lower=not self.lower,
                trans_a=self.transposed,
                diag=self.unit_diagonal,
            )
            out[place] = found.T
        return out


def _check_diagonal(a: Any) -> None:
    if not np.diagonal(a, axis1=-2, axis2=-1).all():
        raise np.linalg.LinAlgError
