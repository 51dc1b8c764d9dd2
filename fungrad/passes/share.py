"""Compute equal things once.

    a = sin x ; b = sin x ; c = mul a b      becomes      a = sin x ; c = mul a a

Two equations are equal if their primitives are and their operands are the same Vars or the same constants. It does
not know that `add` commutes. What has an effect is done as often as it is written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fungrad.effects import has_effect
from fungrad.ir.graph import Const, Equation, Graph, Operand, Var


def share(graph: Graph) -> Graph:
    """The graph with equal equations merged."""
    renamed: dict[Var, Var] = {}
    first: dict[Any, tuple[Var, ...]] = {}
    kept: list[Equation] = []

    def current(x: Operand) -> Operand:
        return renamed.get(x, x) if isinstance(x, Var) else x

    for eqn in graph.equations:
        inputs = tuple(map(current, eqn.inputs))
        key = (eqn.op, tuple(map(operand_key, inputs)))
        outputs = eqn.outputs if has_effect(eqn) else first.setdefault(key, eqn.outputs)
        if outputs is eqn.outputs:
            kept.append(replace(eqn, inputs=inputs))
        else:
            renamed.update(zip(eqn.outputs, outputs, strict=True))
    return replace(graph, equations=tuple(kept), outputs=tuple(map(current, graph.outputs)))


def operand_key(x: Operand) -> Any:
    """Equal keys mean equal values. Constants that are one number compare by its bits, others by identity."""
    if not isinstance(x, Const):
        return id(x)
    scalar = x.scalar
    return id(x.value) if scalar is None else (x.type, scalar.tobytes())
