"""Run a Graph through `bind`: the reference meaning of every program.

On ndarrays this computes with NumPy; on tracers it records the graph into the trace that is live, which is how graphs
are inlined and transformed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fungrad.ir.graph import Const, Graph, Operand, Var
from fungrad.trace import attributed_to, bind


def evaluate(graph: Graph, *arguments: Any, apply: Callable[..., Any] = bind) -> list[Any]:
    """The outputs of `graph` for `arguments`, one for each input. Values are freed after their last use.

    `apply(op, *inputs)` gives the results of an equation: another function than `bind` gives the graph another meaning.
    """
    values: dict[Var, Any] = dict(zip(graph.inputs, arguments, strict=True))
    last_use = _last_uses(graph)

    def read(operand: Operand) -> Any:
        return operand.value if isinstance(operand, Const) else values[operand]

    with attributed_to(None) as attribution:
        watch = attribution.nans
        for position, eqn in enumerate(graph.equations):
            attribution.site = eqn.where
            inputs = tuple(map(read, eqn.inputs))
            result = apply(eqn.op, *inputs)
            if watch:
                watch(eqn.op, inputs, result)
            values.update(zip(eqn.outputs, result if eqn.op.multiple else (result,), strict=True))
            for var in last_use.get(position, ()):
                del values[var]
    return [read(operand) for operand in graph.outputs]


def _last_uses(graph: Graph) -> dict[int, list[Var]]:
    """For each equation, the Vars that nothing later reads."""
    seen = {operand for operand in graph.outputs if isinstance(operand, Var)}
    last: dict[int, list[Var]] = {}
    for position in range(len(graph.equations) - 1, -1, -1):
        eqn = graph.equations[position]
        for var in (*eqn.outputs, *(x for x in eqn.inputs if isinstance(x, Var))):
            if var not in seen:
                seen.add(var)
                last.setdefault(position, []).append(var)
    return last
