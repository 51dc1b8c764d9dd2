"""Batching: the program for one example, walked with all examples at once.

    { x:f64[3] ->                           { x:f64[8,3] ->
      a:f64[3] = sin x         becomes        a:f64[8,3] = sin x
      b:f64[] = sum[(0,)] a                   b:f64[8] = sum[(1,)] a
      return b }                              return b }

The walk applies each primitive's `batch` rule to values one level out: outside any trace it computes, inside one it
writes the batched graph. What does not depend on an example is computed once. In a batch the examples lie along the
leading axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import array_type
from fungrad.trace import bind, trace


class _Batch(NamedTuple):
    """A value for each example, along the leading axis."""

    values: Any


def evaluate_batched(
    graph: Graph, size: int, arguments: Sequence[Any], batched: Sequence[bool]
) -> tuple[list[Any], list[bool]]:
    """The outputs of `graph` for `size` examples, and which of them are batched.

    Args:
        graph: the program for one example.
        size: how many examples there are.
        arguments: one for each input of the graph; where `batched`, with a leading axis of that size.
        batched: which arguments differ between the examples.
    """

    def apply(op: Primitive, *inputs: Any) -> Any:
        flags = [type(x) is _Batch for x in inputs]
        if True not in flags:
            return bind(op, *inputs)
        out = op.batch(size, [x.values if has else x for x, has in zip(inputs, flags, strict=True)], flags)
        return tuple(map(_Batch, out)) if op.multiple else _Batch(out)

    given = [_Batch(x) if has else x for x, has in zip(arguments, batched, strict=True)]
    found = evaluate(graph, *given, apply=apply)
    return [x.values if type(x) is _Batch else x for x in found], [type(x) is _Batch for x in found]


@lru_cache(maxsize=1024)
def batched_graph(graph: Graph, size: int, batched: tuple[bool, ...], forced: tuple[bool, ...]) -> Graph:
    """`graph` for `size` examples, as a graph.

    Args:
        graph: the program for one example.
        size: how many examples there are.
        batched: which inputs differ between the examples; these get a leading axis of that size.
        forced: which outputs are batched even if they do not depend on an example. The others are batched if they do.
    """
    types = [
        array_type((size, *v.type.shape), v.type.dtype) if has else v.type
        for v, has in zip(graph.inputs, batched, strict=True)
    ]

    def examples(*arguments: Any) -> list[Any]:
        found = zip(*evaluate_batched(graph, size, arguments, batched), forced, strict=True)
        return [repeat(x, size) if wanted and not has else x for x, has, wanted in found]

    found, _ = trace(examples, types, purpose="vmap", name=f"{graph.name}_batched", names=graph.input_names)
    return found


def repeat(x: Any, size: int) -> Any:
    """A value that all examples share as a batch."""
    return np.broadcast_to(x, (size, *x.shape))
