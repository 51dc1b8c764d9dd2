"""Random bits in loops: each element from its key and its own position, so nothing is stored but the numbers used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fungrad.ir.graph import Const, Equation
from fungrad.jit.loops import Apply, Expr, Literal, add, literal, mul
from fungrad.jit.scope import Indices, Scope
from fungrad.primitives.random import LONG, WORD, Threefry

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering

_WORD_RANGE = 1 << 32


def threefry(state: Lowering, eqn: Equation, index: Indices, scope: Scope) -> Expr:
    op = eqn.op
    assert isinstance(op, Threefry)
    key, start = eqn.inputs
    batch = index[: start.type.ndim]
    keys = [state.read(key, (*batch, literal(word)), scope) for word in (0, 1)]
    position: Expr = literal(0)
    size = 1
    for i, extent in zip(reversed(index[len(batch) :]), reversed(op.shape), strict=True):
        position = add(mul(i, literal(size)), position)
        size *= extent
    if isinstance(start, Const) and start.scalar == 0 and size <= _WORD_RANGE:
        high: Expr = Literal(WORD.type(0))
        low: Expr = Apply("convert", (position,), WORD)
    else:
        moved = (state.read(start, batch, scope), Apply("convert", (position,), LONG))
        counter = scope.let("counter__", Apply("add", moved, LONG))
        upper = Apply("floor_divide", (counter, Literal(LONG.type(_WORD_RANGE))), LONG)
        high, low = Apply("convert", (upper,), WORD), Apply("convert", (counter,), WORD)
    return Apply("threefry2x32", (*keys, high, low), LONG)
