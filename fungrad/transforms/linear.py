"""Whether a graph is a linear function of some of its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from fungrad.ir.graph import Graph, Operand
from fungrad.ir.printing import print_primitive


def why_not_linear(graph: Graph, inputs: Sequence[bool]) -> str | None:
    """What keeps `graph` from being a linear function of the flagged inputs, or None if nothing does.

    It is linear if every equation is linear in those of its operands that depend on them.
    """
    dependent: set[Operand] = {var for var, flag in zip(graph.inputs, inputs, strict=True) if flag}
    for eqn in graph.equations:
        flags = [x in dependent for x in eqn.inputs]
        if not any(flags):
            continue
        if not eqn.op.linear_in(flags):
            return f"{print_primitive(eqn.op)} at {eqn.where}"
        dependent.update(eqn.outputs)
    return None
