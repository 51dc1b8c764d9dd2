"""`Switch`: one of several graphs, chosen by a number.

Operands are the number (int64, below the number of branches) and what every branch takes; all branches return the same
types. Its VJP is the switch of the branches' VJPs, each of which computes its branch again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fungrad.errors import ShapeError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
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
from fungrad.regions.region import Dual, Region, numbered
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class Switch(Region):
    """A choice between graphs; see the module."""

    branches: tuple[Graph, ...]

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
def _adjoint(op: Switch, given: Flags, wanted: Flags) -> tuple[Switch, Flags]:
    """The switch of the branches' VJPs, and which of the operands have a cotangent."""
    derived = _agreeing(op.branches, lambda graph, forced: vjp_graph(graph, given, wanted, (), forced))
    return Switch(tuple(d.graph for d in derived)), derived[0].present
