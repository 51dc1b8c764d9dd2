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
from fungrad.nans import check_program
from fungrad.regions.one_graph import OneGraph

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
class Call(OneGraph):
    """Run a graph as compiled code. Several results, one for each output of the graph.

    Attributes:
        threads: how many a call uses at the most, and those of its derivatives and batches; see `compiled`.
    """

    threads: int | None = None

    def evaluate(self, *arrays: Any) -> Any:
        outs = tuple(compiled(self.graph, threads=self.threads)(arrays))
        check_program(self.graph, arrays, outs)
        return outs
