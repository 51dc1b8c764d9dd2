"""`Each`: a graph applied to every row of its operands, one row independently of the others.

    for row in range(length):
        y[row] = graph(x[row])

What `vmap` does to a graph, as one primitive. NumPy evaluates it for all rows at once; compiled, it is a loop over
rows. So rows with loops of their own, such as draws by rejection, each run as long as they need, while batching them
would run all as long as the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fungrad.errors import ShapeError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.passes import optimize
from fungrad.regions.derived import (
    Flags,
    chosen,
    input_types,
    jvp_graph,
    needed,
    output_types,
    restricted_graph,
    spread_out,
    vjp_graph,
)
from fungrad.regions.examples import all_batched, examples_of
from fungrad.regions.inline import Flat
from fungrad.regions.region import Dual, Region, numbered
from fungrad.regions.scan import Scan
from fungrad.trace import bind, deepest, trace

BLOCK = 1 << 13  # rows that NumPy evaluates at a time: they stay in the cache, and wait only for the last of their own


def each(f: Flat, *arrays: Any) -> list[Any]:
    """`f` of the rows of arrays, its results stacked.

    `f` must use no traced values but its arguments. On arrays it is traced once for their types, so it should be a
    function that lives as long as its module.
    """
    types = tuple(array_type(x.shape[1:], x.dtype) for x in arrays)
    graph = (_graph_of_row if deepest(arrays) is None else _traced)(f, types)  # a new one knows the user's line
    return list(bind(Each(graph, arrays[0].shape[0]), *arrays))


def _traced(f: Flat, types: tuple[ArrayType, ...]) -> Graph:
    name = getattr(f, "__name__", "each")
    found, captures = trace(f, types, purpose=name, name=name)
    assert not captures, f"{name} uses traced values that are not its arguments"
    return optimize(found)


_graph_of_row = lru_cache(maxsize=256)(_traced)


@dataclass(frozen=True, slots=True)
class Each(Region):
    """A graph of one row, for `length` rows; see the module."""

    graph: Graph
    length: int

    @property
    def as_scan(self) -> Scan:
        """The loop over rows that it compiles to."""
        return Scan(self.graph, self.length, 0, 0)

    def infer(self, *types: ArrayType) -> Any:
        expected = [array_type((self.length, *t.shape), t.dtype) for t in input_types(self.graph)]
        if list(types) != expected:
            raise ShapeError(f"each: operands {list(types)}, {self.graph.name} takes {expected} for {self.length} rows")
        return tuple(array_type((self.length, *t.shape), t.dtype) for t in output_types(self.graph))

    def evaluate(self, *arrays: Any) -> Any:
        outs = [np.empty((self.length, *t.shape), t.dtype) for t in output_types(self.graph)]
        for begin in range(0, self.length, BLOCK):
            size = min(BLOCK, self.length - begin)
            rows = slice(begin, begin + size)
            block = examples_of(self.graph, size, (True,) * len(arrays))
            for out, found in zip(outs, evaluate(block, *(x[rows] for x in arrays)), strict=True):
                out[rows] = found
        return tuple(outs)

    def dual(self, given: Flags) -> Dual:
        derived = jvp_graph(self.graph, given)
        n_in, n_out = len(given), len(self.graph.outputs)
        tangents = chosen(numbered(given, n_in), given)
        op = Each(derived.graph, self.length)
        return Dual(op, [*range(n_in), *tangents], range(n_out), numbered(derived.present, n_out))

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        derived = vjp_graph(self.graph, given, tuple(wanted))
        op = Each(derived.graph, self.length)
        found = bind(op, *inputs, *chosen(ct, given)) if any(derived.present) else ()
        return spread_out(found, derived.present)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        """The rows of all examples are rows."""
        flat = [
            x.reshape((size * self.length, *x.shape[2:]))
            for x in all_batched(inputs, batched, [True] * len(inputs), size)
        ]
        found = bind(Each(self.graph, size * self.length), *flat)
        return tuple(x.reshape((size, self.length, *x.shape[1:])) for x in found)

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        operands = needed(self.graph, used)
        if all(operands) and all(used):
            return None
        return Each(restricted_graph(self.graph, operands, used), self.length), operands, used
