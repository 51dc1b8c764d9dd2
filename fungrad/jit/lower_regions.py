"""Loops of the regions: native loops and branches around the loops of the graphs inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.types import INT, ArrayType, array_type
from fungrad.jit.in_place import may_overwrite, replaced
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
    ends = (literal(op.length), literal(0)) if op.reverse else (literal(0), literal(op.length))
    carries = [
        _Kept(state, first, last, histories[i], (before, after), ends, loop.body)
        if i in histories
        else _Carry(state, first, last)
        for i, (first, last) in enumerate(zip(firsts, lasts, strict=True))
    ]
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
        carry.settle(loop.body, loop)
    state.statements.append(loop)
    for carry in carries:
        carry.end(op.length)


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
    carries = [_Carry(state, first, last) for first, last in zip(firsts, lasts, strict=True)]
    places = [carry.now for carry in carries]
    repeat = _repeat(state, op, [*conditions, *places])
    inside(state, op.body, [*consts, *places], [carry.next for carry in carries], repeat.body)
    for carry in carries:
        carry.settle(repeat.body)
    state.statements.append(repeat)


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
    state.statements.append(repeat)
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
    carries = [_Carry(state, start, place) for start, place in zip(starts, places, strict=True)]
    loop = Loop(Index(state.whole.fresh("step")), count)
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
        carry.settle(loop.body)
    state.statements.append(loop)


def inside(
    state: Lowering, graph: Graph, inputs: Sequence[Buffer], outputs: Sequence[Buffer], statements: list[Statement]
) -> None:
    """Lower a graph inside the program of another."""
    state.inner.append(type(state)(graph, state.whole, inputs, outputs, statements))
    state.inner[-1].run()


# -- carries -----------------------------------------------------------------------------------------------------------


class _Carry:
    """A carry in one place. A step writes the next one over it if it may; else to another place, from which it is
    copied back if it is small, or with which the first place takes turns."""

    def __init__(self, state: Lowering, first: Operand, place: Buffer) -> None:
        self.state = state
        self.first = first
        self.place = self.now = place
        self.next = state.temp(state.whole.fresh(f"{place.name}__next"), place.type)
        self.pair: Buffer | None = None

    def settle(self, body: list[Statement], counted: Loop | None = None) -> None:
        """Finish a step, whose statements are known, and begin with the first carry.

        Args:
            body: the statements.
            counted: the loop around them, if its rounds are counted from 0.
        """
        type, statements = self.place.type, self.state.statements
        if may_overwrite(body, self.now, self.next):
            body[:] = replaced(body, {self.next: self.now})
        elif counted is None or type.nbytes <= SMALL:
            _copy(self.next, self.now, body)
        else:
            pair_type = array_type((2, *type.shape), type.dtype)
            self.pair = self.state.temp(self.state.whole.fresh(f"{self.place.name}__pair"), pair_type)
            parity = Apply("bitwise_and", (counted.index, literal(1)), INT)
            turns: list[Statement] = []
            now = _view(self.state, self.pair, parity, turns)
            following = _view(self.state, self.pair, sub(literal(1), parity), turns)
            body[:] = [*turns, *replaced(body, {self.now: now, self.next: following})]
            self.place = _view(self.state, self.pair, literal(0), statements)
        self.state.copy(self.first, self.place)

    def end(self, length: int) -> None:
        """Bring the last carry to where it is expected."""
        if self.pair is not None:
            statements = self.state.statements
            _copy(_view(self.state, self.pair, literal(length % 2), statements), self.now, statements)


class _Kept:
    """A carry whose history is kept: each step reads one row of it and writes the next."""

    def __init__(
        self,
        state: Lowering,
        first: Operand,
        last: Buffer,
        history: Buffer,
        rows: tuple[Expr, Expr],
        ends: tuple[Expr, Expr],
        body: list[Statement],
    ) -> None:
        """
        Args:
            rows: of the carry before and after a step.
            ends: the rows of the first and the last carry.
            body: of a step.
        """
        self.state = state
        self.first = first
        self.last = last
        self.history = history
        self.ends = ends
        self.now, self.next = (_view(state, history, row, body) for row in rows)

    def settle(self, body: list[Statement], counted: Loop) -> None:
        self.state.copy(self.first, _view(self.state, self.history, self.ends[0], self.state.statements))

    def end(self, length: int) -> None:
        statements = self.state.statements
        _copy(_view(self.state, self.history, self.ends[1], statements), self.last, statements)


# -- pieces ------------------------------------------------------------------------------------------------------------


def _repeat(state: Lowering, op: While, places: Sequence[Buffer], condition: list[Statement] | None = None) -> Repeat:
    """A loop that runs while the condition holds; its body is empty."""
    before: list[Statement] = [] if condition is None else condition
    flag = state.temp(state.whole.fresh("go_on"), op.condition.outputs[0].type)
    inside(state, op.condition, places, [flag], before)
    return Repeat(before, Load(flag, ()), [])


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
