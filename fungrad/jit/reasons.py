"""A lowered graph as people read it: its loops and calls, why each begins, and what is computed again.

    for 8:                                  # no loop over 8 before
      for 100: a = reduce_max               # no loop over 100 before
      for 100: b = exp; c = sum             # an operand is complete only after the loops before
      for 100: y = div                      # an operand is complete only after the loops before

The reasons are those of `fuse`, and here those of equations that share loops with no other.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from fungrad.ir.graph import Equation, Var
from fungrad.ir.printing import print_primitive
from fungrad.ir.types import ArrayType
from fungrad.jit.checked_index import Positions
from fungrad.jit.fuse import Nest
from fungrad.jit.inline import CHEAP
from fungrad.jit.lower import Lowering
from fungrad.jit.lower_nest import equations_in
from fungrad.jit.lower_table import MOVEMENTS, REDUCTIONS, STAGES, is_pointwise, is_reduction, obstacle
from fungrad.jit.product_sum import ProductSum
from fungrad.jit.small_matrices import is_small
from fungrad.primitives.contract import Dot
from fungrad.primitives.index import Scatter, ScatterAdd
from fungrad.primitives.reduce import CumSum
from fungrad.regions.adjoint import Adjoint
from fungrad.regions.inline import Inline
from fungrad.regions.region import Region
from fungrad.regions.scan import Scan
from fungrad.regions.switch import Switch
from fungrad.regions.while_loop import While

WIDTH = 64  # of the equations of a part, before they go on in the next line


@dataclass(frozen=True)
class Part:
    """Something that runs on its own: a loop, a call, one of the graphs inside a loop or a branch.

    Attributes:
        what: the loop, and the equations that are computed in it and in no loop inside.
        reason: why it is not part of what comes before it.
        equations: those in it, where its loops come from an equation alone.
        items: the parts inside.
        number: of its stage, for what is not inside another stage.
    """

    what: str
    reason: str
    equations: tuple[Equation, ...] = ()
    items: tuple[Part, ...] = ()
    number: int = 0

    def rows(self, depth: int = 0) -> Iterator[tuple[str, str]]:
        """The lines of text and, to the right of it, reasons."""
        number = f"{self.number}." if self.number else ""
        first, *rest = _wrapped(self.what, WIDTH - 2 * depth)
        yield f"{number:<4}{'  ' * depth}{first}", self.reason
        yield from ((f"{'  ' * depth}        {line}", "") for line in rest)
        for item in self.items:
            yield from item.rows(depth + (not item.number))

    def walk(self) -> Iterator[Part]:
        """This part and all inside it."""
        yield self
        for item in self.items:
            yield from item.walk()


@dataclass(frozen=True)
class Again:
    """A value that is computed where it is read, since that is cheaper than a store and loads.

    Attributes:
        times: how often an element is computed, on average.
        cost: of an element, in additions and loads. Up to `CHEAP` of them are repeated.
    """

    name: str
    type: ArrayType
    times: float
    cost: int

    def __str__(self) -> str:
        return f"{self.name}: {self.type}, {self.times:.3g} times; it costs {self.cost}, and up to {CHEAP} are repeated"


class Parts(tuple[Part, ...]):
    """Parts in order. Prints as a line for each, with the reasons beside them."""

    def __str__(self) -> str:
        rows = [row for part in self for row in part.rows()]
        width = max((len(text) for text, reason in rows if reason), default=0)
        return "\n".join(f"{text:<{width}}  # {reason}" if reason else text for text, reason in rows)


def _wrapped(equations: str, width: int) -> list[str]:
    """Lines of equations, cut between them."""
    whole = equations.replace(" ", "\0").replace(";\0", "; ").replace(":\0", ": ")
    return [line.replace("\0", " ") for line in textwrap.wrap(whole, width, break_long_words=False)]


def why_host(eqn: Equation) -> str:
    """Why NumPy computes an equation; empty if loops or generated products do."""
    if is_small(eqn.op, eqn.inputs):
        return ""
    if type(eqn.op) in STAGES or type(eqn.op) in REDUCTIONS or is_pointwise(eqn):
        return obstacle(eqn) if type(eqn.op) not in REDUCTIONS else ""
    return obstacle(eqn) or f"there are no loops for {eqn.op.name}"


def why_alone(eqn: Equation) -> str:
    """Why an equation shares loops with no other."""
    host = why_host(eqn)
    if host:
        return f"a call to NumPy: {host}"
    if is_small(eqn.op, eqn.inputs):
        return "a small matrix has loops of its own; what they cannot do is left to NumPy"
    match eqn.op:
        case Dot() | ProductSum():
            return "a matrix product takes and gives whole matrices"
        case Inline():
            return "the equations inside it follow"
        case Region() | Adjoint():
            return "what it repeats or chooses has loops of its own"
        case Positions():
            return "indices are checked before anything reads at them"
        case Scatter() | ScatterAdd():
            return "what it writes where is known only at run time"
        case CumSum():
            return "each element waits for the one before"
    return "it writes its result in an order of its own"


def parts(lowering: Lowering) -> Parts:
    """The stages of a graph."""
    return Parts(_Reader(lowering).stages(1))


def recomputed(lowering: Lowering) -> list[Again]:
    """The values that are computed more than once, of this graph and of those inside."""
    found = [
        Again(lowering.names[x], x.type, count / x.type.size, lowering.inlining.cost[x])
        for x, count in lowering.evaluations.items()
        if count > x.type.size
    ]
    return [*found, *(again for inner in lowering.inner for again in recomputed(inner))]


class _Reader:
    """Reads one graph; `inner` are the graphs inside its equations that were not read yet."""

    def __init__(self, lowering: Lowering) -> None:
        self.lowering = lowering
        self.inner = iter(lowering.inner)

    def stages(self, first: int) -> tuple[Part, ...]:
        """All stages, numbered from `first`; 0 for those of a graph inside a stage."""
        found: list[Part] = []
        number = first
        for item in self.lowering.fusion.program.items:
            found.append(self.part(item, set(), number))
            number += bool(number) * sum(bool(part.number) for part in found[-1].walk())
        return tuple(found)

    def part(self, item: Nest | Equation, known: set[Var], number: int = 0) -> Part:
        """A loop or an equation with loops of its own; `known` are the values computed around it."""
        if isinstance(item, Nest):
            return self.nest(item, set(known), number)
        reason = "" if is_pointwise(item) or is_reduction(item) else why_alone(item)
        what = "; ".join([*self.inlined(item, known), self.text(item)])
        return Part(what, reason, (item,), self.regions(item, number), number)

    def nest(self, nest: Nest, known: set[Var], number: int) -> Part:
        head = f"for {nest.extent}:"
        if any(isinstance(item, Nest) for item in nest.items):
            items = tuple([self.part(item, known) for item in nest.items])
            return Part(head, nest.reason, (), items, number)
        equations = tuple(equations_in(nest))
        texts = [text for eqn in equations for text in (*self.inlined(eqn, known), self.text(eqn))]
        return Part(f"{head} {'; '.join(texts)}", nest.reason, equations, (), number)

    def text(self, eqn: Equation) -> str:
        names = ", ".join(self.lowering.names[x] for x in eqn.outputs)
        return f"{names} = {eqn.op.name if isinstance(eqn.op, Region | Adjoint) else print_primitive(eqn.op)}"

    def inlined(self, eqn: Equation, known: set[Var]) -> list[str]:
        """What is computed on the way to an equation, in order."""
        pending, found = list(eqn.inputs), set()
        while pending:
            x = pending.pop()
            inner = self.lowering.lazy.get(x) if isinstance(x, Var) else None
            if inner is not None and inner.output not in known:
                known.add(inner.output)
                found.add(inner)
                pending += inner.inputs
        ordered = [inner for inner in self.lowering.lazy.values() if inner in found]
        return [self.text(inner) for inner in ordered if type(inner.op) not in MOVEMENTS]

    def regions(self, eqn: Equation, number: int) -> tuple[Part, ...]:
        """The graphs inside an equation."""
        if isinstance(eqn.op, Inline):
            return _Reader(next(self.inner)).stages(number and number + 1)
        return tuple([Part(f"{label}:", "", (), _Reader(next(self.inner)).stages(0)) for label in labels(eqn)])


def labels(eqn: Equation) -> list[str]:
    """What each graph inside a loop or a branch is, in the order in which they are lowered."""
    match eqn.op:
        case Scan(length=length):
            return [f"{length} steps"]
        case While():
            return ["while", "step"]
        case Switch(branches=branches):
            return [f"case {i}" for i in range(len(branches))]
        case Adjoint():
            return ["while", "step, kept", "step back"]
    return []
