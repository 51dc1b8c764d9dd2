"""`Call`: a compiled graph as one primitive, which is how `grad(jit(f))` and `vmap(jit(f))` transform compiled
code.

Its VJP is the compiled VJP of the graph. The graph runs again inside it, since only there its intermediate values can
be fused away or kept; so a gradient through `jit` costs one compiled forward pass more than `jit` of the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from fungrad.ir.graph import Graph
from fungrad.jit.runtime import Compiled
from fungrad.regions.one_graph import OneGraph

_COMPILED: WeakKeyDictionary[Graph, Compiled] = WeakKeyDictionary()


def compiled(graph: Graph) -> Compiled:
    """The machine code of a graph, made once and kept as long as the graph."""
    found = _COMPILED.get(graph)
    if found is None:
        found = _COMPILED.setdefault(graph, Compiled(graph))
    return found


@dataclass(frozen=True, slots=True)
class Call(OneGraph):
    """Run a graph as compiled code. Several results, one for each output of the graph."""

    def evaluate(self, *arrays: Any) -> Any:
        return tuple(compiled(self.graph)(arrays))
