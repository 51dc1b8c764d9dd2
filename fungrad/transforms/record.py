"""The first half of differentiation: run a function once and keep its tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fungrad.ir.graph import Var
from fungrad.trace import Record, Trace, Tracer, check_end, fresh


class Recording(NamedTuple):
    """One run of a flat function of primals.

    - tape: its operations, in order.
    - inputs: the Var of each primal.
    - outputs: what each result is on the tape; None where no primal influences it.
    - values: the results one level out; those that are not arrays as they are.
    """

    tape: list[Record]
    inputs: list[Any]
    outputs: list[Any]
    values: list[Any]


def record(
    f: Callable[..., Sequence[Any]], primals: Sequence[Any], purpose: str, weak: Sequence[bool] = ()
) -> Recording:
    """Run `f` on the primals, which really computes its results, and keep what it did.

    Args:
        f: takes one value for each primal, returns a flat sequence of values.
        primals: arrays or outer tracers.
        purpose: what errors call this transformation.
        weak: which primals stand for Python numbers.
    """
    with Trace(purpose, concrete=True) as level:
        flags = weak or [False] * len(primals)
        tracers = [level.input(value, w) for value, w in zip(primals, flags, strict=True)]
        inputs = [t.operand for t in tracers]  # before f runs: in-place operators make a tracer stand for another Var
        results = f(*tracers)
        mine = [isinstance(x, Tracer) and x.owner is level for x in results]
        pairs = list(zip(results, mine, strict=True))
        outputs = [x.operand if own and isinstance(x.operand, Var) else None for x, own in pairs]
        values = [fresh(x.value) if own else x for x, own in pairs]
    del tracers, results, pairs
    check_end(level)
    tape = level.records
    level.records = []  # tracers refer to the trace: without its tape they keep no residual alive
    return Recording(tape, inputs, outputs, values)
