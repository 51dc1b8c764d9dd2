"""`Call`: a compiled graph as one primitive, which is how `grad(jit(f))` and `vmap(jit(f))` transform compiled
code.

Its VJP is the compiled VJP of the graph. The graph runs again inside it, since only there its intermediate values can
be fused away or kept; so a gradient through `jit` costs one compiled forward pass more than `jit` of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.jit.runtime import Compiled
from fungrad.nans import check_program
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
from fungrad.regions.region import Dual, Region, numbered
from fungrad.trace import bind
from fungrad.transforms.batch import batched_graph

_COMPILED: WeakKeyDictionary[Graph, dict[Any, Compiled]] = WeakKeyDictionary()


def compiled(graph: Graph, donated: tuple[int, ...] = (), threads: int | None = None) -> Compiled:
    """The machine code of a graph, made once and kept as long as the graph.

    Args:
        graph: what is compiled.
        donated: the inputs that results may be written over.
        threads: how many it uses at the most; None stands for `FUNGRAD_NUM_THREADS` or all that the process may run on.
    """
    kinds = _COMPILED.setdefault(graph, {})
    found = kinds.get((donated, threads))
    if found is None:
        found = kinds.setdefault((donated, threads), Compiled(graph, donated, threads))
    return found


@dataclass(frozen=True, slots=True)
class Call(Region):
    """Run a graph as compiled code. Several results, one for each output of the graph."""

    graph: Graph

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return (self.graph,)

    def infer(self, *types: ArrayType) -> Any:
        return tuple(output_types(self.graph))

    def evaluate(self, *arrays: Any) -> Any:
        outs = tuple(compiled(self.graph)(arrays))
        check_program(self.graph, arrays, outs)
        return outs

    def dual(self, given: Flags) -> Dual:
        derived = jvp_graph(self.graph, given)
        n_in, n_out = len(given), len(self.graph.outputs)
        tangents = chosen(numbered(given, n_in), given)
        return Dual(Call(derived.graph), [*range(n_in), *tangents], range(n_out), numbered(derived.present, n_out))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        derived = vjp_graph(self.graph, given, tuple(wanted))
        found = bind(Call(derived.graph), *inputs, *chosen(ct, given)) if any(derived.present) else ()
        return spread_out(found, derived.present)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        every = (True,) * len(self.graph.outputs)
        return bind(Call(batched_graph(self.graph, size, tuple(batched), every)), *inputs)

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        operands = needed(self.graph, used)
        if all(operands) and all(used):
            return None
        return Call(restricted_graph(self.graph, operands, used)), operands, used
