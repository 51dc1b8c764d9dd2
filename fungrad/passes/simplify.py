"""Algebra that never changes a bit of the result.

    a = mul x 1.0 ; b = neg a ; c = neg b      becomes      c = x

Constants are folded by evaluating equations that have only constant operands (rewriting does that by itself: such an
equation is never recorded). `x * 0` is not folded: it is nan for an infinite x; nor is `x + 0.0`, which turns -0.0
into 0.0. (The sign of a nan is not part of the result.) Derivatives stay as well, since the graphs inside loops and
branches are simplified before they are differentiated: so `stop_gradient` is not the identity here. It costs nothing,
because the loops read through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad.ir.graph import Graph, Var
from fungrad.ir.primitive import Primitive
from fungrad.passes.rewriting import number_of, rewrite
from fungrad.passes.signs import fewer_signs
from fungrad.primitives.contract import Dot, free_axes
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import ELEMENTWISE, Elementwise
from fungrad.primitives.shape import Broadcast, Reshape, Transpose, broadcast, reshape, transpose
from fungrad.trace import Tracer, bind


def simplify(graph: Graph) -> Graph:
    """The graph with neutral operations removed and movements merged."""
    made: dict[Var, tuple[Primitive, Sequence[Any]]] = {}  # how each new Var was computed

    def rule(op: Primitive, operands: Sequence[Any]) -> Any:
        result = _simpler(op, operands, made)
        if result is None:
            result = bind(op, *operands)
            if isinstance(result, Tracer) and isinstance(result.operand, Var):
                made[result.operand] = (op, operands)
        return result

    return rewrite(graph, rule)


def _simpler(op: Primitive, operands: Sequence[Any], made: dict[Var, tuple[Primitive, Sequence[Any]]]) -> Any:
    def maker(x: Any, kind: type) -> tuple[Any, Sequence[Any]] | None:
        """The primitive of `kind` that made `x`, and its operands."""
        found = made.get(x.operand) if isinstance(x, Tracer) and isinstance(x.operand, Var) else None
        return found if found and isinstance(found[0], kind) else None

    def source(x: Any, kind: type) -> tuple[Any, Any] | None:
        found = maker(x, kind)
        return (found[0], found[1][0]) if found else None

    def elementwise(x: Any) -> tuple[str, Sequence[Any]] | None:
        found = maker(x, Elementwise)
        return (found[0].row, found[1]) if found else None

    if isinstance(op, Elementwise):
        found = fewer_signs(op.row, operands, elementwise)
        if found is not None:
            return found
    match op:
        case Elementwise("mul" | "div"):
            x, y = operands
            if number_of(y) == 1:
                return x
            if number_of(x) == 1 and op.row == "mul":
                return y
            if number_of(y) == -1 and op.row == "mul":
                return bind(ELEMENTWISE["neg"], x)
        case Elementwise("sub"):
            return operands[0] if number_of(operands[1]) == 0 and not _is_negative_zero(operands[1]) else None
        case Dot():
            return _dot_of_transposed(op, operands, source)
        case Reshape(shape):
            inner = source(operands[0], Reshape)
            return reshape(inner[1] if inner else operands[0], shape) if inner or operands[0].shape == shape else None
        case Transpose(axes):
            inner = source(operands[0], Transpose)
            if inner:
                return transpose(inner[1], tuple(inner[0].axes[a] for a in axes))
            return operands[0] if axes == tuple(range(len(axes))) else None
        case Broadcast(shape):
            inner = source(operands[0], Broadcast)
            return broadcast(inner[1] if inner else operands[0], shape) if inner or operands[0].shape == shape else None
        case Convert(dtype):
            return operands[0] if operands[0].dtype == dtype else None
    return None


def _dot_of_transposed(op: Dot, operands: Sequence[Any], source: Callable[[Any, type], tuple[Any, Any] | None]) -> Any:
    """A contraction of transposed operands contracts other axes of the operands themselves."""
    axes = [[op.contract_a, op.batch_a], [op.contract_b, op.batch_b]]
    new = list(operands)
    for side, x in enumerate(operands):
        inner = source(x, Transpose)
        if inner and len(free_axes(x.ndim, *axes[side])) <= 1:  # else the order of the free axes would change
            moved = [tuple(inner[0].axes[i] for i in group) for group in axes[side]]
            if moved[1] == axes[side][1]:  # else a canonical contraction would no longer be one
                new[side] = inner[1]
                axes[side] = moved
    if new[0] is operands[0] and new[1] is operands[1]:
        return None
    return bind(Dot(axes[0][0], axes[1][0], axes[0][1], axes[1][1]), *new)


def _is_negative_zero(x: Any) -> bool:
    number = number_of(x)
    return number is not None and number.dtype.kind == "f" and bool(np.signbit(number))
