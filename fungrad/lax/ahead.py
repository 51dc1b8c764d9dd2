"""Products that a scan computes ahead: of rows with what all steps share, for all rows at once.

    for x in xs:                                              zs = xs @ W
        h = tanh(x @ W + h @ U)            becomes            for z in zs:
                                                                  h = tanh(z + h @ U)

One large product reads W once and uses all threads. So does its gradient: X^T G of all rows, in place of a sum of
products x^T g that grows step by step.

Only products of xs themselves, moved, are computed ahead. Those of many rows stay: they are as fast in the loop, whose
values are still in a cache. So do those that would need much more memory than xs, since a loop is also a way to save
memory; and what is under `checkpoint`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

from fungrad.ir.graph import Const, Equation, Graph, Operand
from fungrad.passes.prune import prune
from fungrad.passes.share import share
from fungrad.primitives.contract import Dot
from fungrad.primitives.shape import Reshape, Slice, Transpose
from fungrad.transforms.batch import evaluate_batched

MOST_ROWS = 32  # of xs in the product of a step
GROWTH = 4  # bytes of all products for each byte of xs, at the most

_MOVES = (Reshape, Slice, Transpose)


def products_ahead(
    body: Graph, length: int, captures: Sequence[Any], carries: int, xs: Sequence[Any]
) -> tuple[Graph, list[Any]]:
    """The body with products among its rows, and the arrays of all its rows.

    Args:
        body: of a step: (captures, carries, rows) -> results; before matrix products are brought into canonical form,
            in which those of single rows are sums.
        length: the number of steps.
        captures: what all steps share.
        carries: how many carries there are.
        xs: the arrays whose rows the steps take.
    """
    body = share(prune(body))
    shared, rows = body.inputs[: len(captures)], body.inputs[len(captures) + carries :]
    moved: set[Operand] = set(rows)
    moves: list[Equation] = []
    products: list[Equation] = []
    room = GROWTH * sum(x.type.nbytes for x in rows)
    for eqn in body.equations:
        if isinstance(eqn.op, _MOVES) and eqn.inputs[0] in moved:
            moves.append(eqn)
            moved.update(eqn.outputs)
        elif isinstance(eqn.op, Dot) and _is_of_few_rows(eqn, eqn.op, moved, shared) and eqn.output.type.nbytes <= room:
            room -= eqn.output.type.nbytes
            products.append(eqn)
    if not products:
        return body, list(xs)
    results = tuple(eqn.output for eqn in products)
    before = prune(
        replace(body, inputs=(*shared, *rows), equations=(*moves, *products), outputs=results, input_names=())
    )
    batched = [*(False for _ in captures), *(True for _ in xs)]
    more, _ = evaluate_batched(before, length, [*captures, *xs], batched)
    names = body.input_names and (*body.input_names, *(f"product{i}" for i in range(len(results))))
    left = tuple(eqn for eqn in body.equations if eqn not in products)
    return prune(replace(body, inputs=(*body.inputs, *results), equations=left, input_names=names)), [*xs, *more]


def _is_of_few_rows(eqn: Equation, op: Dot, rows: Set[Operand], shared: Sequence[Operand]) -> bool:
    """Whether it is a product of a few rows with what all steps share."""
    of_rows = [x for x in eqn.inputs if x in rows]
    of_all = [x for x in eqn.inputs if isinstance(x, Const) or x in shared]
    if not op.contract_a or not len(of_rows) == len(of_all) == 1:
        return False
    summed = math.prod(eqn.inputs[0].type.shape[axis] for axis in op.contract_a)
    return of_rows[0].type.size <= MOST_ROWS * summed
