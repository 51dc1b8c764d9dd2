"""Loops of the regions: native loops and branches around the loops of the graphs inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.types import INT, ArrayType, array_type
from fungrad.jit.loops import (
    Apply,
    Assign,
    Buffer,
    Choose,
    Expr,
    Grow,
    Index,
    Load,
    Local,
    Loop,
    Repeat,
    Statement,
    Store,
    View,
    add,
    literal,
    nest,
    sub,
)
from fungrad.primitives.create import full
from fungrad.primitives.shape import Slice
from fungrad.regions.adjoint import Adjoint
from fungrad.regions.derived import chosen
from fungrad.regions.each import Each
from fungrad.regions.inline import Inline
from fungrad.regions.scan import Scan
from fungrad.regions.switch import Switch
from fungrad.regions.while_loop import While

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering

SMALL = 1024  # bytes of a carry that is copied from step to step instead of alternating between two places


def scan(state: Lowering, eqn: Equation) -> None:
    op = eqn.op
    assert isinstance(op, Scan)
    consts, firsts, xs = op.split(eqn.inputs)
    inputs = [state.buffer(x) for x in consts]
    sources = [_rows(state, x) for x in xs]
    state.note(eqn)
    lasts, ys, kept = op.split_results([state.memory(var) for var in eqn.outputs])
    histories = dict(zip(op.history, kept, strict=True))
    loop = Loop(Index(state.whole.fresh("step")), literal(op.length))
    row = sub(literal(op.length - 1), loop.index) if op.reverse else loop.index
    before, after = (add(row, literal(1)), row) if op.reverse else (row, add(row, literal(1)))
    carries = [
        _Kept(state, first, last, histories[i], before, after, literal(op.length if op.reverse else 0))
        if i in histories
        else _carry(state, first, last, loop.index)
        for i, (first, last) in enumerate(zip(firsts, lasts, strict=True))
    ]
    for carry in carries:
        carry.begin()
    state.statements.append(loop)
    for carry in carries:
        carry.enter(loop.body)
    rows = [_view(state, source, add(row, literal(start)), loop.body) for source, start in sources]
    targets = [_view(state, y, row, loop.body) for y in ys]
    inside(
        state,
        op.body,
        [*inputs, *(carry.now for carry in carries), *rows],
        [*(carry.next for carry in carries), *targets],
        loop.body,
    )
    for carry in carries:
        carry.leave(loop.body)
    for carry in carries:
        carry.end(op.length, literal(0 if op.reverse else op.length))


def each(state: Lowering, eqn: Equation) -> None:
    op = eqn.op
    assert isinstance(op, Each)
    scan(state, replace(eqn, op=op.as_scan))


def while_loop(state: Lowering, eqn: Equation) -> None:
    op = eqn.op
    assert isinstance(op, While)
    conditions, consts, firsts = op.split(eqn.inputs)
    conditions, consts = list(map(state.buffer, conditions)), list(map(state.buffer, consts))
    state.note(eqn)
    lasts = [state.memory(var) for var in eqn.outputs]
    carries = [_Copied(state, first, last) for first, last in zip(firsts, lasts, strict=True)]
    for carry in carries:
        carry.begin()
    places = [carry.now for carry in carries]
    repeat = _repeat(state, op, [*conditions, *places])
    inside(state, op.body, [*consts, *places], [carry.next for carry in carries], repeat.body)
    for carry in carries:
        carry.leave(repeat.body)


def inline(state: Lowering, eqn: Equation) -> None:
    op = eqn.op
    assert isinstance(op, Inline)
    operands = [state.buffer(x) for x in eqn.inputs]
    state.note(eqn)
    outputs = [state.memory(var) for var in eqn.outputs]
    inside(state, op.graph_for([x.type for x in eqn.inputs]), operands, outputs, state.statements)


def switch(state: Lowering, eqn: Equation) -> None:
    op = eqn.op
    assert isinstance(op, Switch)
    index, *operands = [state.buffer(x) for x in eqn.inputs]
    state.note(eqn)
    outputs = [state.memory(var) for var in eqn.outputs]
    choose = Choose(Load(index, ()), [[] for _ in op.branches])
    for graph, case in zip(op.branches, choose.cases, strict=True):
        inside(state, graph, operands, outputs, case)
    state.statements.append(choose)


def adjoint(state: Lowering, eqn: Equation) -> None:
    """The loop with a tape of its carries, then the steps back over it."""
    op = eqn.op
    assert isinstance(op, Adjoint)
    region: While = op.region
    operands, cts = op.split(eqn.inputs)
    conditions, consts, firsts = region.split(operands)
    conditions, consts = list(map(state.buffer, conditions)), list(map(state.buffer, consts))
    back = region.back(op.given, op.wanted)
    state.note(eqn)
    outputs = iter([state.memory(var) for var in eqn.outputs])

    # forward: row k of each tape is the carry before step k
    tapes = [Buffer(state.whole.fresh("tape"), x.type, "tape") for x in firsts]
    state.whole.tapes += tapes
    count = Local(state.whole.fresh("count"), INT)
    state.statements.append(Assign(count, literal(0)))
    for tape, start in zip(tapes, firsts, strict=True):
        state.statements.append(Grow(tape, literal(1)))
        state.copy(start, _view(state, tape, literal(0), state.statements))
    condition: list[Statement] = []
    places = [_view(state, tape, count, condition) for tape in tapes]
    repeat = _repeat(state, region, [*conditions, *places], condition)
    following = add(count, literal(1))
    for tape in tapes:
        repeat.body.append(Grow(tape, add(count, literal(2))))
    places = [_view(state, tape, count, repeat.body) for tape in tapes]
    inside(
        state,
        region.body,
        [*consts, *places],
        [_view(state, tape, following, repeat.body) for tape in tapes],
        repeat.body,
    )
    repeat.body.append(Assign(count, following))

    # backward
    given = iter(cts)
    present = [next(given) if flag else None for flag in op.given]
    asked = chosen(region.split(op.wanted)[2], back.carries)
    starts = [_zero(x.type) for x in chosen(consts, back.totals)]
    starts += chosen([_zero(x.type) if ct is None else ct for ct, x in zip(present, firsts, strict=True)], back.carries)
    results = [*(True for flag in back.totals if flag), *asked]
    places = [
        next(outputs) if flag else state.temp(state.whole.fresh("ct"), start.type)
        for start, flag in zip(starts, results, strict=True)
    ]
    carries = [_Copied(state, start, place) for start, place in zip(starts, places, strict=True)]
    for carry in carries:
        carry.begin()
    loop = Loop(Index(state.whole.fresh("step")), count)
    state.statements.append(loop)
    row = sub(sub(count, literal(1)), loop.index)
    inside(
        state,
        back.graph,
        [
            *consts,
            *(carry.now for carry in carries),
            *(_view(state, tape, row, loop.body) for tape in tapes),
            *(_view(state, tape, add(row, literal(1)), loop.body) for tape in tapes),
        ],
        [carry.next for carry in carries],
        loop.body,
    )
    for carry in carries:
        carry.leave(loop.body)


def inside(
    state: Lowering, graph: Graph, inputs: Sequence[Buffer], outputs: Sequence[Buffer], statements: list[Statement]
) -> None:
    """Lower a graph inside the program of another."""
    type(state)(graph, state.whole, inputs, outputs, statements).run()


# -- carries -----------------------------------------------------------------------------------------------------------


class _Copied:
    """A carry in one place; each step writes the next one to another and copies it back."""

    def __init__(self, state: Lowering, first: Operand, place: Buffer) -> None:
        self.state = state
        self.first = first
        self.now = place
        self.next = state.temp(state.whole.fresh(f"{place.name}__next"), place.type)

    def begin(self) -> None:
        self.state.copy(self.first, self.now)

    def enter(self, body: list[Statement]) -> None:
        pass

    def leave(self, body: list[Statement]) -> None:
        _copy(self.next, self.now, body)

    def end(self, length: int, last: Expr) -> None:
        pass


class _Alternating:
    """A carry in one of two places; each step reads one and writes the other."""

    def __init__(self, state: Lowering, first: Operand, last: Buffer, index: Expr) -> None:
        self.first = first
        self.last = last
        self.index = index
        self.state = state
        type = array_type((2, *last.type.shape), last.type.dtype)
        self.pair = state.temp(state.whole.fresh(f"{last.name}__pair"), type)

    def begin(self) -> None:
        self.state.copy(self.first, _view(self.state, self.pair, literal(0), self.state.statements))

    def enter(self, body: list[Statement]) -> None:
        parity = Apply("bitwise_and", (self.index, literal(1)), INT)
        self.now = _view(self.state, self.pair, parity, body)
        self.next = _view(self.state, self.pair, sub(literal(1), parity), body)

    def leave(self, body: list[Statement]) -> None:
        pass

    def end(self, length: int, last: Expr) -> None:
        statements = self.state.statements
        _copy(_view(self.state, self.pair, literal(length % 2), statements), self.last, statements)


class _Kept:
    """A carry whose history is kept: each step reads one row of it and writes the next."""

    def __init__(
        self, state: Lowering, first: Operand, last: Buffer, history: Buffer, before: Expr, after: Expr, start: Expr
    ) -> None:
        self.state = state
        self.first = first
        self.last = last
        self.history = history
        self.before, self.after, self.start = before, after, start

    def begin(self) -> None:
        self.state.copy(self.first, _view(self.state, self.history, self.start, self.state.statements))

    def enter(self, body: list[Statement]) -> None:
        self.now = _view(self.state, self.history, self.before, body)
        self.next = _view(self.state, self.history, self.after, body)

    def leave(self, body: list[Statement]) -> None:
        pass

    def end(self, length: int, last: Expr) -> None:
        statements = self.state.statements
        _copy(_view(self.state, self.history, last, statements), self.last, statements)


def _carry(state: Lowering, first: Operand, last: Buffer, index: Expr) -> _Copied | _Alternating:
    size = last.type.size * last.type.dtype.itemsize
    return _Copied(state, first, last) if size <= SMALL else _Alternating(state, first, last, index)


# -- pieces ------------------------------------------------------------------------------------------------------------


def _repeat(state: Lowering, op: While, places: Sequence[Buffer], condition: list[Statement] | None = None) -> Repeat:
    """Append a loop that runs while the condition holds; its body is empty."""
    before: list[Statement] = [] if condition is None else condition
    flag = state.temp(state.whole.fresh("go_on"), op.condition.outputs[0].type)
    inside(state, op.condition, places, [flag], before)
    repeat = Repeat(before, Load(flag, ()), [])
    state.statements.append(repeat)
    return repeat


def _rows(state: Lowering, x: Operand) -> tuple[Buffer, int]:
    """An array whose rows a loop reads, and the first row; a slice of whole rows is read where it is."""
    eqn = state.lazy.get(x) if isinstance(x, Var) and x not in state.stored else None
    if eqn is not None and isinstance(eqn.op, Slice):
        (source,) = eqn.inputs
        op, shape = eqn.op, source.type.shape
        whole_rows = op.steps[0] == 1 and op.starts[1:] == (0,) * (len(shape) - 1) and op.stops[1:] == shape[1:]
        if whole_rows and set(op.steps[1:]) <= {1}:
            return state.buffer(source), op.starts[0]
    return state.buffer(x), 0


def _view(state: Lowering, source: Buffer, row: Expr, statements: list[Statement]) -> Buffer:
    """A row of a buffer."""
    type = source.type if source.role == "tape" else array_type(source.type.shape[1:], source.type.dtype)
    buffer = Buffer(state.whole.fresh(f"{source.name}__row"), type, "view")
    statements.append(View(buffer, source, row))
    return buffer


def _zero(type: ArrayType) -> Operand:
    return Const(np.asarray(full(type.shape, 0, type.dtype)))


def _copy(source: Buffer, target: Buffer, statements: list[Statement]) -> None:
    index, body = nest(target.type.shape, statements)
    body.append(Store(target, index, Load(source, index)))
