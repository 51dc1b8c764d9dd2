"""Loops of the pointwise families: an element of the result from elements of the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fungrad.ir.graph import Equation
from fungrad.ir.types import BOOL, INT
from fungrad.jit.loops import Apply, Expr, add, literal, mul, sub
from fungrad.jit.scope import Indices, Scope
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.shape import Flip, Pad, Slice, Transpose

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering


def elementwise(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    assert isinstance(eqn.op, Elementwise)
    args = tuple(state.read(x, index, scope) for x in eqn.inputs)
    if eqn.op.row == "stop_gradient":
        return args[0]
    return Apply(eqn.op.row, args, eqn.output.type.dtype)


def convert(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    assert isinstance(eqn.op, Convert)
    return Apply("convert", (state.read(eqn.inputs[0], index, scope),), eqn.op.dtype)


def broadcast(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    (x,) = eqn.inputs
    new = len(index) - x.type.ndim
    own = tuple(literal(0) if n == 1 else i for i, n in zip(index[new:], x.type.shape, strict=True))
    return state.read(x, own, scope)


def transpose(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    assert isinstance(eqn.op, Transpose)
    own = [index[0]] * len(index) if index else []
    for position, axis in enumerate(eqn.op.axes):
        own[axis] = index[position]
    return state.read(eqn.inputs[0], tuple(own), scope)


def slice(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    op = eqn.op
    assert isinstance(op, Slice)
    own = tuple(add(mul(i, literal(s)), literal(a)) for i, a, s in zip(index, op.starts, op.steps, strict=True))
    return state.read(eqn.inputs[0], own, scope)


def flip(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    assert isinstance(eqn.op, Flip)
    shape = eqn.inputs[0].type.shape
    own = tuple(sub(literal(shape[a] - 1), i) if a in eqn.op.axes else i for a, i in enumerate(index))
    return state.read(eqn.inputs[0], own, scope)


def reshape(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    """Only axes of extent 1 come and go."""
    (x,) = eqn.inputs
    others = (i for i, n in zip(index, eqn.output.type.shape, strict=True) if n != 1)
    return state.read(x, tuple(literal(0) if n == 1 else next(others) for n in x.type.shape), scope)


def pad(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    """The operand inside, the fill value around it; where the loops do not tell which, both, and a choice."""
    x, fill = eqn.inputs
    assert isinstance(eqn.op, Pad)
    inside: Expr | None = None
    own: list[Expr] = []
    for i, n, before in zip(index, x.type.shape, eqn.op.before, strict=True):
        place = sub(i, literal(before))
        low, high = scope.bounds(i)
        if high < before or low >= before + n:
            return state.read(fill, (), scope)
        if low < before or high >= before + n:
            within = Apply("clip", (place, literal(0), literal(n - 1)), INT)
            here = Apply("equal", (place, within), BOOL)
            inside = here if inside is None else Apply("logical_and", (inside, here), BOOL)
            place = within
        own.append(literal(0) if n == 1 else place)
    value = state.read(x, tuple(own), scope)
    if inside is None:
        return value
    return Apply("select", (inside, value, state.read(fill, (), scope)), x.type.dtype)
