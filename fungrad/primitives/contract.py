"""`Dot`: the batched contraction of two arrays, the linear layer's own primitive.

For z = A x with cotangent g the Jacobian-transpose products are

    grad_x = A^T g        grad_A = g x^T

and over a batch, for Z = X A: grad_X = G A^T, grad_A = X^T G. The Jacobian with respect to A, I (x) x^T, is never
formed. Both products are contractions again, so `Dot` is closed under differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.errors import AxisError, DtypeError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.shape import after_batch, move_axis, transpose
from fungrad.trace import bind

Axes = tuple[int, ...]


def free_axes(ndim: int, *used: Axes) -> Axes:
    """The axes that are neither contracted nor batched, in order."""
    taken = {axis for axes in used for axis in axes}
    return tuple(axis for axis in range(ndim) if axis not in taken)


@dataclass(frozen=True, slots=True)
class Dot(Primitive):
    """Sum of products of `a` and `b` over paired axes.

    Axis `contract_a[i]` of `a` is summed against `contract_b[i]` of `b`; axes `batch_a[i]`, `batch_b[i]` run together.
    The result's axes are the batch axes, then the free axes of `a`, then those of `b`.
    """

    contract_a: Axes
    contract_b: Axes
    batch_a: Axes = ()
    batch_b: Axes = ()

    def infer(self, *types: ArrayType) -> ArrayType:
        a, b = types
        if a.dtype != b.dtype:
            raise DtypeError(f"dot: operands have types {a} and {b}, expected one dtype")
        for i, j in (
            *zip(self.contract_a, self.contract_b, strict=True),
            *zip(self.batch_a, self.batch_b, strict=True),
        ):
            if not (0 <= i < a.ndim and 0 <= j < b.ndim):
                raise AxisError(f"dot: axis {i} of {a} or axis {j} of {b} does not exist")
            if a.shape[i] != b.shape[j]:
                raise ShapeError(f"dot: axis {i} of {a} and axis {j} of {b} have different extents")
        shape = (
            *(a.shape[i] for i in self.batch_a),
            *(a.shape[i] for i in free_axes(a.ndim, self.contract_a, self.batch_a)),
            *(b.shape[j] for j in free_axes(b.ndim, self.contract_b, self.batch_b)),
        )
        return array_type(shape, a.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        a, b = arrays
        if not self.batch_a and a.ndim <= 2 and b.ndim <= 2 and len(self.contract_a) == 1:
            return np.matmul(a.T if self.contract_a[0] < a.ndim - 1 else a, b if self.contract_b[0] == 0 else b.T)
        return _general(self, a, b)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        a, b = inputs
        ct_a = self._transposed(ct, a.ndim, b, first=True) if wanted[0] else None
        ct_b = self._transposed(ct, b.ndim, a, first=False) if wanted[1] else None
        return [ct_a, ct_b]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        (a, b), (t_a, t_b) = inputs, tangents
        terms = [bind(self, t_a, b)] if t_a is not None else []
        terms += [bind(self, a, t_b)] if t_b is not None else []
        return sum(terms[1:], terms[0]) if terms else None

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return sum(operands) == 1

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        """Examples on both sides run together; on one side they are one more free axis, of one large product."""
        a, b = inputs
        contract_a, batch_a, contract_b, batch_b = self.contract_a, self.batch_a, self.contract_b, self.batch_b
        if batched[0]:
            contract_a, batch_a = after_batch(contract_a), after_batch(batch_a)
        if batched[1]:
            contract_b, batch_b = after_batch(contract_b), after_batch(batch_b)
        if all(batched):
            return bind(Dot(contract_a, contract_b, (0, *batch_a), (0, *batch_b)), a, b)
        place = len(batch_a)
        if batched[1] and len(free_axes(b.ndim, contract_b, batch_b)) == 1:  # only the examples, which go first
            return move_axis(bind(Dot(contract_b, contract_a, batch_b, batch_a), b, a), place, 0)
        if batched[1]:
            place += len(free_axes(a.ndim, contract_a, batch_a))
        return move_axis(bind(Dot(contract_a, contract_b, batch_a, batch_b), a, b), place, 0)

    def _transposed(self, ct: Value, ndim: int, other: Value, first: bool) -> Value:
        """The Jacobian-transpose product: `ct` contracted with the other operand's free axes, axes back in order."""
        mine, others = (self.contract_a, self.contract_b) if first else (self.contract_b, self.contract_a)
        my_batch, other_batch = (self.batch_a, self.batch_b) if first else (self.batch_b, self.batch_a)
        free_mine = free_axes(ndim, mine, my_batch)
        free_other = free_axes(other.ndim, others, other_batch)
        n_batch = len(my_batch)
        start = n_batch + len(free_mine) if first else n_batch
        summed = tuple(range(start, start + len(free_other)))
        batch = tuple(range(n_batch))
        # of the other operand only its contracted axes remain, in their own order; each is paired with one of mine
        paired = [mine[others.index(axis)] for axis in sorted(others)]
        if first:
            product = bind(Dot(summed, free_other, batch, other_batch), ct, other)
            order = (*my_batch, *free_mine, *paired)
        else:  # the other operand first, so that a row-major result needs no transposition: X^T G
            product = bind(Dot(free_other, summed, other_batch, batch), other, ct)
            order = (*my_batch, *paired, *free_mine)
        return transpose(product, tuple(sorted(range(ndim), key=order.__getitem__)))


def _general(op: Dot, a: Any, b: Any) -> Any:
    """Any contraction as one `matmul` over (batch, free, contracted) and (batch, contracted, free).

    Without a contraction it is a product of elements, which multiplication does in half the time.
    """
    free_a, free_b = free_axes(a.ndim, op.contract_a, op.batch_a), free_axes(b.ndim, op.contract_b, op.batch_b)
    batch = [a.shape[i] for i in op.batch_a]
    rows, columns = [a.shape[i] for i in free_a], [b.shape[j] for j in free_b]
    inner = [a.shape[i] for i in op.contract_a]
    if not inner:
        left = a.transpose((*op.batch_a, *free_a)).reshape((*batch, *rows, *[1] * len(columns)))
        right = b.transpose((*op.batch_b, *free_b)).reshape((*batch, *[1] * len(rows), *columns))
        return np.multiply(left, right)
    sizes = [int(np.prod(extents)) for extents in (batch, rows, inner, columns)]
    left = a.transpose((*op.batch_a, *free_a, *op.contract_a)).reshape(sizes[0], sizes[1], sizes[2])
    right = b.transpose((*op.batch_b, *op.contract_b, *free_b)).reshape(sizes[0], sizes[2], sizes[3])
    return np.matmul(left, right).reshape((*batch, *rows, *columns))[()]
