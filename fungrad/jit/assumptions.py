"""Loops in two versions: a fast one for ordinary arguments, and one for any.

Some functions have a fast formula for ordinary arguments (the sine of moderate numbers, the remainder of a moderate
quotient) and a slow one for the rest. A branch for each element would keep the loop out of vector registers. So the
loop is emitted twice:

    for i in range(n):                                  for i in range(n):
        out[i] = sin(x[i])         becomes                  broken |= abs(x[i]) > limit
                                                            out[i] = fast_sin(x[i])
                                                        if broken:
                                                            for i in range(n):
                                                                out[i] = any_sin(x[i])

Only some loops may run twice: those that read nothing they write, write to places that do not depend on data, which
the first run may compute wrongly, and check nothing. Accumulators in registers are put back to what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit.loops import Apply, Assign, Let, Load, Local, Loop, Statement, Store
from fungrad.jit.registers import Number
from fungrad.jit.walk import expressions_in, parts

ASSUMING = frozenset({"sin", "cos", "tan", "fmod", "remainder", "floor_divide"})
"""The operations on floats that have a fast formula for ordinary arguments."""


class Assume:
    """Notes, in stack slots that LLVM turns into registers, whether an assumption was broken since this was made."""

    def __init__(self, b: ir.IRBuilder, entry: ir.IRBuilder) -> None:
        self._b = b
        self._slots = {bits: entry.alloca(ir.IntType(bits)) for bits in (32, 64)}
        for bits, slot in self._slots.items():
            b.store(ir.IntType(bits)(0), slot)

    def at_most(self, x: Number, limit: float) -> None:
        """Assume that a number is at most `limit`: the sign of limit - x is kept, which takes no comparison. nan may
        pass or not."""
        slot = self._slots[x.format.bits]
        self._b.store(self._b.or_(self._b.load(slot), (limit - x).bits()), slot)

    def broken(self) -> ir.Value:
        """Whether any assumption was broken."""
        flags = [self._b.icmp_signed("<", self._b.load(s), ir.IntType(n)(0)) for n, s in self._slots.items()]
        return self._b.or_(*flags)


def is_worthwhile(loop: Loop) -> bool:
    """Whether a loop applies a function with a fast formula, and may run twice."""
    statements = list(_walk([loop]))
    if any(isinstance(s, Loop) and s.work for s in statements):
        return False
    expressions = list(expressions_in(loop))
    if not any(isinstance(x, Apply) and x.op in ASSUMING and x.args[0].dtype.kind == "f" for x in expressions):
        return False
    stores = [s for s in statements if isinstance(s, Store)]
    read = {x.buffer.memory for x in expressions if isinstance(x, Load)}
    places = [x for store in stores for index in store.index for x in parts(index)]
    return (
        all(isinstance(s, Loop | Let | Assign | Store) for s in statements)
        and not any(s.buffer.memory in read for s in stores)
        and not any(isinstance(x, Load | Local) for x in places)
    )


def is_serial(loop: Loop) -> bool:
    """Whether the statements directly in a loop run one number at a time: around others, or reading what they write."""
    if not all(isinstance(s, Let | Assign | Store) for s in loop.body):
        return True
    read = {x.buffer.memory for s in loop.body for x in expressions_in(s) if isinstance(x, Load)}
    return any(isinstance(s, Store) and s.buffer.memory in read for s in loop.body)


def accumulators(loop: Loop) -> set[tuple[str, DType]]:
    """The names and dtypes of what a loop assigns again and again."""
    return {(s.local.name, s.local.dtype) for s in _walk([loop]) if isinstance(s, Assign)}


def _walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    for statement in statements:
        yield statement
        if isinstance(statement, Loop):
            yield from _walk(statement.body)
