"""Graph -> loop IR.

    a = mul x 2.0 ; b = sin a ; c = sum[axes=(1,)] b

becomes one nest, since `a` and `b` are used once:

    for i0 in range(n):
        c__total = 0.0
        for i1 in range(m):
            a = x[i0, i1] * 2.0
            b = np.sin(a)
            c__total = c__total + b
        c[i0] = c__total

`inline` decides which values are computed where they are read, `fuse` which of the others share loops, and the two
together what has to be in memory. Here the loops are written down, in the order of the tree that `fuse` made. Which
loops a primitive becomes is one table keyed by family; a primitive without an entry is a host call.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.printing import name_vars, print_primitive
from fungrad.ir.types import ArrayType, array_type
from fungrad.jit.checked_index import with_checked_indices
from fungrad.jit.fold_products import fold_products
from fungrad.jit.fuse import Fusion, Nest
from fungrad.jit.in_place import may_overwrite, replaced
from fungrad.jit.inline import Inlining
from fungrad.jit.loops import (
    Buffer,
    Expr,
    Guard,
    Host,
    Index,
    Literal,
    Load,
    Local,
    Loop,
    Note,
    Program,
    Statement,
    Store,
    View,
    fitted,
    int_value,
    nest,
)
from fungrad.jit.lower_nest import NestLowering
from fungrad.jit.lower_reduce import reduce_nothing
from fungrad.jit.lower_table import POINTWISE, REDUCTIONS, STAGES, is_native, is_pointwise, is_reduction
from fungrad.jit.scope import Indices, Scope
from fungrad.jit.walk import buffers_in
from fungrad.primitives.shape import Reshape


@dataclass(slots=True)
class Whole:
    """What the graphs of a program share: those inside a loop or a branch add to what the outer one has."""

    taken: set[str] = field(default_factory=set)  # names
    constants: dict[int, tuple[Any, Buffer]] = field(default_factory=dict)  # by the identity of the value beside
    temps: list[Buffer] = field(default_factory=list)
    tapes: list[Buffer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)

    def fresh(self, stem: str) -> str:
        """A name nothing else in the program has."""
        names = (f"{stem}__{i}" for i in count())
        name = next(name for name in names if name not in self.taken)
        self.taken.add(name)
        return name


class Lowering:
    """The state of lowering one graph: from buffers of its inputs, in statements that are appended to a list, into
    buffers of its outputs."""

    def __init__(
        self,
        graph: Graph,
        whole: Whole,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        statements: list[Statement],
    ) -> None:
        self.graph = graph = with_checked_indices(fold_products(graph))
        self.whole = whole
        self.names = name_vars(graph, whole.taken)
        self.statements = statements
        self.outputs = outputs
        self.chunk: Loop | None = None  # the loop over chunks of rounds that is being lowered
        self.inlining = Inlining(graph)
        self.lazy = self.inlining.inlined
        self.fusion = Fusion(graph, self.inlining)
        self.evaluations: Counter[Var] = Counter()  # how often elements of inlined values are computed
        self.inner: list[Lowering] = []  # of the graphs inside, in the order of the equations they belong to
        self.stored: dict[Var, Buffer] = dict(zip(graph.inputs, inputs, strict=True))
        self.destination: dict[Var, Buffer] = {}
        for x, buffer in zip(graph.outputs, outputs, strict=True):
            if isinstance(x, Var) and x not in self.stored and x not in self.lazy:
                self.destination.setdefault(x, buffer)

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, x: Operand, index: Indices, scope: Scope) -> Expr:
        """The element of an operand at an index: bound already, in memory, or computed now, in `scope`."""
        if isinstance(x, Const):
            scalar = x.scalar
            return scope.load(self.constant(x), index) if scalar is None else Literal(scalar)
        found = scope.find(x, index)
        if found is not None:
            return found
        eqn = self.lazy.get(x)
        if eqn is None or not is_pointwise(eqn):
            buffer = self.buffer(x)
            return scope.load(buffer, fitted(buffer, index))
        value = POINTWISE[type(eqn.op)](self, eqn, index, scope)
        if isinstance(value, Load | Literal | Local | Index):
            return value
        times = scope.times()
        self.evaluations[x] += x.type.size if times is None else times
        local = scope.bound[x, index] = scope.let(self.names[x], value)
        return local

    def buffer(self, x: Operand) -> Buffer:
        """An operand in memory; a view of memory begins here, other inlined values are stored now."""
        if isinstance(x, Const):
            return self.constant(x)
        if x not in self.stored:
            eqn = self.lazy[x]
            if isinstance(eqn.op, Reshape):
                source = self.buffer(eqn.inputs[0])
                self.stored[x] = Buffer(self.names[x], x.type, source.role, source)
            else:
                target = self.shared_temp(f"{self.names[x]}__kept", x.type)
                self.copy(x, target)
                self.stored[x] = target
        return self.stored[x]

    def constant(self, x: Const) -> Buffer:
        """The buffer of an array constant."""
        constants = self.whole.constants
        if id(x.value) not in constants:
            copy = Buffer(f"const{len(constants)}", x.type, "const", None, np.array(x.value, order="C"))
            constants[id(x.value)] = x.value, copy
        return constants[id(x.value)][1]

    # -- storing ----------------------------------------------------------------------------------------------------

    def temp(self, name: str, type: ArrayType) -> Buffer:
        """A new temporary buffer; inside rounds that any thread may run, each chunk of them has its own."""
        if self.chunk is None:
            return self.shared_temp(name, type)
        count = int_value(self.chunk.stop)
        assert count is not None
        rows = self.shared_temp(f"{name}__chunks", array_type((count, *type.shape), type.dtype))
        own = Buffer(name, type, "view")
        self.chunk.body.insert(0, View(own, rows, self.chunk.index))
        return own

    def shared_temp(self, name: str, type: ArrayType) -> Buffer:
        """A new temporary buffer."""
        buffer = Buffer(name, type, "temp")
        self.whole.temps.append(buffer)
        return buffer

    def target(self, eqn: Equation) -> Buffer:
        """The memory the result of an equation goes to, after a note that says where the equation comes from."""
        self.note(eqn)
        return self.memory(eqn.output)

    def memory(self, var: Var) -> Buffer:
        """The memory of a value: an output of the program, or a temporary, of one row if all readers share the loops
        over the rows."""
        if var in self.stored:
            return self.stored[var]
        buffer = self.destination.get(var)
        if buffer is None:
            place = self.fusion.places[var]
            shape = list(var.type.shape)
            loops = [axis for axis, n in enumerate(shape) if n != 1]
            for axis in loops[: place.shared]:
                shape[axis] = 1
            suffix = "__kept" if place.is_local else ""  # the plain name is that of an element
            make = self.temp if place.shared else self.shared_temp
            buffer = make(self.names[var] + suffix, array_type(tuple(shape), var.type.dtype))
        self.stored[var] = buffer
        return buffer

    def forget_rows(self) -> None:
        """The memory of rows ends with the loop over them: another piece of it has its own, since of two pieces one may
        be shared among threads and the other not, or both, each chunk with rows of its own."""
        for var in [x for x, place in self.fusion.places.items() if place.shared and x not in self.destination]:
            self.stored.pop(var, None)

    def fill(self, target: Buffer, element: Callable[[Indices, Scope], Expr]) -> None:
        """Store `element(index)` at every index of `target`."""
        index, body = nest(target.type.shape, self.statements)
        body.append(Store(target, index, element(index, Scope(body, rounds=range(target.type.size)))))

    def copy(self, x: Operand, target: Buffer) -> None:
        """Store an operand as a result of the program."""
        self.fill(target, lambda index, scope: self.read(x, index, scope))

    def note(self, eqn: Equation) -> None:
        """Say in the program where an equation comes from."""
        place = f"{os.path.basename(eqn.where.file)}:{eqn.where.line}"
        self.statements.append(Note(f"{place}: {print_primitive(eqn.op)}"))

    def guard(self, ok: Expr, failure: str) -> Guard:
        """A check that makes the program fail with that message."""
        if failure not in self.whole.failures:
            self.whole.failures.append(failure)
        return Guard(ok, self.whole.failures.index(failure))

    # -- equations ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Lower the whole graph."""
        nests = NestLowering(self)
        for item in self.fusion.program.items:
            if isinstance(item, Nest) or is_pointwise(item) or is_reduction(item):
                nests.run(item)
            else:
                self.stage(item)
        for x, target in zip(self.graph.outputs, self.outputs, strict=True):
            if not (isinstance(x, Var) and self.stored.get(x) is target):
                self.copy(x, target)

    def stage(self, eqn: Equation) -> None:
        """Lower an equation with loops of its own, or as a host call."""
        family = type(eqn.op)
        if family in STAGES and is_native(eqn):
            STAGES[family](self, eqn)
        elif family in REDUCTIONS:
            reduce_nothing(self, eqn)
        else:
            inputs = tuple(self.buffer(x) for x in eqn.inputs)
            self.note(eqn)
            outputs = tuple(self.memory(v) for v in eqn.outputs)
            hosts = self.whole.hosts
            hosts.append(Host(eqn.op, inputs, outputs, len(hosts), eqn.where))
            self.statements.append(hosts[-1])


def lower(graph: Graph, donated: Sequence[int] = ()) -> Program:
    """The loops of an optimized graph. Results are written over donated inputs of their types where possible."""
    return lowered(graph, donated)[0]


def lowered(graph: Graph, donated: Sequence[int] = ()) -> tuple[Program, Lowering]:
    """The loops of an optimized graph, and how they came about."""
    names = name_vars(graph)
    inputs = tuple(Buffer(names[v], v.type, "input") for v in graph.inputs)
    outputs = [Buffer(f"out{i}", x.type, "output") for i, x in enumerate(graph.outputs)]
    whole = Whole()
    statements: list[Statement] = []
    lowering = Lowering(graph, whole, inputs, outputs, statements)
    lowering.run()
    free = list(range(len(outputs)))
    for donor in (inputs[i] for i in donated):
        for j in free:
            if donor.type == outputs[j].type and donor.type.ndim and may_overwrite(statements, donor, outputs[j]):
                statements = replaced(statements, {outputs[j]: donor})
                outputs[j] = donor
                free.remove(j)
                break
    used = {b.memory for statement in statements for b in buffers_in(statement)}
    program = Program(
        graph.name,
        inputs,
        tuple(outputs),
        tuple(buffer for _, buffer in whole.constants.values()),
        tuple(b for b in whole.temps if b in used),
        tuple(statements),
        tuple(whole.failures),
        tuple(whole.hosts),
        tuple(whole.tapes),
    )
    return program, lowering
