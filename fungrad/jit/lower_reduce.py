"""Loops of the reductions.

Long sums are blocked: each run of `BLOCK` elements is summed on its own and then added to the total, so that the
error grows with n / BLOCK instead of n (2e7 float32 ones sum to 2e7, not to 2**24), and so that a run may use several
accumulators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fungrad.ir.graph import Equation
from fungrad.ir.types import BOOL, INT, ArrayType, DType, array_type
from fungrad.jit.loops import (
    Apply,
    Assign,
    Buffer,
    Expr,
    Index,
    Literal,
    Load,
    Local,
    Loop,
    Statement,
    Store,
    View,
    fitted,
    int_value,
    literal,
    loop_index,
    loops_over,
    sub,
)
from fungrad.jit.scope import Scope
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum

if TYPE_CHECKING:
    from fungrad.jit.fuse import LoopSpace
    from fungrad.jit.lower import Lowering

BLOCK = 256

_COMBINE = {"prod": "mul", "max": "maximum", "min": "minimum", "any": "logical_or", "all": "logical_and"}


def _start(kind: str, dtype: DType) -> Literal:
    """The neutral element of a reduction."""
    if kind in ("max", "min"):
        if dtype.kind == "f":
            value: Any = -np.inf if kind == "max" else np.inf
        else:
            limits = np.iinfo(dtype)
            value = limits.min if kind == "max" else limits.max
    else:
        value = {"sum": 0, "prod": 1, "any": False, "all": True}[kind]
    return Literal(dtype.type(value))


def _kind(eqn: Equation) -> str:
    """What a reduction computes."""
    assert isinstance(eqn.op, Sum | Reduce)
    return "sum" if isinstance(eqn.op, Sum) else eqn.op.kind


class Accumulation:
    """One reduction in the loops that carry it: where its running totals are and how they are combined.

    Where the innermost loop is a reduced one, a total is a local, else it is a row of memory.
    """

    def __init__(self, state: Lowering, eqn: Equation, space: LoopSpace) -> None:
        op = eqn.op
        assert isinstance(op, Sum | Reduce)
        (self.x,) = eqn.inputs
        self.state = state
        self.eqn = eqn
        self.space = space
        self.name = state.names[eqn.output]
        self.dtype = self.x.type.dtype
        kind = _kind(eqn)
        self.combine = "add" if kind == "sum" else _COMBINE[kind]
        self.neutral = _start(kind, self.dtype)
        self.axes = tuple(axis for axis in range(self.x.type.ndim) if axis not in op.axes)  # of the result
        self.kept = [(level, axis) for level, axis in enumerate(space.axes) if axis not in op.axes]
        self.into_rows = any(level >= space.home for level, _ in self.kept)
        self.total: Local | Buffer | None = None

    def index(self) -> tuple[Expr, ...]:
        """The index of the result in these loops."""
        levels = {axis: level for level, axis in self.kept}
        return tuple(loop_index(levels[axis]) if axis in levels else literal(0) for axis in self.axes)

    def begin(self, level: int, into: list[Statement], label: str, target: Buffer | None = None) -> None:
        """Start a total before the loop of a level, in a local or in rows of memory: the `target` if there is one."""
        if not self.into_rows:
            self.total = Local(f"{self.name}__{label}", self.dtype)
            into.append(Assign(self.total, self.neutral))
            return
        if target is None:
            target = self.state.temp(f"{self.name}__{label}", self.part_type(level))
        self.total = target
        self._each(level, into).append(Store(target, fitted(target, self.index()), self.neutral))

    def part_type(self, level: int) -> ArrayType:
        """What a total over rounds of a level is."""
        inner = {axis for at, axis in self.kept if at > level}
        return array_type(tuple(self.x.type.shape[axis] if axis in inner else 1 for axis in self.axes), self.dtype)

    def begin_chunk(self, level: int, chunk: Loop) -> Buffer:
        """Start the total of one chunk of rounds, as a row of an array of those of all chunks, which is returned."""
        type = self.part_type(level) if self.into_rows else array_type((), self.dtype)
        count = int_value(chunk.stop)
        assert count is not None
        parts = self.state.shared_temp(f"{self.name}__chunks", array_type((count, *type.shape), type.dtype))
        if self.into_rows:
            row = Buffer(f"{parts.name}__row", type, "view")
            chunk.body.append(View(row, parts, chunk.index))
            self.begin(level, chunk.body, "chunk", row)
        else:
            self.begin(level, chunk.body, "chunk")
        return parts

    def end_chunk(self, chunk: Loop, parts: Buffer) -> None:
        """Keep the total of a chunk."""
        if isinstance(self.total, Local):
            chunk.body.append(Store(parts, (chunk.index,), self.total))

    def merge_chunks(
        self, level: int, chunk: Loop, parts: Buffer, outer: Local | Buffer, into: list[Statement]
    ) -> None:
        """Combine the totals of all chunks, in order, with the one around them, which takes their place."""
        loop = Loop(chunk.index, chunk.stop)
        self.total = outer
        if self.into_rows:
            row = Buffer(f"{parts.name}__part", self.part_type(level), "view")
            loop.body.append(View(row, parts, chunk.index))
            self.add(Load(row, fitted(row, self.index())), self._each(level, loop.body), exact=True)
        else:
            self.add(Load(parts, (chunk.index,)), loop.body, exact=True)
        into.append(loop)

    def add(self, value: Expr, into: list[Statement], exact: bool) -> None:
        """Combine a value with the total, or an element of it."""
        assert self.total is not None
        if isinstance(self.total, Local):
            into.append(Assign(self.total, Apply(self.combine, (self.total, value), self.dtype, exact)))
        else:
            place = fitted(self.total, self.index())
            into.append(Store(self.total, place, Apply(self.combine, (Load(self.total, place), value), self.dtype)))

    def merge(self, level: int, into: list[Statement], outer: Local | Buffer) -> None:
        """Combine the total of a block with the one around it, which takes its place."""
        part, self.total = self.total, outer
        assert part is not None
        if isinstance(part, Local):
            self.add(part, into, exact=True)
        else:
            self.add(Load(part, fitted(part, self.index())), self._each(level, into), exact=True)

    def _each(self, level: int, into: list[Statement]) -> list[Statement]:
        """The body of loops over the elements of the result inside a level."""
        for at, axis in self.kept:
            if at > level:
                loop = Loop(loop_index(at), literal(self.x.type.shape[axis]))
                into.append(loop)
                into = loop.body
        return into


def block_length(extent: int) -> int:
    """How many rounds of a long loop make a block: if possible so many that all blocks are alike and made of whole
    vectors."""
    for unit in (16, 8):
        for length in range(BLOCK, BLOCK // 2 - 1, -unit):
            if extent % length == 0:
                return length
    return BLOCK


def reduce_nothing(state: Lowering, eqn: Equation) -> None:
    """The reduction of an operand without elements."""
    start = _start(_kind(eqn), eqn.inputs[0].type.dtype)
    state.fill(state.target(eqn), lambda index, scope: start)


def _at(indices: dict[int, Expr]) -> tuple[Expr, ...]:
    """Indices by axis as the index of an element."""
    return tuple(indices[axis] for axis in sorted(indices))


def arg_reduce(state: Lowering, eqn: Equation) -> None:
    """Walk along the axis and keep the first best; a nan is better than anything."""
    op = eqn.op
    assert isinstance(op, ArgReduce)
    (x,) = eqn.inputs
    shape, dtype = x.type.shape, x.type.dtype
    target = state.target(eqn)
    kept = [(i, n) for i, n in enumerate(shape) if i != op.axis]
    if target.type.size == 0:
        return
    indices, body = loops_over(kept, state.statements)
    best, position = Local("best__value", dtype), Local("best__index", INT)
    scope = Scope(body, rounds=range(target.type.size))
    body.append(Assign(best, state.read(x, _at(indices | {op.axis: literal(0)}), scope)))
    body.append(Assign(position, literal(0)))
    if shape[op.axis] > 1:
        loop = Loop(Index(f"i{op.axis}"), literal(shape[op.axis]), start=literal(1))
        scope = Scope(loop.body, rounds=range(x.type.size - target.type.size))
        value = scope.let("this__value", state.read(x, _at(indices | {op.axis: loop.index}), scope))
        better: Expr = Apply("greater" if op.kind == "max" else "less", (value, best), BOOL)
        if dtype.kind == "f":
            ordered = Apply("logical_not", (Apply("isnan", (best,), BOOL),), BOOL)
            nan = Apply("logical_and", (Apply("isnan", (value,), BOOL), ordered), BOOL)
            better = Apply("logical_or", (better, nan), BOOL)
        better = scope.let("is__better", better)
        loop.body.append(Assign(best, Apply("select", (better, value, best), dtype)))
        loop.body.append(Assign(position, Apply("select", (better, loop.index, position), INT)))
        body.append(loop)
    body.append(Store(target, _at(indices), position))


def cumsum(state: Lowering, eqn: Equation) -> None:
    """One running total along the axis, for each line."""
    op = eqn.op
    assert isinstance(op, CumSum)
    (x,) = eqn.inputs
    shape = x.type.shape
    target = state.target(eqn)
    if x.type.size == 0:
        return
    indices, body = loops_over([(i, n) for i, n in enumerate(shape) if i != op.axis], state.statements)
    total = Local(f"{state.names[eqn.output]}__total", x.type.dtype)
    loop = Loop(Index(f"i{op.axis}"), literal(shape[op.axis]))
    step = sub(literal(shape[op.axis] - 1), loop.index) if op.reverse else loop.index
    at = _at(indices | {op.axis: step})
    value = state.read(x, at, Scope(loop.body))
    loop.body.extend([Assign(total, Apply("add", (total, value), total.dtype)), Store(target, at, total)])
    body += [Assign(total, _start("sum", x.type.dtype)), loop]
