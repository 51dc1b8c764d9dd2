"""The loop IR: what a compiled program is, before it is printed as Python or emitted as LLVM.

    Program   ::= buffers, statements
    Statement ::= Note text
                | Loop start <= index < stop: statements
                | Repeat condition statements, Expr, body statements   (while the Expr holds)
                | Choose Expr: one of several lists of statements
                | View buffer = source[row]   (row of an array, or of a tape)
                | Grow tape to hold that many rows
                | Let local = Expr            (once)
                | Assign local = Expr         (again and again: accumulators)
                | Store buffer[Expr...] = Expr
                | Guard Expr                  (the program fails with this guard's error where the condition is false)
                | Gemm out = a @ b            (generated code, see `products`)
                | Host outs = primitive(ins)  (NumPy)
    Expr      ::= Literal | Index | Local | Load buffer[Expr...] | Apply operation Expr...

Expressions are scalar and typed. Operations are named as the rows of `primitives/elementwise.py`, plus `convert`
and `threefry2x32`.
Bounds of loops are expressions: of literals, of the indices of enclosing loops, or a count that was computed before.
Buffers are dense and row-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fungrad.ir.graph import Where
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import INT, ArrayType, DType

CHUNK_WORK = 2000  # nanoseconds that rounds take which any thread may run, at least


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """Memory of an array: an `input`, `output`, `const`ant or `temp`orary. An alias reads another buffer's memory in
    another shape of as many elements. A `view` is a row of another buffer, chosen where the program says so. A `tape`
    has rows of its type, as many as the program asks for while it runs."""

    name: str
    type: ArrayType
    role: str
    alias: Buffer | None = None
    value: Any = None  # the array, for a constant

    @property
    def memory(self) -> Buffer:
        """The buffer whose memory this is."""
        return self if self.alias is None else self.alias.memory


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any  # a NumPy scalar

    @property
    def dtype(self) -> DType:
        dtype: DType = self.value.dtype
        return dtype


@dataclass(frozen=True, slots=True)
class Index:
    name: str

    @property
    def dtype(self) -> DType:
        return INT


@dataclass(frozen=True, slots=True)
class Local:
    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Load:
    buffer: Buffer
    index: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        return self.buffer.type.dtype


@dataclass(frozen=True, slots=True)
class Apply:
    op: str
    args: tuple[Expr, ...]
    dtype: DType
    exact: bool = True  # False: one step of a reduction whose order does not matter, such as a short sum


Expr = Literal | Index | Local | Load | Apply


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    reason: str = ""  # why the loops that follow are not part of those before


@dataclass(frozen=True, slots=True)
class Loop:
    """Rounds for start <= index < stop. If `work` is not 0, it is the time they take together, in nanoseconds, and they
    may run in any order, on any thread."""

    index: Index
    stop: Expr
    body: list[Statement] = field(default_factory=list)
    start: Expr = Literal(np.int64(0))
    work: int = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """`while True: condition; if not ok: break; body`."""

    condition: list[Statement]
    ok: Expr
    body: list[Statement]


@dataclass(frozen=True, slots=True)
class Choose:
    index: Expr
    cases: list[list[Statement]]


@dataclass(frozen=True, slots=True)
class View:
    buffer: Buffer
    source: Buffer
    row: Expr


@dataclass(frozen=True, slots=True)
class Grow:
    tape: Buffer
    rows: Expr


@dataclass(frozen=True, slots=True)
class Let:
    local: Local
    value: Expr


@dataclass(frozen=True, slots=True)
class Assign:
    local: Local
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    buffer: Buffer
    index: tuple[Expr, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Guard:
    ok: Expr
    number: int  # position in Program.failures


@dataclass(frozen=True, slots=True)
class Gemm:
    """`out[p] = addend + scale * (op(a[p]) @ op(b[p]))` for each p of a batch; `op` transposes where the flag is set.

    Matrices are row-major of shape (batch, rows, columns) or (rows, columns). The product is m x n, the sum over k. The
    addend is a matrix, which may be `out` itself, or a row that is added to every row.
    """

    a: Buffer
    b: Buffer
    out: Buffer
    transpose_a: bool
    transpose_b: bool
    batch: int
    m: int
    n: int
    k: int
    addend: Buffer | None = None
    scale: Expr | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A primitive without loops in this language: evaluated by NumPy, or by code of its own if it is small."""

    op: Primitive
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    number: int  # position in Program.hosts
    where: Where  # the user's line, for its errors


Statement = Note | Loop | Repeat | Choose | View | Grow | Let | Assign | Store | Guard | Gemm | Host


@dataclass(frozen=True, slots=True)
class Program:
    """A lowered graph. `inputs` and `outputs` are in the order of the graph's; an output that is one of the inputs is
    written over it."""

    name: str
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    constants: tuple[Buffer, ...]
    temps: tuple[Buffer, ...]
    body: tuple[Statement, ...]
    failures: tuple[str, ...]
    hosts: tuple[Host, ...]
    tapes: tuple[Buffer, ...] = ()

    @property
    def arguments(self) -> tuple[Buffer, ...]:
        """The buffers a caller passes, in order."""
        return (*self.inputs, *self.constants, *self.outputs)


def literal(value: int) -> Literal:
    """An index constant."""
    return Literal(np.int64(value))


def int_value(x: Expr) -> int | None:
    """The value of an index literal, or None."""
    return int(x.value) if isinstance(x, Literal) else None


def add(x: Expr, y: Expr) -> Expr:
    """x + y on indices, folded where a side is known."""
    a, b = int_value(x), int_value(y)
    if a is not None and b is not None:
        return literal(a + b)
    if a == 0:
        return y
    if b == 0:
        return x
    return Apply("add", (x, y), INT)


def piece_bounds(number: Expr, length: int, rounds: range) -> tuple[Expr, Expr]:
    """The first round of a piece of some rounds, and the one after its last. All pieces but the last are as long."""
    first = add(literal(rounds.start), mul(number, literal(length)))
    stop = add(first, literal(length))
    return first, Apply("minimum", (stop, literal(rounds.stop)), INT) if len(rounds) % length else stop


class Piece(NamedTuple):
    """A piece of some rounds: its length, that of the last piece, and where that ends if it is shorter."""

    length: int
    last: int
    stop: int


def piece(first: Expr, stop: Expr) -> Piece | None:
    """What `piece_bounds` made these bounds of, or None if that does not show."""
    match first:
        case Apply("mul", (_, Literal(number))):
            length, start = int(number), 0
        case Apply("add", (Literal(offset), Apply("mul", (_, Literal(number))))):
            length, start = int(number), int(offset)
        case _:
            return None
    whole = add(first, literal(length))
    match stop:
        case Apply("minimum", (end, Literal(number))) if end == whole:
            return Piece(length, (int(number) - start) % length, int(number))
        case _ if stop == whole:
            return Piece(length, length, 0)
    return None


def mul(x: Expr, y: Expr) -> Expr:
    """x * y on indices, folded where a side is known."""
    a, b = int_value(x), int_value(y)
    if a is not None and b is not None:
        return literal(a * b)
    if a == 1:
        return y
    if b == 1:
        return x
    return Apply("mul", (x, y), INT)


def sub(x: Expr, y: Expr) -> Expr:
    """x - y on indices, folded where both are known."""
    a, b = int_value(x), int_value(y)
    if a is not None and b is not None:
        return literal(a - b)
    return x if b == 0 else Apply("sub", (x, y), INT)


def loop_index(level: int) -> Index:
    """The index of the loop inside `level` others."""
    return Index(f"i{level}")


def fitted(buffer: Buffer, index: Sequence[Expr]) -> tuple[Expr, ...]:
    """An index of a value as an index of the buffer that holds it, which may keep only the current row of some axes."""
    return tuple(literal(0) if n == 1 else i for i, n in zip(index, buffer.type.shape, strict=True))


def scalars_in(expr: Expr) -> set[Index | Local]:
    """The loop indices and locals in an expression."""
    match expr:
        case Index() | Local():
            return {expr}
        case Apply(args=inner) | Load(index=inner):
            return {i for x in inner for i in scalars_in(x)}
    return set()


def loops_over(extents: Sequence[tuple[int, int]], into: list[Statement]) -> tuple[dict[int, Expr], list[Statement]]:
    """Append nested loops over (axis, extent) pairs, in the given order, to a list of statements.

    Returns:
        The index of each axis (0 for an extent of 1) and the innermost body to fill.
    """
    indices: dict[int, Expr] = {}
    for axis, extent in extents:
        indices[axis] = literal(0)
        if extent != 1:
            loop = Loop(Index(f"i{axis}"), literal(extent))
            indices[axis] = loop.index
            into.append(loop)
            into = loop.body
    return indices, into


def nest(extents: Sequence[int], into: list[Statement]) -> tuple[tuple[Expr, ...], list[Statement]]:
    """Append nested loops over all axes of a shape; as `loops_over`."""
    indices, body = loops_over(list(enumerate(extents)), into)
    return tuple(indices.values()), body
