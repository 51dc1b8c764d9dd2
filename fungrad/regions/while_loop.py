"""`While`: a loop that runs as long as a condition holds.

    while condition(condition_consts, carry):
        carry = body(body_consts, carry)

Operands are the consts of the condition, those of the body, and the first carry; results are the last carry. How often
it runs is known only when it has run, so its backward pass is a primitive of its own, `Adjoint`, which runs the loop
with a tape of carries and then steps back over the tape (see `step_back`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fungrad.effects import quiet_primitive
from fungrad.errors import ShapeError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph, Var
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.primitives.create import full
from fungrad.regions.adjoint import Adjoint
from fungrad.regions.derived import (
    Flags,
    chosen,
    derived_graph,
    grown,
    input_types,
    jvp_graph,
    needed,
    rearranged,
    restricted_graph,
    spread_out,
)
from fungrad.regions.examples import all_batched, dependent, examples_of, only_chosen, where_chosen
from fungrad.regions.region import Dual, Region, numbered
from fungrad.regions.step_back import Step, StepBack, step_back
from fungrad.trace import bind


class Batched(NamedTuple):
    """The loop of several examples.

    - op: the loop.
    - operands: its operands, as positions among those of the loop of one example.
    - forced: which of those have to be batched.
    """

    op: While
    operands: Sequence[int]
    forced: Flags


@dataclass(frozen=True, slots=True)
class While(Region):
    """A loop with a condition; see the module."""

    condition: Graph
    body: Graph
    condition_consts: int
    body_consts: int

    @property
    def step(self) -> Step:
        return Step(self.body, self.body_consts, len(self.body.outputs))

    def graphs(self, *types: ArrayType) -> Sequence[Graph]:
        return self.condition, self.body

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Operands as consts of the condition, consts of the body, carries."""
        stop = self.condition_consts + self.body_consts
        return list(values[: self.condition_consts]), list(values[self.condition_consts : stop]), list(values[stop:])

    def infer(self, *types: ArrayType) -> Any:
        conditions, consts, carries = self.split(types)
        for graph, given in ((self.condition, [*conditions, *carries]), (self.body, [*consts, *carries])):
            expected = [v.type for v in graph.inputs]
            if given != expected:
                raise ShapeError(f"while: operands {given}, {graph.name} takes {expected}")
        return tuple(carries)

    def evaluate(self, *arrays: Any) -> Any:
        conditions, consts, carries = self.split(arrays)
        while evaluate(self.condition, *conditions, *carries)[0]:
            carries = evaluate(self.body, *consts, *carries)
        return tuple(carries)

    def dual(self, given: Flags) -> Dual:
        return _dual(self, given)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        given = tuple(c is not None for c in ct)
        op = Adjoint(quiet_primitive(self), given, tuple(wanted))
        found = bind(op, *inputs, *chosen(ct, given)) if any(op.present) else ()
        return spread_out(found, op.present)

    def back(self, given: Flags, wanted: Flags) -> StepBack:
        """The step of the backward pass."""
        _, consts, carries = self.split(wanted)
        return step_back(self.step, given, (False,) * len(given), (), (*consts, *carries))

    def adjoint_present(self, given: Flags, wanted: Flags) -> Flags:
        back = self.back(given, wanted)
        carries = tuple(a and b for a, b in zip(back.carries, self.split(wanted)[2], strict=True))
        return (*(False,) * self.condition_consts, *back.totals, *carries)

    def evaluate_adjoint(self, given: Flags, wanted: Flags, inputs: Sequence[Any], cts: Sequence[Any]) -> Sequence[Any]:
        """Run with a tape, then step back over it."""
        conditions, consts, carries = self.split(inputs)
        tape = [carries]
        while evaluate(self.condition, *conditions, *carries)[0]:
            carries = evaluate(self.body, *consts, *carries)
            tape.append(carries)
        back = self.back(given, wanted)
        totals = [full(x.shape, 0, x.dtype) for x in chosen(consts, back.totals)]
        given_cts = zip(spread_out(cts, given), carries, strict=True)
        starts = [full(x.shape, 0, x.dtype) if c is None else c for c, x in given_cts]
        state = [*totals, *chosen(starts, back.carries)]
        after = tape.pop()
        while tape:
            before = tape.pop()
            state = evaluate(back.graph, *consts, *state, *before, *after)
            after = before
        n_totals = sum(back.totals)
        asked = chosen(self.split(wanted)[2], back.carries)
        return [*state[:n_totals], *chosen(state[n_totals:], asked)]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        plan = self.batched(size, tuple(batched))
        operands = all_batched(inputs, batched, plan.forced, size)
        found = bind(plan.op, *(operands[i] for i in plan.operands))
        return tuple(all_batched(found, plan.forced[-len(found) :], [True] * len(found), size))

    def batched(self, size: int, batched: Flags) -> Batched:
        """The loop of all examples."""
        return _batched(self, size, batched)

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        n = self.condition_consts
        condition = needed(self.condition, (True,))
        carries = grown(
            tuple(a or b for a, b in zip(used, condition[n:], strict=True)),
            lambda carries: needed(self.body, carries)[self.body_consts :],
        )
        consts = needed(self.body, carries)[: self.body_consts]
        operands = (*condition[:n], *consts, *carries)
        if all(operands):
            return None
        op = While(
            restricted_graph(self.condition, (*condition[:n], *carries), (True,)),
            restricted_graph(self.body, (*consts, *carries), carries),
            sum(condition[:n]),
            sum(consts),
        )
        return op, operands, carries


@lru_cache(maxsize=1024)
def _batched(op: While, size: int, batched: Flags) -> Batched:
    conditions, consts, carries = map(tuple, op.split(batched))
    carries = grown(carries, lambda carries: dependent(op.body, (*consts, *carries)))
    n_in = len(batched)
    if not dependent(op.condition, (*conditions, *carries))[0]:
        of_all = examples_of(op.body, size, (*consts, *carries), carries)
        same = examples_of(op.condition, size, (*conditions, *carries), (False,))
        return Batched(replace(op, condition=same, body=of_all), range(n_in), (*conditions, *consts, *carries))

    # examples that have finished keep their carry; the loop runs as long as one has not
    carries = (True,) * len(carries)
    goes_on = examples_of(op.condition, size, (*conditions, *carries))
    step = examples_of(op.body, size, (*consts, *carries))
    n_conditions, n_consts = op.condition_consts, op.body_consts

    def condition(*arguments: Any) -> list[Any]:
        return [np.any(evaluate(goes_on, *arguments)[0])]

    def body(*arguments: Any) -> list[Any]:
        own, rest = arguments[:n_conditions], arguments[n_conditions:]
        before = rest[n_consts:]
        (running,) = evaluate(goes_on, *own, *before)
        safe = [only_chosen(running, x) if has else x for x, has in zip(rest, (*consts, *carries), strict=True)]
        return [where_chosen(running, x, y) for x, y in zip(evaluate(step, *safe), before, strict=True)]

    types = [*input_types(goes_on)[:n_conditions], *input_types(step)]
    names = [*goes_on.input_names[:n_conditions], *step.input_names]
    both = derived_graph(body, types, step.name, names)
    any_runs = derived_graph(condition, input_types(goes_on), goes_on.name, goes_on.input_names)
    positions = range(n_in)
    return Batched(
        While(any_runs, both, n_conditions, n_conditions + n_consts),
        [*positions[:n_conditions], *positions],
        (*conditions, *consts, *carries),
    )


@lru_cache(maxsize=1024)
def _dual(op: While, given: Flags) -> Dual:
    _, t_consts, t_carries = map(tuple, op.split(given))
    t_carries = grown(t_carries, lambda t: jvp_graph(op.body, (*t_consts, *t), t).present)
    derived = jvp_graph(op.body, (*t_consts, *t_carries), t_carries)
    n_in, n = len(op.body.inputs), len(op.body.outputs)
    moving = chosen(range(n), t_carries)
    consts, carries = range(op.body_consts), range(op.body_consts, n_in)
    tangents = range(n_in, len(derived.graph.inputs))
    d_consts, d_carries = tangents[: sum(t_consts)], tangents[sum(t_consts) :]
    body = rearranged(derived.graph, [*consts, *d_consts, *carries, *d_carries], range(len(derived.graph.outputs)))
    names = [f"d_{i}" for i in moving]
    condition = replace(
        op.condition,
        inputs=(*op.condition.inputs, *(Var(op.body.outputs[i].type) for i in moving)),
        input_names=(*op.condition.input_names, *names),
    )
    dual = While(condition, body, op.condition_consts, op.body_consts + len(d_consts))
    # operands are numbered with the tangents given, of which some carries have none
    first, own_consts, own_carries = op.split(range(len(given)))
    _, g_consts, g_carries = op.split(numbered(given, len(given)))
    starts = [op.body.inputs[op.body_consts + i].type if g_carries[i] is None else g_carries[i] for i in moving]
    operands = [*first, *own_consts, *chosen(g_consts, t_consts), *own_carries, *starts]
    return Dual(dual, operands, range(n), numbered(t_carries, n))
