"""Loops of reading and writing at computed positions. Every index is checked, here or before: native code has no other
bounds check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fungrad.ir.graph import Equation, Operand, Var
from fungrad.ir.types import BOOL, INT
from fungrad.jit.checked_index import Pick, Positions, Put
from fungrad.jit.loops import Apply, Expr, Load, Store, literal, loops_over, nest
from fungrad.jit.scope import Indices, Scope
from fungrad.primitives.index import ScatterAdd

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering


def positions(state: Lowering, eqn: Equation) -> None:
    """Check indices, and count negative ones from the start."""
    op = eqn.op
    assert isinstance(op, Positions)
    state.note(eqn)
    targets = [state.memory(var) for var in eqn.outputs]
    index, body = nest(targets[0].type.shape, state.statements)
    scope = Scope(body, rounds=range(targets[0].type.size))
    found = _checked(state, eqn, dict(zip(op.axes, op.extents, strict=True)), eqn.inputs, index, scope)
    body += [Store(target, index, place) for target, place in zip(targets, found, strict=True)]


def pick(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    """x[positions[I], rest]."""
    x, *places = eqn.inputs
    op = eqn.op
    assert isinstance(op, Pick)
    lead, found = len(op.shape), iter(places)
    own: list[Expr] = []
    for axis, n in zip(op.counted, x.type.shape, strict=False):
        place = index[axis] if axis is not None else state.read(next(found), index[:lead], scope)
        if isinstance(place, Load) and isinstance(x, Var) and x in state.lazy:  # lest what computes x repeats it
            place = scope.let(f"{state.names[x]}__at", place)
        own.append(literal(0) if n == 1 else place)
    return state.read(x, (*own, *index[lead:]), scope)


def put(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    """The update where the index is its position, x elsewhere."""
    x, updates, places = eqn.inputs
    op = eqn.op
    assert isinstance(op, Put)
    own: list[Expr] = [literal(0)] * places.type.ndim
    for i, axis in zip(index, op.counted, strict=False):
        if axis is not None:
            own[axis] = i
    here: Expr = index[op.counted.index(None)]
    place = state.read(places, tuple(own), scope)
    old = state.read(x, index, scope)
    new = state.read(updates, (*own, *index[len(op.counted) :]), scope)
    if op.add:
        new = Apply("add", (old, new), new.dtype)
    if x.type.dtype.itemsize <= 4 and max(x.type.shape) < 2**31:  # numbers as wide need no other vectors
        here, place = (Apply("convert", (i,), np.dtype(np.int32)) for i in (here, place))
    return Apply("select", (Apply("equal", (here, place), BOOL), new, old), x.type.dtype)


def scatter(state: Lowering, eqn: Equation) -> None:
    """Copy x, then write or add each update in order, so that repeated indices behave as in NumPy.

    Each index is checked once, even if its place holds no elements.
    """
    x, updates, *indices = eqn.inputs
    target = state.target(eqn)
    axes, lead = list(enumerate(updates.type.shape)), indices[0].type.ndim
    state.fill(target, lambda index, scope: state.read(x, index, scope))
    own, body = loops_over(axes[:lead], state.statements)
    scope = Scope(body, rounds=range(indices[0].type.size))
    place = _checked(state, eqn, dict(enumerate(target.type.shape)), indices, tuple(own.values()), scope)
    rest, body = loops_over(axes[lead:], body)
    where = (*place, *rest.values())
    value = state.read(updates, (*own.values(), *rest.values()), Scope(body, rounds=range(updates.type.size)))
    if isinstance(eqn.op, ScatterAdd):
        value = Apply("add", (Load(target, where), value), value.dtype)
    body.append(Store(target, where, value))


def _checked(
    state: Lowering,
    eqn: Equation,
    extents: Mapping[int, int],
    indices: Sequence[Operand],
    index: tuple[Expr, ...],
    scope: Scope,
) -> tuple[Expr, ...]:
    """The positions along axes of some extents: negative ones counted from the end, and checked."""
    place: list[Expr] = []
    for (axis, n), x in zip(extents.items(), indices, strict=False):
        given = state.read(x, index[: x.type.ndim], scope)
        wide = given if given.dtype == INT else Apply("convert", (given,), INT)
        signed = scope.let(f"given__{axis}", wide)
        extent = literal(n)
        position: Expr = signed  # of unsigned integers those too large for INT are negative, and out of bounds
        if given.dtype.kind != "u":
            negative = Apply("less", (signed, literal(0)), BOOL)
            from_end = Apply("add", (signed, extent), INT)
            position = scope.let(f"at__{axis}", Apply("select", (negative, from_end, signed), INT))
        above = Apply("greater_equal", (position, literal(0)), BOOL)
        below = Apply("less", (position, extent), BOOL)
        failure = f"{eqn.op.name} at {eqn.where}: an index is out of bounds for axis {axis} of extent {n}"
        scope.body.append(state.guard(Apply("logical_and", (above, below), BOOL), failure))
        place.append(position)
    return tuple(place)
