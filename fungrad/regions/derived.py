"""Graphs derived from graphs: what a primitive that contains a graph builds its rules from. Each is made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from fungrad.effects import has_effect, without_effects
from fungrad.ir.graph import Graph, Operand, Var
from fungrad.ir.types import ArrayType
from fungrad.passes import optimize
from fungrad.passes.prune import prune
from fungrad.passes.share import share
from fungrad.primitives.create import full
from fungrad.trace import trace
from fungrad.transforms.jvp import graph_jvp
from fungrad.transforms.vjp import graph_vjp

Flags = tuple[bool, ...]


class Derived(NamedTuple):
    """A graph, and which of the results it was asked for are in it; the others are zero."""

    graph: Graph
    present: Flags


def chosen(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The values whose flag is set."""
    return [x for x, flag in zip(values, flags, strict=True) if flag]


def spread_out(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The inverse of `chosen`: None where the flag is not set."""
    rest = iter(values)
    return [next(rest) if flag else None for flag in flags]


def grown(flags: Flags, step: Callable[[Flags], Sequence[bool]]) -> Flags:
    """The flags and all that `step` sets from them, again and again: what spreads through the carries of a loop."""
    while True:
        after = tuple(a or b for a, b in zip(flags, step(flags), strict=True))
        if after == flags:
            return flags
        flags = after


def input_types(graph: Graph) -> list[ArrayType]:
    return [v.type for v in graph.inputs]


def output_types(graph: Graph) -> list[ArrayType]:
    return [x.type for x in graph.outputs]


@lru_cache(maxsize=4096)
def jvp_graph(graph: Graph, given: Flags, forced: Flags = ()) -> Derived:
    """(inputs, tangents of the given inputs) -> (outputs, tangents of the outputs that are present).

    The tangents of forced outputs are present even if they are zero.
    """
    graph = without_effects(graph)
    count = len(graph.inputs)
    present: Flags = ()

    def dual(*arguments: Any) -> list[Any]:
        nonlocal present
        outs, tangents = graph_jvp(graph, arguments[:count], spread_out(arguments[count:], given))
        tangents = _forced(tangents, forced, output_types(graph))
        present = tuple(t is not None for t in tangents)
        return [*outs, *chosen(tangents, present)]

    names = _names(graph)
    return Derived(
        derived_graph(
            dual,
            [*input_types(graph), *chosen(input_types(graph), given)],
            f"{graph.name}_jvp",
            [*names, *chosen([f"d_{name}" for name in names], given)],
        ),
        present,
    )


@lru_cache(maxsize=4096)
def vjp_graph(graph: Graph, given: Flags, wanted: Flags, known: Flags = (), forced: Flags = ()) -> Derived:
    """(inputs, known outputs, cotangents of the given outputs) -> the cotangents of the wanted inputs that are present.

    The known outputs are values the graph need not compute again. Cotangents of forced inputs are present even if they
    are zero.
    """
    graph = without_effects(graph)
    count = len(graph.inputs)
    outs = output_types(graph)
    known = known or (False,) * len(outs)
    stop = count + sum(known)
    present: Flags = ()

    def adjoint(*arguments: Any) -> list[Any]:
        nonlocal present
        values, pullback = graph_vjp(graph, arguments[:count], wanted)
        cts = spread_out(pullback(spread_out(arguments[stop:], given)), wanted)
        cts = _forced(cts, forced, input_types(graph))
        present = tuple(ct is not None for ct in cts)
        return [*chosen(cts, present), *chosen(values, known)]

    out_names = [f"out_{i}" for i in range(len(outs))]
    ct_names = [f"ct_{i}" for i in range(len(outs))]
    types = [*input_types(graph), *chosen(outs, known), *chosen(outs, given)]
    names = [*_names(graph), *chosen(out_names, known), *chosen(ct_names, given)]
    name = f"{graph.name}_vjp"
    found, _ = trace(adjoint, types, purpose=name, name=name, names=names)
    return Derived(optimize(_without_known(share(found), sum(present), found.inputs[count:stop])), present)


def _without_known(graph: Graph, count: int, known: Sequence[Var]) -> Graph:
    """A graph whose outputs after the first `count` are known: what computes them, also where it does so again for
    something else, is replaced by inputs."""
    computed = zip(graph.outputs[count:], known, strict=True)
    new: dict[Operand, Operand] = {x: y for x, y in computed if isinstance(x, Var) and x not in graph.inputs}

    def current(operands: Sequence[Operand]) -> tuple[Operand, ...]:
        return tuple(new.get(x, x) for x in operands)

    equations = tuple(replace(eqn, inputs=current(eqn.inputs)) for eqn in graph.equations)
    return replace(graph, equations=equations, outputs=current(graph.outputs[:count]))


def derived_graph(f: Callable[..., list[Any]], types: Sequence[ArrayType], name: str, names: Sequence[str]) -> Graph:
    """A flat function of graphs' values as an optimized graph."""
    found, _ = trace(f, types, purpose=name, name=name, names=names)
    return optimize(found)


def depends(graph: Graph, inputs: Sequence[bool]) -> Flags:
    """Which outputs of a graph are floats that depend on the flagged inputs."""
    active: set[Operand] = {var for var, flag in zip(graph.inputs, inputs, strict=True) if flag}
    for eqn in graph.equations:
        if any(x in active for x in eqn.inputs):
            active.update(var for var in eqn.outputs if var.type.is_float)
    return tuple(x in active for x in graph.outputs)


def needed(graph: Graph, outputs: Sequence[bool]) -> Flags:
    """Which inputs the flagged outputs and the effects of a graph depend on."""
    used: set[Operand] = set(chosen(graph.outputs, outputs))
    for eqn in reversed(graph.equations):
        if any(var in used for var in eqn.outputs) or has_effect(eqn):
            used.update(eqn.inputs)
    return tuple(var in used for var in graph.inputs)


def restricted_graph(graph: Graph, inputs: Sequence[bool], outputs: Sequence[bool]) -> Graph:
    """The flagged outputs of a graph as a function of the flagged inputs, which must be all that they need."""
    return prune(
        replace(
            graph,
            inputs=tuple(chosen(graph.inputs, inputs)),
            outputs=tuple(chosen(graph.outputs, outputs)),
            input_names=tuple(chosen(_names(graph), inputs)),
        )
    )


def rearranged(graph: Graph, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
    """A graph with its inputs and outputs in another order."""
    names = _names(graph)
    return replace(
        graph,
        inputs=tuple(graph.inputs[i] for i in inputs),
        outputs=tuple(graph.outputs[i] for i in outputs),
        input_names=tuple(names[i] for i in inputs),
    )


def _forced(values: Sequence[Any], forced: Flags, types: Sequence[ArrayType]) -> list[Any]:
    """The values, with zeros for None where forced."""
    flags = forced or (False,) * len(types)
    return [
        full(t.shape, 0, t.dtype) if x is None and flag else x for x, flag, t in zip(values, flags, types, strict=True)
    ]


def _names(graph: Graph) -> list[str]:
    """The names of a graph's inputs; made up where it has none."""
    made_up = [f"x_{i}" for i in range(len(graph.inputs))]
    return [*graph.input_names, *made_up[len(graph.input_names) :]]
