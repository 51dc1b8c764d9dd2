"""`OneGraph`: a region that is one graph, of which derivatives and batches are regions of the same class again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.regions.derived import (
    Flags,
    chosen,
    jvp_graph,
    needed,
    output_types,
    restricted_graph,
    spread_out,
    vjp_graph,
)
from fungrad.regions.examples import examples_of
from fungrad.regions.region import Dual, Region, numbered
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class OneGraph(Region):
    """A region around a graph; subclasses say how it is run. Its VJP runs the graph again."""

    graph: Graph

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return (self.graph,)

    def infer(self, *types: ArrayType) -> Any:
        return tuple(output_types(self.graph))

    def dual(self, given: Flags) -> Dual:
        derived = jvp_graph(self.graph, given)
        n_in, n_out = len(given), len(self.graph.outputs)
        tangents = chosen(numbered(given, n_in), given)
        op = replace(self, graph=derived.graph)
        return Dual(op, [*range(n_in), *tangents], range(n_out), numbered(derived.present, n_out))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        derived = vjp_graph(self.graph, given, tuple(wanted))
        found = bind(replace(self, graph=derived.graph), *inputs, *chosen(ct, given)) if any(derived.present) else ()
        return spread_out(found, derived.present)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        return bind(replace(self, graph=examples_of(self.graph, size, tuple(batched))), *inputs)

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        operands = needed(self.graph, used)
        if all(operands) and all(used):
            return None
        return replace(self, graph=restricted_graph(self.graph, operands, used)), operands, used
