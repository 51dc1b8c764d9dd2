"""`Call`: a compiled graph as one primitive, which is how `grad(jit(f))` and `vmap(jit(f))` transform compiled code.

Its VJP is the compiled VJP of the graph. The graph runs again inside it, since only there its intermediate values can
be fused away or kept; so a gradient through `jit` costs one compiled forward pass more than `jit` of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.jit.runtime import Compiled
from fungrad.trace import bind, trace
from fungrad.transforms.batch import batched_graph
from fungrad.transforms.vjp import vjp

_COMPILED: WeakKeyDictionary[Graph, Compiled] = WeakKeyDictionary()


def compiled(graph: Graph) -> Compiled:
    """The machine code of a graph, made once and kept as long as the graph."""
    found = _COMPILED.get(graph)
    if found is None:
        found = _COMPILED.setdefault(graph, Compiled(graph))
    return found


@dataclass(frozen=True, slots=True)
class Call(Primitive):
    """Run a graph as compiled code. Several results, one for each output of the graph."""

    graph: Graph

    multiple: ClassVar[bool] = True

    def infer(self, *types: ArrayType) -> Any:
        return tuple(x.type for x in self.graph.outputs)

    def evaluate(self, *arrays: Any) -> Any:
        return tuple(compiled(self.graph)(arrays))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        adjoint = adjoint_graph(self.graph, given, tuple(wanted))
        found = iter(bind(Call(adjoint), *inputs, *(c for c in ct if c is not None)))
        return [next(found) if asked else None for asked in wanted]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        every = (True,) * len(self.graph.outputs)
        return bind(Call(batched_graph(self.graph, size, tuple(batched), every)), *inputs)


@lru_cache(maxsize=1024)
def adjoint_graph(graph: Graph, given: tuple[bool, ...], wanted: tuple[bool, ...]) -> Graph:
    """The graph from inputs and given output cotangents to the wanted input cotangents."""
    types = [v.type for v in graph.inputs]
    ct_types = [x.type for x, has in zip(graph.outputs, given, strict=True) if has]

    def adjoint(*arguments: Any) -> list[Any]:
        inputs, cts = list(arguments[: len(types)]), iter(arguments[len(types) :])

        def f(*chosen: Any) -> list[Any]:
            mixed = iter(chosen)
            return evaluate(graph, *(next(mixed) if asked else x for x, asked in zip(inputs, wanted, strict=True)))

        _, pullback = vjp(f, [x for x, asked in zip(inputs, wanted, strict=True) if asked], "grad of jit")
        return pullback([next(cts) if has else None for has in given])

    names = [*graph.input_names, *(f"ct{i}" for i in range(len(ct_types)))]
    found, _ = trace(adjoint, [*types, *ct_types], purpose="grad of jit", name=f"{graph.name}_vjp", names=names)
    return found
