"""The rules of the IR, checked. Run between passes in tests; the message names the equation that breaks a rule."""

from __future__ import annotations

from fungrad.errors import GraphError
from fungrad.ir.graph import Graph, Operand, Var
from fungrad.ir.printing import print_primitive


def verify(graph: Graph) -> Graph:
    """Return `graph` unchanged if it is legal.

    Raises:
        GraphError: a Var is defined twice or used before it is defined, or an equation's recorded result type is not
            the one its primitive infers.
    """
    defined: set[Var] = set()

    def define(var: Var, place: str) -> None:
        if var in defined:
            raise GraphError(f"{place} defines a Var that is already defined")
        defined.add(var)

    def use(operand: Operand, place: str) -> None:
        if isinstance(operand, Var) and operand not in defined:
            raise GraphError(f"{place} uses a Var of type {operand.type} before it is defined")

    for position, var in enumerate(graph.inputs):
        define(var, f"input {position}")
    for position, eqn in enumerate(graph.equations):
        place = f"equation {position} ({print_primitive(eqn.op)}, {eqn.where})"
        for operand in eqn.inputs:
            use(operand, place)
        inferred = eqn.op.infer(*(operand.type for operand in eqn.inputs))
        expected = tuple(inferred) if eqn.op.multiple else (inferred,)
        recorded = tuple(out.type for out in eqn.outputs)
        if recorded != expected:
            shown = [", ".join(map(str, types)) for types in (recorded, expected)]
            raise GraphError(f"{place} records result {shown[0]}, but the primitive infers {shown[1]}")
        for out in eqn.outputs:
            define(out, place)
    for position, operand in enumerate(graph.outputs):
        use(operand, f"output {position}")
    return graph
