"""Where temporaries are in the arena: those that are never needed at the same time share memory.

    a = dot x w ; b = tanh a ; c = dot b v ; d = tanh c      needs room for two: `c` takes the place of `a`, `d` that of
    `b`

A temporary is needed from the first to the last stage that touches it, since a stage takes its memory as pointers that
must not overlap. Stages begin at the notes of the outermost level; all that is inside a loop is part of its stage.
"""

from __future__ import annotations

from bisect import insort

from fungrad.jit.loops import Buffer, Note, Program
from fungrad.jit.walk import buffers_in, views_in

ALIGNMENT = 64


def lifetimes(program: Program) -> dict[Buffer, tuple[int, int]]:
    """The first and the last stage of the program that touch each temporary, numbered."""
    found: dict[Buffer, tuple[int, int]] = {}
    rows: dict[Buffer, Buffer] = {}  # of what memory a row is
    position = 0
    for statement in program.body:
        position += isinstance(statement, Note)
        rows |= {view.buffer: view.source.memory for view in views_in(statement)}
        for buffer in buffers_in(statement):
            memory = buffer.memory
            while memory in rows:
                memory = rows[memory]
            if memory.role == "temp":
                found[memory] = (found.get(memory, (position, 0))[0], position)
    return found


def arena_layout(program: Program) -> tuple[dict[Buffer, int], int]:
    """The byte offset of each temporary in the arena, and the arena's size."""
    needed = lifetimes(program)
    offsets: dict[Buffer, int] = {}
    free: list[tuple[int, int]] = []  # (start, end) of gaps, by start
    ends: list[tuple[int, int, int]] = []  # (last stage, start, end) of what is in use
    size = 0
    for buffer in sorted((b for b in program.temps if b in needed), key=lambda b: needed[b][0]):
        first, last = needed[buffer]
        while ends and ends[0][0] < first:
            _, *gap = ends.pop(0)
            _release(free, *gap)
        length = -(-buffer.type.nbytes // ALIGNMENT) * ALIGNMENT
        fitting = [gap for gap in free if gap[1] - gap[0] >= length]
        if fitting:
            start, end = min(fitting, key=lambda gap: gap[1] - gap[0])
            free.remove((start, end))
            if start + length < end:
                insort(free, (start + length, end))
        else:
            start, size = size, size + length
        offsets[buffer] = start
        if length:
            insort(ends, (last, start, start + length))
    return offsets, size


def _release(free: list[tuple[int, int]], start: int, end: int) -> None:
    """Add a gap, joined with its neighbours."""
    insort(free, (start, end))
    at = free.index((start, end))
    if at + 1 < len(free) and free[at + 1][0] == end:
        free[at : at + 2] = [(start, free[at + 1][1])]
    if at and free[at - 1][1] == start:
        free[at - 1 : at + 1] = [(free[at - 1][0], free[at][1])]
