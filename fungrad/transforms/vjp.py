"""Reverse mode: record a function, then walk the tape backwards.

The walk calls each primitive's VJP rule on the values one level out. Outside any trace these are ndarrays, and the
walk is backpropagation; inside a trace they are tracers, and the same walk writes the adjoint graph. A value used
several times accumulates the cotangents of its uses; the order of the tape is topological, so each equation is
visited once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad.ir.graph import Const, Graph, Operand, Var
from fungrad.ir.primitive import Cotangent
from fungrad.primitives.create import zeros_like
from fungrad.trace import Record, attributed_to, bind
from fungrad.transforms.record import record

Pullback = Callable[[Sequence[Cotangent]], list[Any]]


def vjp(
    f: Callable[..., Sequence[Any]], primals: Sequence[Any], purpose: str = "vjp", weak: Sequence[bool] = ()
) -> tuple[list[Any], Pullback]:
    """Evaluate a flat function and return its outputs with its pullback.

    Args:
        f: takes one value for each primal, returns a flat sequence of values; those that are not arrays pass through.
        primals: arrays or outer tracers, all of a float dtype.
        purpose: what errors call this transformation.
        weak: which primals stand for Python numbers.

    Returns:
        The outputs, and a function from their cotangents (None for zero) to the cotangents of the primals.
    """
    tape, inputs, outputs, values = record(f, primals, purpose, weak)

    def pullback(cts: Sequence[Cotangent]) -> list[Any]:
        found = walk_back(tape, outputs, cts)
        return [
            found[id(var)] if id(var) in found else zeros_like(value)
            for value, var in zip(primals, inputs, strict=True)
        ]

    return values, pullback


def graph_vjp(graph: Graph, arguments: Sequence[Any], wanted: Sequence[bool]) -> tuple[list[Any], Pullback]:
    """As `vjp`, of a graph.

    Args:
        graph: what to differentiate.
        arguments: the values of its inputs.
        wanted: which inputs get a cotangent.

    Returns:
        The outputs, and a function from their cotangents to those of the wanted inputs; None stands for zero on both
        sides.
    """
    values: dict[Var, Any] = dict(zip(graph.inputs, arguments, strict=True))
    active = {var for var, asked in zip(graph.inputs, wanted, strict=True) if asked}
    tape: list[Record] = []

    def read(x: Operand) -> Any:
        return x.value if isinstance(x, Const) else values[x]

    with attributed_to(None) as attribution:
        for eqn in graph.equations:
            attribution.site = eqn.where
            inputs = tuple(map(read, eqn.inputs))
            result = bind(eqn.op, *inputs)
            values.update(zip(eqn.outputs, result if eqn.op.multiple else (result,), strict=True))
            if any(x in active for x in eqn.inputs):
                active.update(var for var in eqn.outputs if var.type.is_float)
                operands = tuple(x if x in active else value for x, value in zip(eqn.inputs, inputs, strict=True))
                out = eqn.outputs if eqn.op.multiple else eqn.output
                tape.append((eqn.op, operands, inputs, out, result, eqn.where))
    outputs = [x if x in active else None for x in graph.outputs]

    def pullback(cts: Sequence[Cotangent]) -> list[Any]:
        found = walk_back(tape, outputs, cts)
        return [found.get(id(var)) for var, asked in zip(graph.inputs, wanted, strict=True) if asked]

    return [read(x) for x in graph.outputs], pullback


def walk_back(tape: Sequence[Record], outputs: Sequence[Any], seeds: Sequence[Cotangent]) -> dict[int, Any]:
    """The cotangents of all Vars that no record defines, by identity, from the cotangents of the outputs."""
    cts: dict[int, Any] = {}
    for var, seed in zip(outputs, seeds, strict=True):
        if var is not None and seed is not None:
            _accumulate(cts, var, seed)
    ct: Any
    with attributed_to(None) as attribution:
        watch = attribution.nans
        for op, operands, values, out, out_value, site in reversed(tape):
            if op.multiple:
                ct = tuple([cts.pop(id(var), None) for var in out])
                if all(c is None for c in ct):
                    continue
            else:
                ct = cts.pop(id(out), None)
                if ct is None:
                    continue
            attribution.site = site
            wanted = [type(x) is Var and x.type.dtype.kind == "f" for x in operands]
            for x, asked, ct_x in zip(operands, wanted, op.vjp(ct, values, out_value, wanted), strict=True):
                if asked and ct_x is not None:
                    _accumulate(cts, x, ct_x)
                    if watch:
                        watch(op, (*values, ct), cts[id(x)], derivative=True)
    return cts


def _accumulate(cts: dict[int, Any], var: Var, ct: Any) -> None:
    before = cts.get(id(var))
    cts[id(var)] = ct if before is None else before + ct
