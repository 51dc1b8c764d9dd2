"""Loops of the reductions.

Long sums are blocked: each run of `BLOCK` elements is summed on its own and then added to the total, so that the
error grows with n / BLOCK instead of n (2e7 float32 ones sum to 2e7, not to 2**24), and so that a run may use several
accumulators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fungrad.ir.graph import Equation
from fungrad.ir.types import BOOL, INT, DType, array_type
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
    add,
    literal,
    loops_over,
    mul,
    sub,
)
from fungrad.jit.scope import Scope
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum

if TYPE_CHECKING:
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


def reduce(state: Lowering, eqn: Equation) -> None:
    """Sum, product, extremum or logic along axes."""
    op = eqn.op
    assert isinstance(op, Sum | Reduce)
    kind = "sum" if isinstance(op, Sum) else op.kind
    combine = "add" if kind == "sum" else _COMBINE[kind]
    (x,) = eqn.inputs
    target = state.target(eqn)
    start = _start(kind, x.type.dtype)
    if x.type.size == 0:
        state.fill(target, lambda index, scope: start)
    elif not op.axes or x.type.ndim - 1 in op.axes:
        _into_scalar(state, eqn, target, op.axes, combine, start)
    else:
        _into_rows(state, eqn, target, op.axes, combine, start)


def _at(indices: dict[int, Expr]) -> tuple[Expr, ...]:
    """Indices by axis as the index of an element."""
    return tuple(indices[axis] for axis in sorted(indices))


def _blocks(extent: int, into: list[Statement]) -> list[tuple[list[Statement], Expr, int]]:
    """The runs of an axis: for each the body it is part of, its first index and its length.

    An axis of at most `BLOCK` elements is one run, part of `into`; a longer one is a loop over whole runs and the rest.
    """
    whole, rest = divmod(extent, BLOCK)
    if extent <= BLOCK:
        return [(into, literal(0), extent)]
    loops = [(0, whole, BLOCK)] + ([(whole * BLOCK, 1, rest)] if rest else [])
    runs: list[tuple[list[Statement], Expr, int]] = []
    for first, count, length in loops:
        block = Loop(Index("i__block"), literal(count))
        into.append(block)
        runs.append((block.body, add(mul(block.index, literal(BLOCK)), literal(first)), length))
    return runs


def _into_scalar(
    state: Lowering, eqn: Equation, target: Buffer, axes: tuple[int, ...], combine: str, start: Literal
) -> None:
    """The last axis is reduced: one accumulator for each element of the result, and one for each run of a long axis."""
    (x,) = eqn.inputs
    shape, dtype = x.type.shape, x.type.dtype
    kept, body = loops_over([(i, n) for i, n in enumerate(shape) if i not in axes], state.statements)
    total, part = (Local(f"{state.names[eqn.output]}__{role}", dtype) for role in ("total", "part"))
    body.append(Assign(total, start))
    outer, inner = loops_over([(i, shape[i]) for i in axes if i != len(shape) - 1], body)
    last = [len(shape) - 1] if axes else []  # no axes: each element is its own sum
    runs = _blocks(shape[-1], inner) if last else [(inner, literal(0), 1)]
    for place, first, length in runs:
        accumulator = total if place is inner else part
        if accumulator is part:
            place.append(Assign(part, start))
        run, run_body = loops_over([(axis, length) for axis in last], place)
        indices = kept | outer | {axis: add(run[axis], first) for axis in last}
        value = state.read(x, _at(indices), Scope(run_body))
        run_body.append(Assign(accumulator, Apply(combine, (accumulator, value), dtype, exact=False)))
        if accumulator is part:
            place.append(Assign(total, Apply(combine, (total, part), dtype)))
    body.append(Store(target, _at(kept), total))


def _into_rows(
    state: Lowering, eqn: Equation, target: Buffer, axes: tuple[int, ...], combine: str, start: Literal
) -> None:
    """The last axis is kept: whole rows are added up, which reads memory in order; long columns by blocks of rows."""
    (x,) = eqn.inputs
    shape, dtype = x.type.shape, x.type.dtype
    lead = min(axes)
    before, body = loops_over(list(enumerate(shape[:lead])), state.statements)
    kept = [(i, shape[i]) for i in range(lead, len(shape)) if i not in axes]

    def rows_at(own: dict[int, Expr], rows: Buffer) -> tuple[Expr, ...]:
        """Where the sums of a row are: in the result, or in the sums of a block."""
        here = {axis: own[axis] for axis, _ in kept}
        return _at(before | here if rows is target else here)

    def fill(rows: Buffer, into: list[Statement]) -> None:
        own, place = loops_over(kept, into)
        place.append(Store(rows, rows_at(own, rows), start))

    def combined(rows: Buffer, own: dict[int, Expr], value: Expr) -> Store:
        place = rows_at(own, rows)
        return Store(rows, place, Apply(combine, (Load(rows, place), value), dtype))

    fill(target, body)
    runs = _blocks(shape[lead], body)
    blocked = runs[0][0] is not body
    name = f"{state.names[eqn.output]}__part"
    part = state.temp(name, array_type(tuple(n for _, n in kept), dtype)) if blocked else target
    for into, first, length in runs:
        if blocked:
            fill(part, into)
        own, place = loops_over([(i, length if i == lead else shape[i]) for i in range(lead, len(shape))], into)
        value = state.read(x, _at(before | own | {lead: add(own[lead], first)}), Scope(place))
        place.append(combined(part, own, value))
        if blocked:
            own, place = loops_over(kept, into)
            place.append(combined(target, own, Load(part, rows_at(own, part))))


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
    body.append(Assign(best, state.read(x, _at(indices | {op.axis: literal(0)}), Scope(body))))
    body.append(Assign(position, literal(0)))
    if shape[op.axis] > 1:
        loop = Loop(Index(f"i{op.axis}"), literal(shape[op.axis]))
        scope = Scope(loop.body)
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
