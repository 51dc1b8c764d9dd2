"""Drop equations whose results nobody uses.

    a = sin x ; b = cos x ; return a      becomes      a = sin x ; return a

Primitives are pure, so this is always allowed, but for those that say they have an effect. An equation of which only
some results are used may become one that computes less. Unused inputs stay: they are part of the signature.
"""

from __future__ import annotations

from dataclasses import replace

from fungrad.effects import has_effect
from fungrad.ir.graph import Equation, Graph, Var


def prune(graph: Graph) -> Graph:
    """The graph without dead equations."""
    used = {x for x in graph.outputs if isinstance(x, Var)}
    kept: list[Equation] = []
    for eqn in reversed(graph.equations):
        if any(out in used for out in eqn.outputs) or has_effect(eqn):
            eqn = _restricted(eqn, [out in used for out in eqn.outputs])
            kept.append(eqn)
            used.update(x for x in eqn.inputs if isinstance(x, Var))
    return replace(graph, equations=tuple(reversed(kept)))


def _restricted(eqn: Equation, used: list[bool]) -> Equation:
    """The equation without what only unused results need."""
    found = eqn.op.restricted(used) if eqn.op.multiple else None
    if found is None:
        return eqn
    op, operands, results = found
    inputs = tuple(x for x, flag in zip(eqn.inputs, operands, strict=True) if flag)
    outputs = tuple(x for x, flag in zip(eqn.outputs, results, strict=True) if flag)
    return replace(eqn, op=op, inputs=inputs, outputs=outputs)
