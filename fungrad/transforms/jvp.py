"""Forward mode: record a function, then walk the tape forwards with tangents.

As in reverse mode the rules run on the values one level out, so the same walk pushes numbers or writes a graph. A
tangent that is zero whatever the numbers is None, and a rule is only called where some operand has another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad.ir.graph import Const, Graph, Operand, Var
from fungrad.ir.primitive import Cotangent
from fungrad.primitives.create import zeros_like
from fungrad.trace import attributed_to, bind
from fungrad.transforms.record import Recording, record

Pushforward = Callable[[Sequence[Any]], list[Any]]


def linearize(
    f: Callable[..., Sequence[Any]], primals: Sequence[Any], purpose: str = "linearize", weak: Sequence[bool] = ()
) -> tuple[list[Any], Pushforward]:
    """Evaluate a flat function and return its outputs with its pushforward.

    Args and outputs are as in `transforms.vjp.vjp`. The pushforward takes the tangents of the primals (None for zero)
    to those of the outputs; an output that no primal influences, or that is not a float, has the tangent None.
    """
    recording = record(f, primals, purpose, weak)
    return recording.values, lambda tangents: walk_forward(recording, tangents)


def walk_forward(recording: Recording, seeds: Sequence[Cotangent]) -> list[Cotangent]:
    """The tangents of the outputs of a recording from those of its inputs."""
    tangents: dict[Any, Any] = {var: t for var, t in zip(recording.inputs, seeds, strict=True) if t is not None}
    with attributed_to(None) as attribution:
        watch = attribution.nans
        for op, operands, values, out, out_value, site in recording.tape:
            given = [tangents.get(x) if type(x) is Var else None for x in operands]
            if all(t is None for t in given):
                continue
            attribution.site = site
            found = op.jvp(given, values, out_value)
            if watch:
                watch(op, (*values, *given), found, derivative=True)
            if not op.multiple:
                out, found = (out,), (found,)
            for var, t in zip(out, found, strict=True):
                if t is not None and var.type.dtype.kind == "f":
                    tangents[var] = t
    return [None if var is None else tangents.get(var) for var in recording.outputs]


def graph_jvp(
    graph: Graph, arguments: Sequence[Any], tangents: Sequence[Cotangent]
) -> tuple[list[Any], list[Cotangent]]:
    """The outputs of a graph and their tangents, from the values and tangents of its inputs; None stands for zero."""
    values: dict[Var, Any] = dict(zip(graph.inputs, arguments, strict=True))
    moving: dict[Operand, Any] = {
        var: t for var, t in zip(graph.inputs, tangents, strict=True) if t is not None and var.type.is_float
    }

    def read(x: Operand) -> Any:
        return x.value if isinstance(x, Const) else values[x]

    with attributed_to(None) as attribution:
        for eqn in graph.equations:
            attribution.site = eqn.where
            inputs = tuple(map(read, eqn.inputs))
            given = [moving.get(x) for x in eqn.inputs]
            out = bind(eqn.op, *inputs)
            outs = out if eqn.op.multiple else (out,)
            values.update(zip(eqn.outputs, outs, strict=True))
            if any(t is not None for t in given):
                found = eqn.op.jvp(given, inputs, out)
                for var, t in zip(eqn.outputs, found if eqn.op.multiple else (found,), strict=True):
                    if t is not None and var.type.is_float:
                        moving[var] = t
    return [read(x) for x in graph.outputs], [moving.get(x) for x in graph.outputs]


def filled(tangents: Sequence[Cotangent], primals: Sequence[Any]) -> list[Any]:
    """Tangents with zeros where None stood for them."""
    return [zeros_like(x) if t is None else t for t, x in zip(tangents, primals, strict=True)]
