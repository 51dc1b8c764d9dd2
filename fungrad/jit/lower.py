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

Equations are lowered in order. A *lazy* value is not stored but computed where it is read, inside the reader's loops;
an equation is lazy if it is pointwise and read once, or only moves stored elements. Every other equation stores its
result. A lazy value whose reader needs memory (a matrix product, say) is stored just before it. Which loops a
primitive becomes is one table keyed by family; a primitive without an entry is a host call.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.printing import name_vars, print_primitive
from fungrad.ir.types import ArrayType
from fungrad.jit.loops import (
    Buffer,
    Expr,
    Guard,
    Host,
    Index,
    Literal,
    Load,
    Local,
    Note,
    Program,
    Statement,
    Store,
    nest,
)
from fungrad.jit.lower_table import MOVEMENTS, POINTWISE, STAGES, is_native
from fungrad.jit.scope import Indices, Scope
from fungrad.primitives.shape import Broadcast

MAX_DEPTH = 24  # of lazy values inside each other: bounds recursion and the length of a loop body


class Whole:
    """What the graphs of one program share."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.constants: dict[int, Buffer] = {}
        self.temps: list[Buffer] = []
        self.tapes: list[Buffer] = []
        self.failures: list[str] = []
        self.hosts: list[Host] = []

    def fresh(self, stem: str) -> str:
        """A name nothing else in the program has."""
        names = (f"{stem}__{i}" for i in count())
        name = next(name for name in names if name not in self.taken)
        self.taken.add(name)
        return name


class Lowering:
    """The state of lowering one graph.

    Args:
        graph: what to lower.
        whole: the program it is part of.
        inputs: where its inputs are.
        outputs: where its outputs go.
        statements: what its loops are appended to.
    """

    def __init__(
        self,
        graph: Graph,
        whole: Whole,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        statements: list[Statement],
    ) -> None:
        self.graph = graph
        self.whole = whole
        self.inputs = inputs
        self.outputs = outputs
        self.statements = statements
        self.names = name_vars(graph, whole.taken)
        self.stored: dict[Var, Buffer] = {}
        self.lazy: dict[Var, Equation] = {}
        self.depth: dict[Var, int] = {}
        self.uses = Counter(x for eqn in graph.equations for x in eqn.inputs if isinstance(x, Var))
        self.readers: dict[Var, Equation] = {
            x: eqn for eqn in graph.equations for x in eqn.inputs if isinstance(x, Var)
        }
        self.stored.update(zip(graph.inputs, inputs, strict=True))
        self.destination: dict[Var, Buffer] = {}
        for x, buffer in zip(graph.outputs, outputs, strict=True):
            if isinstance(x, Var) and x not in self.stored:
                self.destination.setdefault(x, buffer)

    # -- reading ----------------------------------------------------------------------------------------------------

    def read(self, x: Operand, index: Indices, scope: Scope) -> Expr:
        """The element of an operand at an index, computed in `scope` if it is lazy."""
        if isinstance(x, Const):
            scalar = x.scalar
            return Load(self.constant(x), index) if scalar is None else Literal(scalar)
        buffer = self.stored.get(x)
        if buffer is not None:
            return Load(buffer, index)
        found = scope.bound.get((x, index))
        if found is None:
            eqn = self.lazy[x]
            value = POINTWISE[type(eqn.op)](self, eqn, index, scope)
            if isinstance(value, Load | Literal | Local | Index):
                return value
            found = scope.bound[x, index] = scope.let(self.names[x], value)
        return found

    def buffer(self, x: Operand) -> Buffer:
        """An operand in memory, stored now if it was lazy."""
        if isinstance(x, Const):
            return self.constant(x)
        if x not in self.stored:
            self.store(self.lazy[x])
        return self.stored[x]

    def constant(self, x: Const) -> Buffer:
        """The buffer of an array constant."""
        constants = self.whole.constants
        found = constants.get(id(x.value))
        if found is None:
            found = Buffer(f"const{len(constants)}", x.type, "const", None, np.array(x.value, order="C"))
            constants[id(x.value)] = found
        return found

    # -- storing ----------------------------------------------------------------------------------------------------

    def temp(self, name: str, type: ArrayType) -> Buffer:
        """A new temporary buffer."""
        buffer = Buffer(name, type, "temp")
        self.whole.temps.append(buffer)
        return buffer

    def target(self, eqn: Equation) -> Buffer:
        """The memory the result of an equation goes to, after a note that says where the equation comes from."""
        self.note(eqn)
        return self.memory(eqn.output)

    def memory(self, var: Var) -> Buffer:
        """The memory of a value: an output of the program, or a temporary."""
        buffer = self.destination.get(var)
        if buffer is None:
            buffer = self.temp(self.names[var], var.type)
        self.stored[var] = buffer
        return buffer

    def store(self, eqn: Equation) -> None:
        """Compute the result of a pointwise equation into memory."""
        self.fill(self.target(eqn), lambda index, scope: POINTWISE[type(eqn.op)](self, eqn, index, scope))

    def fill(self, target: Buffer, element: Callable[[Indices, Scope], Expr]) -> None:
        """Store `element(index)` at every index of `target`."""
        index, body = nest(target.type.shape, self.statements)
        body.append(Store(target, index, element(index, Scope(body))))

    def copy(self, x: Operand, target: Buffer) -> None:
        """Store an operand as a result of the program."""
        self.fill(target, lambda index, scope: self.read(x, index, scope))

    def note(self, eqn: Equation) -> None:
        """Say in the program where an equation comes from."""
        place = f"{os.path.basename(eqn.where.file)}:{eqn.where.line}"
        self.statements.append(Note(f"{place}: {print_primitive(eqn.op)}"))

    def guard(self, ok: Expr, failure: str) -> Guard:
        """A check that makes the program fail with that message."""
        failures = self.whole.failures
        if failure not in failures:
            failures.append(failure)
        return Guard(ok, failures.index(failure))

    # -- equations ----------------------------------------------------------------------------------------------------

    def lower(self, eqn: Equation) -> None:
        """Lower one equation, or put it off if its reader can compute it."""
        family = type(eqn.op)
        if family in POINTWISE and is_native(eqn):
            var = eqn.output
            lazy = [x for x in eqn.inputs if isinstance(x, Var) and x in self.lazy and x not in self.stored]
            depth = 1 + max((self.depth[x] for x in lazy), default=0)
            moves_memory = family in MOVEMENTS and not lazy
            if var not in self.destination and depth <= MAX_DEPTH and (moves_memory or self._read_once(var)):
                self.lazy[var] = eqn
                self.depth[var] = depth
            else:
                self.store(eqn)
        elif family in STAGES and is_native(eqn):
            STAGES[family](self, eqn)
        else:
            inputs = tuple(self.buffer(x) for x in eqn.inputs)
            self.note(eqn)
            outputs = tuple(self.memory(v) for v in eqn.outputs)
            host = Host(eqn.op, inputs, outputs, len(self.whole.hosts))
            self.whole.hosts.append(host)
            self.statements.append(host)

    def _read_once(self, var: Var) -> bool:
        """Whether computing `var` where it is read computes each element once."""
        if self.uses[var] != 1:
            return False
        reader = self.readers[var]
        return not isinstance(reader.op, Broadcast) or reader.output.type.size <= var.type.size

    def run(self) -> None:
        """Lower every equation, and bring the outputs to their places."""
        for eqn in self.graph.equations:
            self.lower(eqn)
        for x, target in zip(self.graph.outputs, self.outputs, strict=True):
            if not (isinstance(x, Var) and self.stored.get(x) is target):
                self.copy(x, target)


def lower(graph: Graph) -> Program:
    """The loops of an optimized graph."""
    whole = Whole()
    names = name_vars(graph, set(whole.taken))
    inputs = tuple(Buffer(names[v], v.type, "input") for v in graph.inputs)
    outputs = tuple(Buffer(f"out{i}", x.type, "output") for i, x in enumerate(graph.outputs))
    statements: list[Statement] = []
    Lowering(graph, whole, inputs, outputs, statements).run()
    return Program(
        graph.name,
        inputs,
        outputs,
        tuple(whole.constants.values()),
        tuple(whole.temps),
        tuple(statements),
        tuple(whole.failures),
        tuple(whole.hosts),
        tuple(whole.tapes),
    )
