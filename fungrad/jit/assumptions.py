"""Loops in two versions: a fast one for ordinary arguments, and one for any.

Some functions have a fast formula for ordinary arguments (the sine of moderate numbers, the remainder of a moderate
quotient) and a slow one for the rest. A branch for each element would keep the loop out of vector registers. So the
loop is emitted twice:

    for i in range(n):                                  for i in range(n):
        out[i] = sin(x[i])         becomes                  broken |= abs(x[i]) >= limit
                                                            out[i] = fast_sin(x[i])
                                                        if broken:
                                                            for i in range(n):
                                                                out[i] = any_sin(x[i])

Running a loop again gives what running it once gives only if it reads nothing that it writes; accumulators in
registers are put back to what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit.loops import Apply, Assign, Buffer, Expr, Guard, Let, Load, Loop, Statement, Store

ASSUMING = frozenset({"sin", "cos", "tan", "fmod", "remainder", "floor_divide"})
"""The operations on floats that have a fast formula for ordinary arguments."""


class Assume:
    """Notes, in stack slots that LLVM turns into registers, whether an assumption was broken."""

    def __init__(self, b: ir.IRBuilder, entry: ir.IRBuilder) -> None:
        self._b = b
        self._entry = entry
        self._slots: dict[int, ir.Value] = {}  # by width, as vectors of flags have the width of what was compared

    def never(self, condition: ir.Value, bits: int) -> None:
        """Assume that a condition on numbers of some width does not hold."""
        if bits not in self._slots:
            type = ir.IntType(bits)
            self._slots[bits] = self._entry.alloca(type, name="broken")
            self._entry.store(type(0), self._slots[bits])
        slot = self._slots[bits]
        flag = self._b.sext(condition, ir.IntType(bits))
        self._b.store(self._b.or_(self._b.load(slot), flag), slot)

    def broken(self) -> ir.Value:
        """Whether any assumption was broken so far."""
        flags = [self._b.icmp_signed("!=", self._b.load(s), ir.IntType(n)(0)) for n, s in self._slots.items()]
        result = flags[0]
        for flag in flags[1:]:
            result = self._b.or_(result, flag)
        return result


def is_worthwhile(loop: Loop) -> bool:
    """Whether a loop applies a function with a fast formula and may run twice."""
    expressions = [x for statement in _walk([loop]) for x in _expressions(statement)]
    if not any(isinstance(x, Apply) and x.op in ASSUMING and x.args[0].dtype.kind == "f" for x in expressions):
        return False
    written = {s.buffer.memory for s in _walk([loop]) if isinstance(s, Store)}
    read: set[Buffer] = {x.buffer.memory for x in expressions if isinstance(x, Load)}
    return not written & read and all(isinstance(s, Loop | Let | Assign | Store | Guard) for s in _walk(loop.body))


def accumulators(loop: Loop) -> set[tuple[str, DType]]:
    """The names and dtypes of what a loop assigns again and again."""
    return {(s.local.name, s.local.dtype) for s in _walk([loop]) if isinstance(s, Assign)}


def _walk(statements: Sequence[Statement]) -> Iterator[Statement]:
    for statement in statements:
        yield statement
        if isinstance(statement, Loop):
            yield from _walk(statement.body)


def _expressions(statement: Statement) -> Iterator[Expr]:
    """Every expression of a statement, but not of those inside it."""
    match statement:
        case Let(value=value) | Assign(value=value):
            yield from _parts(value)
        case Store(index=index, value=value):
            for x in (*index, value):
                yield from _parts(x)
        case Guard(ok=ok):
            yield from _parts(ok)


def _parts(x: Expr) -> Iterator[Expr]:
    yield x
    if isinstance(x, Apply | Load):
        for part in x.args if isinstance(x, Apply) else x.index:
            yield from _parts(part)
