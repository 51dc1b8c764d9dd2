"""One step of a loop's backward pass.

A loop repeats `(consts, carry, x) -> (carry, y)`. Its backward pass repeats, in the opposite order,

    (consts, totals, ct_carry, carry before, x, carry after, y, ct_y, extra ct_carry) -> (totals, ct_carry, ct_x)

where `totals` are the cotangents of the consts so far. Only the carries are kept from the forward pass; what else the
adjoint of a step needs is computed again from them, unless it is the carry after the step or `y`, which are known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.regions.derived import (
    Derived,
    Flags,
    chosen,
    depends,
    derived_graph,
    grown,
    input_types,
    output_types,
    spread_out,
    vjp_graph,
)


class Step(NamedTuple):
    """A loop's body and how its inputs divide."""

    body: Graph
    consts: int
    carries: int

    @property
    def xs(self) -> int:
        return len(self.body.inputs) - self.consts - self.carries

    @property
    def ys(self) -> int:
        return len(self.body.outputs) - self.carries


class StepBack(NamedTuple):
    """The step of the backward pass.

    - graph: what the module's docstring says, of those values only that the flags choose.
    - totals: which consts have a cotangent.
    - carries: which carries have one.
    - xs: which x have one.
    """

    graph: Graph
    totals: Flags
    carries: Flags
    xs: Flags


@lru_cache(maxsize=1024)
def step_back(step: Step, given_carries: Flags, given_extra: Flags, given_ys: Flags, wanted: Flags) -> StepBack:
    """The backward step for cotangents of the given final carries, of the given carries in between, and of the given y.

    `wanted` flags the body's inputs: consts, carries (the first ones), xs.
    """
    body, n_consts, n_carries = step
    stop = n_consts + n_carries
    active = _active(step, wanted)
    wanted = (*wanted[:n_consts], *active, *wanted[stop:])
    alive = tuple((a or b) and c for a, b, c in zip(given_carries, given_extra, active, strict=True))
    known = (True,) * len(body.outputs)

    def derive(alive: Flags) -> Derived:
        forced = ((False,) * n_consts) + alive + (False,) * step.xs
        return vjp_graph(body, (*alive, *given_ys), wanted, known, forced)

    alive = grown(alive, lambda alive: derive(alive).present[n_consts:stop])  # in a step, so before it too
    derived = derive(alive)
    totals, xs = derived.present[:n_consts], derived.present[stop:]
    extra = tuple(a and b for a, b in zip(given_extra, alive, strict=True))
    const_types, carry_types, x_types = _split(input_types(body), n_consts, n_carries)
    y_types = output_types(body)[n_carries:]
    groups = [
        const_types,
        chosen(const_types, totals),
        chosen(carry_types, alive),
        carry_types,
        x_types,
        carry_types,
        y_types,
        chosen(y_types, given_ys),
        chosen(carry_types, extra),
    ]
    stems = ["const", "total", "ct_carry", "before", "x", "after", "y", "ct_y", "ct_extra"]

    def back(*arguments: Any) -> list[Any]:
        rest = iter(arguments)
        consts, sums, cts, before, rows, after, ys, ct_ys, more = ([next(rest) for _ in group] for group in groups)
        added = spread_out(more, extra)
        cts = [ct if more is None else ct + more for ct, more in zip(cts, chosen(added, alive), strict=True)]
        found = evaluate(derived.graph, *consts, *before, *rows, *after, *ys, *cts, *ct_ys)
        n_totals = sum(totals)
        return [*(a + b for a, b in zip(sums, found[:n_totals], strict=True)), *found[n_totals:]]

    graph = derived_graph(
        back,
        [t for group in groups for t in group],
        f"{body.name}_back",
        [f"{stem}_{i}" for stem, group in zip(stems, groups, strict=True) for i in range(len(group))],
    )
    return StepBack(graph, totals, alive, xs)


def _active(step: Step, wanted: Flags) -> Flags:
    """Which carries depend on a wanted input at some step."""
    n_consts, n_carries = step.consts, step.carries
    stop = n_consts + n_carries
    return grown(
        wanted[n_consts:stop],
        lambda active: depends(step.body, (*wanted[:n_consts], *active, *wanted[stop:]))[:n_carries],
    )


def _split(values: Any, n_consts: int, n_carries: int) -> tuple[Any, Any, Any]:
    stop = n_consts + n_carries
    return values[:n_consts], values[n_consts:stop], values[stop:]
