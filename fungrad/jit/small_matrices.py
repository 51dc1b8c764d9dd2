"""Linear algebra of small matrices, computed in the program, where a call to NumPy costs a hundred times as much.

Each primitive becomes a function of the addresses of its operands and its result:

    status = cholesky(a, out)

By Gaussian elimination with partial pivoting and its kin, row by row (G. H. Golub, C. F. Van Loan: Matrix computations,
4th ed., 2013, algorithms 3.1.1, 3.4.1 and 4.2.1), in doubles, also of float32, as NumPy does. Where a number is not
finite, be it given or found, or a pivot is zero, it gives up with another status than 0. The program then calls NumPy,
as for large matrices, which knows the result or the error. `det`, `slogdet` and `cofactors` differ from NumPy's in
rounding.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from llvmlite import ir

from fungrad.ir.graph import Operand
from fungrad.ir.primitive import Primitive
from fungrad.jit import vectormath
from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.llvm_types import F32, F64, I64
from fungrad.jit.loops import Buffer, Host
from fungrad.jit.outline import internal_function
from fungrad.jit.registers import Number, format_of
from fungrad.primitives.determinants import Cofactors, Det, LogDet
from fungrad.primitives.linalg import Cholesky, Inverse, Solve, TriangularSolve

LARGEST = 64  # rows; two matrices of so many take 64 KB of the stack
LARGEST_COFACTORS = 3  # by minors

_Place: TypeAlias = "ir.Value | int"


class _Matrix(NamedTuple):
    """Where a row-major matrix is."""

    start: ir.Value
    columns: int


def is_small(op: Primitive, inputs: Sequence[Buffer | Operand]) -> bool:
    """Whether there is code for a primitive of these operands."""
    if type(op) not in FUNCTIONS or any(x.type.size == 0 for x in inputs):
        return False
    if any(math.prod(x.type.shape[-2:]) > LARGEST**2 for x in inputs):  # they are copied to the stack
        return False
    return inputs[0].type.shape[-1] <= (LARGEST_COFACTORS if type(op) is Cofactors else LARGEST)


def emit(b: ir.IRBuilder, call: Host, pointers: Sequence[ir.Value]) -> ir.Value | None:
    """Compute the results of a host call and return the status, or None if there is no code for it.

    Its results never have the memory of its operands, which NumPy needs if this gives up.
    """
    if not is_small(call.op, call.inputs):
        return None
    buffers = (*call.inputs, *call.outputs)
    name = f"fungrad {call.op!r} {' '.join(str(x.type) for x in buffers)}"
    function = b.module.globals.get(name)
    if function is None:
        function = internal_function(b.module, name, [x.type for x in pointers])
        _emit_function(function, call.op, buffers)
    return b.call(function, pointers)


def _emit_function(function: ir.Function, op: Primitive, buffers: Sequence[Buffer]) -> None:
    """The function of one stack of matrices after another."""
    code = _Code(function)
    *stack, n, _ = buffers[0].type.shape
    count = math.prod(stack)
    sizes = [buffer.type.size // count for buffer in buffers]
    work = []
    for buffer, size in [*zip(buffers, sizes, strict=True)][:2]:  # solutions take the place of right-hand sides
        columns = buffer.type.shape[-1] if buffer.type.ndim == buffers[0].type.ndim else size
        work.append(_Matrix(code.entry.alloca(F64, size), columns))

    def member(number: ir.Value) -> None:
        outside = [
            _Matrix(code.b.gep(pointer, [code.b.mul(number, I64(size))]), 1)
            for pointer, size in zip(function.args, sizes, strict=True)
        ]
        for source, target, size in zip(outside[:-1], work, sizes, strict=False):  # the last one is the result's
            code.copy(source, target, size)
        FUNCTIONS[type(op)](code, op, n, *work)
        code.copy(work[-1], outside[-1], sizes[-1])

    code.each(0, count, member)
    code.finish()


class _Code:
    """Emits loops over matrices in memory, into one function."""

    def __init__(self, function: ir.Function) -> None:
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.b = ir.IRBuilder(function.append_basic_block("body"))
        self.status = self.entry.alloca(I64)
        self.entry.store(I64(0), self.status)

    def finish(self) -> None:
        self.entry.branch(self.entry.function.blocks[1])
        self.b.ret(self.b.load(self.status))

    def each(self, first: _Place, stop: _Place, body: Callable[[ir.Value], None]) -> None:
        """Rounds from `first` below `stop`, if there are any."""
        first, stop = _index(first), _index(stop)

        def step(i: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            body(i)
            return ()

        with self.b.if_then(self.b.icmp_signed("<", first, stop)):
            counted_loop(self.b, stop, step, first=first)

    def number(self, value: ir.Value) -> Number:
        return Number(self.b, format_of(value), value).widened()

    def constant(self, x: float) -> Number:
        return self.number(F64(x))

    def address(self, m: _Matrix, i: _Place, j: _Place) -> ir.Value:
        return self.b.gep(m.start, [self.b.add(self.b.mul(_index(i), I64(m.columns)), _index(j))])

    def load(self, m: _Matrix, i: _Place, j: _Place) -> Number:
        return self.number(self.b.load(self.address(m, i, j)))

    def store(self, m: _Matrix, i: _Place, j: _Place, x: Number | float) -> None:
        value, address = x if isinstance(x, Number) else self.constant(x), self.address(m, i, j)
        if address.type.pointee == F32:
            value = value.narrowed()
        self.b.store(value.value, address)

    def copy(self, source: _Matrix, target: _Matrix, size: int) -> None:
        """All numbers, which must be finite."""

        def one(i: ir.Value) -> None:
            x = self.load(_Matrix(source.start, 1), i, 0)
            self.require_finite(x)
            self.store(_Matrix(target.start, 1), i, 0, x)

        self.each(0, size, one)

    def require(self, ok: ir.Value) -> None:
        """Give up unless that holds."""
        old = self.b.load(self.status)
        self.b.store(self.b.select(ok, old, I64(1)), self.status)

    def require_finite(self, x: Number) -> None:
        self.require((x - x).compare("==", 0.0))

    def require_pivot(self, x: Number) -> None:
        """A positive number."""
        self.require(self.b.and_(x.compare(">", 0.0), x.compare("<", math.inf)))

    def subtract_row(self, m: _Matrix, i: _Place, factor: Number, k: _Place, first: _Place = 0) -> None:
        """Row i less a multiple of row k, from a column on."""
        self.each(first, m.columns, lambda j: self.store(m, i, j, self.load(m, i, j) - factor * self.load(m, k, j)))

    def divide_row(self, m: _Matrix, i: _Place, divisor: Number) -> None:
        self.each(0, m.columns, lambda j: self.store(m, i, j, self.load(m, i, j) / divisor))


def _index(x: _Place) -> ir.Value:
    return I64(x) if isinstance(x, int) else x


def _after(b: ir.IRBuilder, i: ir.Value) -> ir.Value:
    return b.add(i, I64(1))


def _eliminate(code: _Code, n: int, a: _Matrix, right: Sequence[_Matrix] = ()) -> ir.Value:
    """Make `a` upper triangular, and treat the rows of `right` alike; where the sign of the exchanges is kept."""
    b = code.b
    sign, best, place = code.entry.alloca(F64), code.entry.alloca(F64), code.entry.alloca(I64)
    b.store(code.constant(1.0).value, sign)

    def column(k: ir.Value) -> None:
        b.store(code.load(a, k, k).abs().value, best)
        b.store(k, place)

        def look(i: ir.Value) -> None:
            size, largest = code.load(a, i, k).abs(), code.number(b.load(best))
            larger = size.compare(">", largest)
            b.store(size.where(larger, largest).value, best)
            b.store(b.select(larger, i, b.load(place)), place)

        code.each(_after(b, k), n, look)
        code.require_pivot(code.number(b.load(best)))
        chosen = b.load(place)
        with b.if_then(b.icmp_signed("!=", chosen, k)):
            for m in (a, *right):

                def exchange(j: ir.Value, m: _Matrix = m) -> None:
                    upper, lower = code.load(m, k, j), code.load(m, chosen, j)
                    code.store(m, k, j, lower)
                    code.store(m, chosen, j, upper)

                code.each(0, m.columns, exchange)
            b.store((-code.number(b.load(sign))).value, sign)
        pivot = code.load(a, k, k)

        def reduce_row(i: ir.Value) -> None:
            factor = code.load(a, i, k) / pivot
            code.subtract_row(a, i, factor, k, _after(b, k))
            for m in right:
                code.subtract_row(m, i, factor, k)

        code.each(_after(b, k), n, reduce_row)

    code.each(0, n, column)
    return sign


def _substitute(
    code: _Code, n: int, triangle: Callable[[_Place, _Place], Number], x: _Matrix, down: bool, unit: bool
) -> None:
    """Solve with a triangular matrix, in place: downwards for a lower one, upwards for an upper one."""
    b = code.b

    def row(step: ir.Value) -> None:
        i = step if down else b.sub(I64(n - 1), step)
        first, stop = (I64(0), i) if down else (_after(b, i), I64(n))
        code.each(first, stop, lambda k: code.subtract_row(x, i, triangle(i, k), k))
        if not unit:
            diagonal = triangle(i, i)
            code.require(b.not_(diagonal.compare("==", 0.0)))
            code.divide_row(x, i, diagonal)

    code.each(0, n, row)


def _solve(code: _Code, op: Primitive, n: int, a: _Matrix, x: _Matrix) -> None:
    _eliminate(code, n, a, [x])
    _substitute(code, n, lambda i, k: code.load(a, i, k), x, down=False, unit=False)


def _inverse(code: _Code, op: Primitive, n: int, a: _Matrix, out: _Matrix) -> None:
    one, zero = code.constant(1.0), code.constant(0.0)
    code.each(
        0,
        n,
        lambda i: code.each(0, n, lambda j: code.store(out, i, j, one.where(code.b.icmp_signed("==", i, j), zero))),
    )
    _solve(code, op, n, a, out)


def _triangular_solve(code: _Code, op: Primitive, n: int, a: _Matrix, x: _Matrix) -> None:
    assert isinstance(op, TriangularSolve)

    def triangle(i: _Place, k: _Place) -> Number:
        return code.load(a, k, i) if op.transposed else code.load(a, i, k)

    _substitute(code, n, triangle, x, op.lower != op.transposed, op.unit_diagonal)


def _cholesky(code: _Code, op: Primitive, n: int, a: _Matrix, out: _Matrix) -> None:
    b = code.b
    zero = code.constant(0.0)

    def lower_triangle(i: ir.Value, j: ir.Value) -> None:
        code.store(out, i, j, code.load(a, i, j).where(b.icmp_signed(">=", i, j), zero))

    def column(k: ir.Value) -> None:
        pivot = code.load(out, k, k)
        code.require_pivot(pivot)
        root = pivot.sqrt()
        code.store(out, k, k, root)
        code.each(_after(b, k), n, lambda i: code.store(out, i, k, code.load(out, i, k) / root))

        def row(i: ir.Value) -> None:
            factor = code.load(out, i, k)
            code.each(
                _after(b, k),
                _after(b, i),
                lambda j: code.store(out, i, j, code.load(out, i, j) - factor * code.load(out, j, k)),
            )

        code.each(_after(b, k), n, row)

    code.each(0, n, lambda i: code.each(0, n, lambda j: lower_triangle(i, j)))
    code.each(0, n, column)


def _det(code: _Code, op: Primitive, n: int, a: _Matrix, out: _Matrix) -> None:
    sign = _eliminate(code, n, a)
    code.store(out, 0, 0, code.number(code.b.load(sign)))

    def multiply(k: ir.Value) -> None:
        product = code.load(out, 0, 0) * code.load(a, k, k)
        size = product.abs()
        code.require(code.b.and_(size.compare(">=", sys.float_info.min), size.compare("<", math.inf)))
        code.store(out, 0, 0, product)

    code.each(0, n, multiply)


def _slogdet(code: _Code, op: Primitive, n: int, a: _Matrix, out: _Matrix) -> None:
    sign = _eliminate(code, n, a)
    flat = _Matrix(out.start, 1)
    code.store(flat, 0, 0, code.number(code.b.load(sign)))
    code.store(flat, 1, 0, 0.0)

    def add(k: ir.Value) -> None:
        pivot = code.load(a, k, k)
        code.store(flat, 0, 0, code.load(flat, 0, 0) * code.constant(1.0).with_sign_of(pivot))
        logarithm = code.number(vectormath.apply("log", code.b, pivot.abs().value))
        code.store(flat, 1, 0, code.load(flat, 1, 0) + logarithm)

    code.each(0, n, add)


def _cofactors(code: _Code, op: Primitive, n: int, a: _Matrix, out: _Matrix) -> None:
    """By minors, each of its own two rows and columns in cyclic order, so that all have the sign +."""

    def at(i: int, j: int) -> Number:
        return code.load(a, i % n, j % n)

    for i in range(n):
        for j in range(n):
            if n == 1:
                found = code.constant(1.0)
            elif n == 2:
                found = at(i + 1, j + 1) if i == j else -at(i + 1, j + 1)
            else:
                found = at(i + 1, j + 1) * at(i + 2, j + 2) - at(i + 1, j + 2) * at(i + 2, j + 1)
            code.store(out, i, j, found)


FUNCTIONS: dict[type[Primitive], Callable[..., None]] = {
    Solve: _solve,
    Inverse: _inverse,
    TriangularSolve: _triangular_solve,
    Cholesky: _cholesky,
    Det: _det,
    LogDet: _slogdet,
    Cofactors: _cofactors,
}
