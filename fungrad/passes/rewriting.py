"""The skeleton of a pass that replaces equations one by one.

A rule receives an equation with current operands and may bind other primitives instead; what it binds is recorded in
the new graph. So a rule is written with the same functions as everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad.ir.graph import Const, Graph, Operand, Var, constant
from fungrad.ir.primitive import Primitive
from fungrad.trace import Tracer, attributed_to, bind, trace

Rule = Callable[[Primitive, Sequence[Any]], Any]
"""(primitive, operands) -> the replacement, or None to keep the equation. Operands are tracers or constants' values."""


def rewrite(graph: Graph, rule: Rule) -> Graph:
    """The graph with `rule` applied to every equation in order."""

    def replay(*arguments: Any) -> list[Any]:
        values: dict[Var, Any] = dict(zip(graph.inputs, arguments, strict=True))

        def read(x: Operand) -> Any:
            return x.value if isinstance(x, Const) else values[x]

        with attributed_to(None) as attribution:
            for eqn in graph.equations:
                attribution.site = eqn.where
                operands = [read(x) for x in eqn.inputs]
                result = rule(eqn.op, operands)
                if result is None:
                    result = bind(eqn.op, *operands)
                values.update(zip(eqn.outputs, result if eqn.op.multiple else (result,), strict=True))
        return [read(x) for x in graph.outputs]

    types = [v.type for v in graph.inputs]
    found, _ = trace(replay, types, purpose="a pass", name=graph.name, names=graph.input_names, own=True)
    return found


def number_of(operand: Any) -> Any:
    """The one number that a constant operand of a rule repeats, else None."""
    return None if isinstance(operand, Tracer) else constant(operand).scalar
