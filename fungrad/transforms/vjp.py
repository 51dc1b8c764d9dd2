"""Reverse mode: record a function, then walk the tape backwards.

The walk calls each primitive's VJP rule on the values one level out. Outside any trace these are ndarrays, and the
walk is backpropagation; inside a trace they are tracers, and the same walk writes the adjoint graph. A value used
several times accumulates the cotangents of its uses; the order of the tape is topological, so each equation is
visited once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad.ir.graph import Var
from fungrad.ir.primitive import Cotangent
from fungrad.primitives.create import zeros_like
from fungrad.trace import Record, Trace, Tracer, attributed_to, fresh

Pullback = Callable[[Sequence[Cotangent]], list[Any]]


def vjp(
    f: Callable[..., Sequence[Any]], primals: Sequence[Any], purpose: str = "vjp", weak: Sequence[bool] = ()
) -> tuple[list[Any], Pullback]:
    """Evaluate a flat function and return its outputs with its pullback.

    Args:
        f: takes one value for each primal, returns a flat sequence of values; those that are not arrays pass through.
        primals: arrays or outer tracers, all of a float dtype.
        weak: which primals stand for Python numbers.

    Returns:
        The outputs, and a function from their cotangents (None for zero) to the cotangents of the primals.
    """
    with Trace(purpose, concrete=True) as level:
        flags = weak or [False] * len(primals)
        inputs = [level.input(value, w) for value, w in zip(primals, flags, strict=True)]
        variables = [t.operand for t in inputs]  # before f runs: in-place operators make a tracer stand for another Var
        results = f(*inputs)
        outs = [x.operand if isinstance(x, Tracer) and x.owner is level else None for x in results]
        values = [fresh(x.value) if isinstance(x, Tracer) and x.owner is level else x for x in results]
    tape = level.records
    level.records = []  # tracers refer to the trace: without its tape they keep no residual alive

    def pullback(cts: Sequence[Cotangent]) -> list[Any]:
        found = walk_back(tape, zip(outs, cts, strict=True))
        return [
            found[id(var)] if id(var) in found else zeros_like(value)
            for value, var in zip(primals, variables, strict=True)
        ]

    return values, pullback


def walk_back(tape: Sequence[Record], seeds: Any) -> dict[int, Any]:
    """The cotangents of all Vars that no record defines, by identity, from the cotangents of some Vars."""
    cts: dict[int, Any] = {}
    for var, seed in seeds:
        if isinstance(var, Var) and seed is not None:
            _accumulate(cts, var, seed)
    ct: Any
    with attributed_to(None) as attribution:
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
    return cts


def _accumulate(cts: dict[int, Any], var: Var, ct: Any) -> None:
    before = cts.get(id(var))
    cts[id(var)] = ct if before is None else before + ct
