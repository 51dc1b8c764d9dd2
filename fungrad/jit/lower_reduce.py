"""Loops of the reductions.

Long sums are blocked: each run of `BLOCK` elements is summed on its own and then added to the total, so that the
error grows with n / BLOCK instead of n (2e7 float32 ones sum to 2e7, not to 2**24), and so that a run may use several
accumulators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fungrad.ir.graph import Equation
from fungrad.ir.types import DType, array_type
from fungrad.jit.loops import (
    BOOL,
    INT,
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


def _into_scalar(
    state: Lowering, eqn: Equation, target: Buffer, axes: tuple[int, ...], combine: str, start: Literal
) -> None:
    """The last axis is reduced: one accumulator for each element of the result."""
    (x,) = eqn.inputs
    shape = x.type.shape
    kept = [(i, n) for i, n in enumerate(shape) if i not in axes]
    indices, outer, body = loops_over(kept)
    total = Local(f"{state.names[eqn.output]}_total", x.type.dtype)
    body.append(Assign(total, start))
    reduced = [(i, n) for i, n in enumerate(shape) if i in axes]
    inner, loops, place = loops_over(reduced[:-1])
    indices |= inner
    body += loops if loops is not place else []
    place = body if loops is place else place
    if reduced:
        axis, extent = reduced[-1]
        blocks = [(0, extent)] if extent <= BLOCK else [(0, extent - extent % BLOCK), (extent - extent % BLOCK, extent)]
        for first, last in blocks:
            if last - first > BLOCK:
                part = Local(f"{state.names[eqn.output]}_part", x.type.dtype)
                block = Loop(Index("i_block"), literal((last - first) // BLOCK))
                run = Loop(Index(f"i{axis}"), literal(BLOCK))
                at: Expr = add(mul(block.index, literal(BLOCK)), run.index)
                block.body.extend([Assign(part, start), run, Assign(total, Apply(combine, (total, part), total.dtype))])
                place.append(block)
                accumulator = part
            elif last > first:
                run = Loop(Index(f"i{axis}"), literal(last - first))
                at = add(run.index, literal(first))
                place.append(run)
                accumulator = total
            else:
                continue
            indices[axis] = at
            value = state.read(x, tuple(indices[i] for i in range(len(shape))), Scope(run.body))
            run.body.append(Assign(accumulator, Apply(combine, (accumulator, value), total.dtype, exact=False)))
    else:
        value = state.read(x, tuple(indices[i] for i in range(len(shape))), Scope(place))
        place.append(Assign(total, value))
    body.append(Store(target, tuple(indices[i] for i, _ in kept), total))
    state.statements += outer


def _into_rows(
    state: Lowering, eqn: Equation, target: Buffer, axes: tuple[int, ...], combine: str, start: Literal
) -> None:
    """The last axis is kept: whole rows are added up, which reads memory in order; long columns by blocks of rows."""
    (x,) = eqn.inputs
    shape = x.type.shape
    lead = min(axes)
    indices, outer, body = loops_over(list(enumerate(shape[:lead])))
    before = tuple(indices.values())
    kept = [(i, shape[i]) for i in range(lead, len(shape)) if i not in axes]
    rows = shape[lead]
    _fill(body, target, before, kept, start)
    if rows <= BLOCK:
        _add_rows(state, eqn, body, target, before, indices, axes, combine, (literal(0), rows))
    else:
        part = state.temp(f"{state.names[eqn.output]}_part", array_type(tuple(n for _, n in kept), x.type.dtype))
        for first, count in ((0, rows // BLOCK), (rows - rows % BLOCK, 1)):
            size = BLOCK if first == 0 else rows % BLOCK
            if size == 0:
                continue
            block = Loop(Index("i_block"), literal(count))
            offset = add(mul(block.index, literal(BLOCK)), literal(first))
            _fill(block.body, part, (), kept, start)
            _add_rows(state, eqn, block.body, part, (), indices, axes, combine, (offset, size))
            own, loops, inner = loops_over(kept)
            place = tuple(own.values())
            total = Apply(combine, (Load(target, (*before, *place)), Load(part, place)), x.type.dtype)
            inner.append(Store(target, (*before, *place), total))
            block.body.extend(loops)
            body.append(block)
    state.statements += outer


def _fill(
    body: list[Statement], target: Buffer, before: tuple[Expr, ...], kept: list[tuple[int, int]], start: Literal
) -> None:
    own, loops, inner = loops_over(kept)
    inner.append(Store(target, (*before, *own.values()), start))
    body += loops


def _add_rows(
    state: Lowering,
    eqn: Equation,
    body: list[Statement],
    target: Buffer,
    before: tuple[Expr, ...],
    indices: dict[int, Expr],
    axes: tuple[int, ...],
    combine: str,
    rows: tuple[Expr, int],
) -> None:
    """Combine `rows[1]` rows from `rows[0]` on into the accumulators of `target`."""
    (x,) = eqn.inputs
    shape = x.type.shape
    lead = min(axes)
    extents = [(i, rows[1] if i == lead else shape[i]) for i in range(lead, len(shape))]
    own, loops, inner = loops_over(extents)
    at = indices | own
    at[lead] = add(own[lead], rows[0])
    place = (*before, *(own[i] for i in range(lead, len(shape)) if i not in axes))
    value = state.read(x, tuple(at[i] for i in range(len(shape))), Scope(inner))
    inner.append(Store(target, place, Apply(combine, (Load(target, place), value), value.dtype)))
    body += loops


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
    indices, outer, body = loops_over(kept)
    best, position = Local("best_value", dtype), Local("best_index", INT)
    first = indices | {op.axis: literal(0)}
    body.append(Assign(best, state.read(x, tuple(first[i] for i in range(len(shape))), Scope(body))))
    body.append(Assign(position, literal(0)))
    if shape[op.axis] > 1:
        loop = Loop(Index(f"i{op.axis}"), literal(shape[op.axis]))
        scope = Scope(loop.body)
        indices[op.axis] = loop.index
        value = scope.let("value", state.read(x, tuple(indices[i] for i in range(len(shape))), scope))
        better: Expr = Apply("greater" if op.kind == "max" else "less", (value, best), BOOL)
        if dtype.kind == "f":
            ordered = Apply("logical_not", (Apply("isnan", (best,), BOOL),), BOOL)
            nan = Apply("logical_and", (Apply("isnan", (value,), BOOL), ordered), BOOL)
            better = Apply("logical_or", (better, nan), BOOL)
        better = scope.let("better", better)
        loop.body.append(Assign(best, Apply("select", (better, value, best), dtype)))
        loop.body.append(Assign(position, Apply("select", (better, loop.index, position), INT)))
        body.append(loop)
    body.append(Store(target, tuple(indices[i] for i, _ in kept), position))
    state.statements += outer


def cumsum(state: Lowering, eqn: Equation) -> None:
    """One running total along the axis, for each line."""
    op = eqn.op
    assert isinstance(op, CumSum)
    (x,) = eqn.inputs
    shape = x.type.shape
    target = state.target(eqn)
    if x.type.size == 0:
        return
    indices, outer, body = loops_over([(i, n) for i, n in enumerate(shape) if i != op.axis])
    total = Local(f"{state.names[eqn.output]}_total", x.type.dtype)
    loop = Loop(Index(f"i{op.axis}"), literal(shape[op.axis]))
    step: Expr = loop.index
    if op.reverse:
        step = Apply("sub", (literal(shape[op.axis] - 1), loop.index), INT)
    indices[op.axis] = step
    at = tuple(indices[i] for i in range(len(shape)))
    value = state.read(x, at, Scope(loop.body))
    loop.body.extend([Assign(total, Apply("add", (total, value), total.dtype)), Store(target, at, total)])
    body += [Assign(total, _start("sum", x.type.dtype)), loop]
    state.statements += outer
