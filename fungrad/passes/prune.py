"""Drop equations whose results nobody uses.

    a = sin x ; b = cos x ; return a      becomes      a = sin x ; return a

Every primitive is pure, so this is always allowed. Unused inputs stay: they are part of the signature.
"""

from __future__ import annotations

from dataclasses import replace

from fungrad.ir.graph import Equation, Graph, Var


def prune(graph: Graph) -> Graph:
    """The graph without dead equations."""
    used = {x for x in graph.outputs if isinstance(x, Var)}
    kept: list[Equation] = []
    for eqn in reversed(graph.equations):
        if any(out in used for out in eqn.outputs):
            kept.append(eqn)
            used.update(x for x in eqn.inputs if isinstance(x, Var))
    return replace(graph, equations=tuple(reversed(kept)))
