"""Loops of the shape primitives that need memory: pad, concatenate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fungrad.ir.graph import Equation
from fungrad.jit.loops import Store, add, literal, mul, nest
from fungrad.jit.scope import Scope
from fungrad.primitives.shape import Concatenate, Pad

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering


def pad(state: Lowering, eqn: Equation) -> None:
    """Fill everything, then write the operand inside."""
    op = eqn.op
    assert isinstance(op, Pad)
    x, fill = eqn.inputs
    target = state.target(eqn)
    state.fill(target, lambda index, scope: state.read(fill, (), scope))
    index, body = nest(x.type.shape, state.statements)
    place = tuple(add(mul(i, literal(m + 1)), literal(b)) for i, b, m in zip(index, op.before, op.between, strict=True))
    body.append(Store(target, place, state.read(x, index, Scope(body))))


def concatenate(state: Lowering, eqn: Equation) -> None:
    """Write each operand at its place."""
    op = eqn.op
    assert isinstance(op, Concatenate)
    target = state.target(eqn)
    start = 0
    for x in eqn.inputs:
        index, body = nest(x.type.shape, state.statements)
        place = tuple(add(i, literal(start)) if axis == op.axis else i for axis, i in enumerate(index))
        body.append(Store(target, place, state.read(x, index, Scope(body))))
        start += x.type.shape[op.axis]
