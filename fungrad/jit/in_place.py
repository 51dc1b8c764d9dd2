"""Whether a result may be written over an operand, and the program in which it is.

    for i: for j: new[i, j] = w[i, j] - 0.1 * g[i, j]      becomes      for i: for j: w[i, j] = w[i, j] - 0.1 * g[i, j]

It may if nothing reads the operand after the result has begun to be written, but for an element just before it is
overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from fungrad.jit.loops import Buffer, Expr, Gemm, Index, Load, Loop, Repeat, Statement, Store
from fungrad.jit.walk import buffers_in, inner_statements, own_buffers, own_expressions, parts, views_in


@dataclass(frozen=True, slots=True)
class _Access:
    """Where a statement reads or writes a buffer: at one index, or anywhere (None)."""

    position: int
    around: tuple[Statement, ...]  # loops
    index: tuple[Expr, ...] | None


def may_overwrite(body: Sequence[Statement], operand: Buffer, result: Buffer) -> bool:
    """Whether `result` may have the memory of `operand`, which has its type."""
    if any(_is(view.source, operand) or _is(view.source, result) for s in body for view in views_in(s)):
        return False  # what is done to rows is not followed
    reads: list[_Access] = []
    writes: list[_Access] = []
    for position, statement, around in _walk(body, ()):
        loads = [x for own in own_expressions(statement) for x in parts(own) if isinstance(x, Load)]
        reads += [
            _Access(position, around, x.index if x.buffer is operand else None) for x in loads if _is(x.buffer, operand)
        ]
        writing = isinstance(statement, Store) and _is(statement.buffer, result)
        if isinstance(statement, Store) and writing:
            writes.append(_Access(position, around, statement.index if statement.buffer is result else None))
        elif isinstance(statement, Gemm) and statement.out is result and not around:
            if _is(statement.a, operand) or _is(statement.b, operand):
                return False
            writes.append(_Access(position, around, None))  # an addend is read tile by tile, before it is overwritten
            if statement.addend is not None and _is(statement.addend, operand):
                reads.append(_Access(position - 1, around, None))
        else:
            loaded = {id(x.buffer) for x in loads}
            others = [b for b in own_buffers(statement) if id(b) not in loaded]
            reads += [_Access(position, around, None) for b in others if _is(b, operand)]
            writes += [_Access(position, around, None) for b in others if _is(b, result)]
    return all(_is_before(read, write) for read in reads for write in writes)


def _is(buffer: Buffer, other: Buffer) -> bool:
    return buffer.memory is other.memory


def _is_before(read: _Access, write: _Access) -> bool:
    """Whether the read is done before the write in every round of the loops around both, for no other element."""
    if read.position > write.position:
        return False
    common = [a for a, b in zip(read.around, write.around, strict=False) if a is b]
    if not common:
        return read.position < write.position or (read.index is not None and read.index == write.index)
    if read.index is None or read.index != write.index:
        return False
    chosen = {x for x in read.index if isinstance(x, Index)}  # indices that tell elements apart
    for loop in reversed(write.around):
        if isinstance(loop, Loop) and loop.index in chosen:
            chosen |= {x for bound in (loop.start, loop.stop) for x in parts(bound) if isinstance(x, Index)}
    return all(isinstance(loop, Loop) and loop.index in chosen for loop in common)


def _walk(
    body: Sequence[Statement], around: tuple[Statement, ...], start: int = 0
) -> Iterator[tuple[int, Statement, tuple[Statement, ...]]]:
    """Every statement with its position in the text, two apart, and the loops around it."""
    position = start
    for statement in body:
        yield position, statement, around
        position += 2
        inner = (*around, statement) if isinstance(statement, Loop | Repeat) else around
        for found in _walk(inner_statements(statement), inner, position):
            yield found
            position = found[0] + 2


def replaced(body: Sequence[Statement], new: dict[Buffer, Buffer]) -> list[Statement]:
    """Statements with other buffers in the place of some; aliases go with the memory they read."""
    touched = {b for statement in body for b in buffers_in(statement)}
    known = dict(new)

    def buffer(x: Buffer) -> Buffer:
        if x not in known:
            changed = x.alias is not None and buffer(x.alias) is not x.alias
            known[x] = Buffer(x.name, x.type, buffer(x.alias).role, buffer(x.alias)) if changed and x.alias else x
        return known[x]

    if all(buffer(x) is x for x in touched):
        return list(body)

    def changed(x: Any) -> Any:
        if isinstance(x, Buffer):
            return buffer(x)
        if type(x) in (tuple, list):
            return type(x)([changed(y) for y in x])
        if is_dataclass(x) and not isinstance(x, type) and type(x).__module__ == Loop.__module__:
            return replace(x, **{f.name: changed(getattr(x, f.name)) for f in fields(x)})
        return x

    result: list[Statement] = changed(list(body))
    return result
