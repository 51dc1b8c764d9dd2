"""`Switch`: one of several graphs, chosen by a number.

Operands are the number (int64, below the number of branches) and what every branch takes; all branches return the same
types. Its VJP is the switch of the branches' VJPs, each of which computes its branch again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Const, Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import INT, ArrayType
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full
from fungrad.regions.derived import (
    Derived,
    Flags,
    chosen,
    jvp_graph,
    needed,
    output_types,
    restricted_graph,
    spread_out,
    vjp_graph,
)
from fungrad.regions.examples import examples_of, only_chosen, where_chosen
from fungrad.regions.region import Dual, Region, numbered
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class Switch(Region):
    """A choice between graphs; see the module."""

    branches: tuple[Graph, ...]

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return self.branches

    def infer(self, *types: ArrayType) -> Any:
        expected = [v.type for v in self.branches[0].inputs]
        if list(types[1:]) != expected:
            raise ShapeError(f"switch: operands {types[1:]}, the branches take {expected}")
        return tuple(output_types(self.branches[0]))

    def evaluate(self, *arrays: Any) -> Any:
        index, *operands = arrays
        return tuple(evaluate(self.branches[int(index)], *operands))

    def dual(self, given: Flags) -> Dual:
        derived = _agreeing(self.branches, lambda graph, forced: jvp_graph(graph, given[1:], forced))
        n, n_out = len(given), len(self.branches[0].outputs)
        tangents = chosen(numbered(given, n), given)
        op = Switch(tuple(d.graph for d in derived))
        return Dual(op, [*range(n), *tangents], range(n_out), numbered(derived[0].present, n_out))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        op, present = _adjoint(self, given, tuple(wanted[1:]))
        found = bind(op, *inputs, *chosen(ct, given)) if any(present) else ()
        return [None, *spread_out(found, present)]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        index, *operands = inputs
        flags = tuple(batched[1:])
        branches = tuple(examples_of(graph, size, flags) for graph in self.branches)
        if not batched[0]:
            return bind(Switch(branches), index, *operands)
        outs: Any = None  # every branch that some example takes, for all examples, on operands of those that take it
        for number, branch in enumerate(branches):
            chosen = index == number
            safe = [only_chosen(chosen, x) if has else x for x, has in zip(operands, flags, strict=True)]
            skipped = _zeros(branch)
            found = bind(Switch((skipped, branch)), convert(np.any(chosen), INT), *safe)
            outs = found if outs is None else [where_chosen(chosen, x, y) for x, y in zip(found, outs, strict=True)]
        return tuple(outs)

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        operands = tuple(map(any, zip(*(needed(graph, used) for graph in self.branches), strict=True)))
        if all(operands) and all(used):
            return None
        branches = tuple(restricted_graph(graph, operands, used) for graph in self.branches)
        return Switch(branches), (True, *operands), used


def _agreeing(branches: Sequence[Graph], derive: Any) -> list[Derived]:
    """What every branch becomes, with zeros where only others have a result."""
    found = [derive(graph, ()) for graph in branches]
    union = tuple(map(any, zip(*(d.present for d in found), strict=True)))
    return [d if d.present == union else derive(graph, union) for graph, d in zip(branches, found, strict=True)]


@lru_cache(maxsize=1024)
def _zeros(graph: Graph) -> Graph:
    """A graph of the same signature whose outputs are zero."""
    outputs = tuple(Const(np.asarray(full(t.shape, 0, t.dtype))) for t in output_types(graph))
    return replace(graph, equations=(), outputs=outputs, name="skipped")


@lru_cache(maxsize=1024)
def _adjoint(op: Switch, given: Flags, wanted: Flags) -> tuple[Switch, Flags]:
    """The switch of the branches' VJPs, and which of the operands have a cotangent."""
    derived = _agreeing(op.branches, lambda graph, forced: vjp_graph(graph, given, wanted, (), forced))
    return Switch(tuple(d.graph for d in derived)), derived[0].present
