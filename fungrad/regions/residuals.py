"""What a step of a loop keeps for its backward pass, besides the carries.

    body:  y = sin x          step back:  ct_x = ct_y * cos x          becomes the body:  y = sin x ; r = cos x

All that the backward step computes from the values of the forward step alone could be computed there as well, and kept.
What is expensive is: an elementary function costs more than to store a number and load it again. The rest stays where
it is, and so does all that is inside another loop or a checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.passes import optimize
from fungrad.primitives.cost import is_expensive
from fungrad.regions.derived import input_types, output_types
from fungrad.regions.step_back import Step, step_back


@lru_cache(maxsize=1024)
def with_residuals(step: Step) -> Graph:
    """The body of a step with more results: what its backward pass would compute at some expense."""
    body = step.body
    floats = [type.is_float for type in output_types(body)]
    carries, ys = tuple(floats[: step.carries]), tuple(floats[step.carries :])
    wanted = tuple(type.is_float for type in input_types(body))
    back = step_back(step, carries, (False,) * step.carries, ys, wanted)
    values = _forward_values(step, back.graph, sum(back.totals) + sum(back.carries))
    equations: list[Equation] = []
    kept: list[Var] = []
    for eqn in back.graph.equations:
        if all(isinstance(x, Const) or x in values for x in eqn.inputs):
            outputs = tuple(Var(x.type) for x in eqn.outputs)
            values.update(zip(eqn.outputs, outputs, strict=True))
            inputs = tuple(values[x] if isinstance(x, Var) else x for x in eqn.inputs)
            equations.append(replace(eqn, inputs=inputs, outputs=outputs))
            if is_expensive(eqn):
                kept += outputs
    if not kept:
        return body
    more = optimize(replace(body, equations=(*body.equations, *equations), outputs=(*body.outputs, *kept)))
    own = len(body.outputs)
    new = [x for x in dict.fromkeys(more.outputs[own:]) if isinstance(x, Var) and x not in more.outputs[:own]]
    return replace(more, outputs=(*more.outputs[:own], *new))


def _forward_values(step: Step, back: Graph, sums: int) -> dict[Var, Operand]:
    """The inputs of a backward step that are values of the forward step: inputs and outputs of its body."""
    body, consts = step.body, step.consts
    forward = [*body.inputs[:consts], *(None for _ in range(sums)), *body.inputs[consts:], *body.outputs]
    return {var: x for var, x in zip(back.inputs, forward, strict=False) if x is not None}
