"""Equations that do something besides computing their results: no pass drops, merges or reorders them.

    print x ; a = sin x ; return a        keeps both equations

A loop or a branch has an effect if a graph inside it has. The derivative of a graph is that of the graph without
effects: what it does was done when it was evaluated, and a backward pass that evaluates it again does not repeat it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from fungrad.context import STATE
from fungrad.ir.graph import Equation, Graph
from fungrad.ir.primitive import Primitive


def has_effect(eqn: Equation) -> bool:
    """Whether an equation has to be evaluated even if nothing reads its results."""
    return eqn.op.effect or any(map(has_effects, eqn.op.graphs(*(x.type for x in eqn.inputs))))


@lru_cache(maxsize=4096)
def has_effects(graph: Graph) -> bool:
    """Whether some equation of a graph has an effect."""
    return any(map(has_effect, graph.equations))


@lru_cache(maxsize=4096)
def without_effects(graph: Graph) -> Graph:
    """The graph with the same results that does nothing else."""
    if not has_effects(graph):
        return graph
    kept = (eqn for eqn in graph.equations if not eqn.op.effect)
    quiet = (replace(eqn, op=quiet_primitive(eqn.op)) if has_effect(eqn) else eqn for eqn in kept)
    return replace(graph, equations=tuple(quiet))


def quiet_primitive(op: Primitive) -> Any:
    """A primitive with graphs inside, all of them without effects."""
    if not is_dataclass(op):
        return op
    quiet = {f.name: _quiet(getattr(op, f.name)) for f in fields(op)}
    quiet |= {name: _quiet_function(getattr(op, name)) for name in op.functions}
    return replace(op, **quiet)


@lru_cache(maxsize=1024)
def _quiet_function(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has no effect, when it is traced and when it is run."""

    def quiet(*values: Any) -> Any:
        before, STATE.quiet = STATE.quiet, True
        try:
            return f(*values)
        finally:
            STATE.quiet = before

    return quiet


def _quiet(value: Any) -> Any:
    if isinstance(value, Graph):
        return without_effects(value)
    if isinstance(value, tuple) and value and isinstance(value[0], Graph):
        return tuple(map(without_effects, value))
    return value
