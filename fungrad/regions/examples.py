"""Batching of graphs and functions whose examples take different ways.

Where some examples have finished or chosen another branch, the others' computation must not be run on their operands:
it may leave the domain, and a derivative of zero times infinity is nan. They take the operands of an example that is
concerned instead, and their result is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fungrad.ir.graph import Graph, Operand
from fungrad.ir.types import array_type
from fungrad.passes import optimize
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.primitives.index import gather
from fungrad.regions.derived import Flags
from fungrad.trace import bind, trace
from fungrad.transforms.batch import batched_graph, evaluate_batched, repeat


def moved(x: Any, source: int, target: int) -> Any:
    """`x` with an axis moved."""
    return np.moveaxis(x, source, target)


def all_batched(values: Sequence[Any], batched: Sequence[bool], wanted: Sequence[bool], size: int) -> list[Any]:
    """The values, repeated for each example where that is wanted and they are not batched."""
    return [repeat(x, size) if flag and not has else x for x, has, flag in zip(values, batched, wanted, strict=True)]


def dependent(graph: Graph, inputs: Sequence[bool]) -> Flags:
    """Which outputs of a graph depend on the flagged inputs."""
    found: set[Operand] = {var for var, flag in zip(graph.inputs, inputs, strict=True) if flag}
    for eqn in graph.equations:
        if any(x in found for x in eqn.inputs):
            found.update(eqn.outputs)
    return tuple(x in found for x in graph.outputs)


@lru_cache(maxsize=1024)
def examples_of(graph: Graph, size: int, batched: Flags, forced: Flags = ()) -> Graph:
    """A graph for several examples, optimized; all outputs are batched unless `forced` says which have to be."""
    return optimize(batched_graph(graph, size, batched, forced or (True,) * len(graph.outputs)))


def batched_function(f: Callable[..., list[Any]], size: int, batched: Sequence[bool]) -> Callable[..., list[Any]]:
    """A flat function for several examples; all results are batched."""

    def examples(*values: Any) -> list[Any]:
        types = [array_type(x.shape[1:] if has else x.shape, x.dtype) for x, has in zip(values, batched, strict=True)]
        graph, captures = trace(f, types, purpose="vmap", whole=False)
        outs, flags = evaluate_batched(graph, size, [*captures, *values], [*(False for _ in captures), *batched])
        return all_batched(outs, flags, [True] * len(outs), size)

    return examples


def where_chosen(chosen: Any, x: Any, y: Any) -> Any:
    """`x` of the chosen examples, `y` of the others; `chosen` has one boolean for each example."""
    return np.where(chosen.reshape((*chosen.shape, *(1,) * (x.ndim - 1))), x, y)


def only_chosen(chosen: Any, x: Any) -> Any:
    """`x` with the operand of one chosen example in place of those of the others. One is chosen, if there is any."""
    if not chosen.size:
        return x
    one = gather(x, [np.argmax(chosen)])
    if x.dtype.kind == "f":
        one = bind(ELEMENTWISE["stop_gradient"], one)
    return where_chosen(chosen, x, one)
