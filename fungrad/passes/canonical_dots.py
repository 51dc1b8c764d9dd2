"""Bring every contraction into the forms BLAS knows.

    dot[contract_a=(0,), contract_b=(1,)] x:f32[4,8,3] y:f32[5,4]      becomes      a matrix product of reshaped
    operands

After this pass each `Dot` multiplies (batch, m, k) or (batch, k, m) by (batch, k, n) or (batch, n, k), with the batch
axis left out where there is none. A contraction without free axes is a sum of products and becomes that; one that
sums nothing is a broadcast product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import BOOL
from fungrad.passes.rewriting import rewrite
from fungrad.primitives.contract import Axes, Dot, free_axes
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.primitives.reduce import Sum
from fungrad.primitives.shape import broadcast, reshape, transpose
from fungrad.trace import bind


def canonical_dots(graph: Graph) -> Graph:
    """The graph with every `Dot` in canonical form."""
    return rewrite(graph, lambda op, operands: _canonical(op, operands) if isinstance(op, Dot) else None)


def _canonical(op: Primitive, operands: Sequence[Any]) -> Any:
    assert isinstance(op, Dot)
    a, b = operands
    if a.dtype == BOOL:  # "or" of "and"s; rare enough to leave to the host
        return None
    free_a = free_axes(a.ndim, op.contract_a, op.batch_a)
    free_b = free_axes(b.ndim, op.contract_b, op.batch_b)
    batch = tuple(a.shape[i] for i in op.batch_a)
    rows = tuple(a.shape[i] for i in free_a)
    columns = tuple(b.shape[j] for j in free_b)
    inner = tuple(a.shape[i] for i in op.contract_a)
    shape = (*batch, *rows, *columns)
    if not inner:
        left = reshape(transpose(a, (*op.batch_a, *free_a)), (*batch, *rows, *(1,) * len(columns)))
        right = reshape(transpose(b, (*op.batch_b, *free_b)), (*batch, *(1,) * len(rows), *columns))
        return bind(ELEMENTWISE["mul"], broadcast(left, shape), broadcast(right, shape))
    if math.prod(rows) == 1 and math.prod(columns) == 1:
        left = reshape(transpose(a, (*op.batch_a, *free_a, *op.contract_a)), (*batch, *inner))
        right = reshape(transpose(b, (*op.batch_b, *free_b, *op.contract_b)), (*batch, *inner))
        summed = tuple(range(len(batch), len(batch) + len(inner)))
        return reshape(bind(Sum(summed), bind(ELEMENTWISE["mul"], left, right)), shape)
    left, contract_a = _matrix(a, op.batch_a, free_a, op.contract_a)
    right, contract_b = _matrix(b, op.batch_b, free_b, op.contract_b)
    lead = (0,) if batch else ()
    return reshape(bind(Dot((contract_a,), (contract_b,), lead, lead), left, right), shape)


def _matrix(x: Any, batch: Axes, free: Axes, contract: Axes) -> tuple[Any, int]:
    """An operand as (batch, free, contracted) or (batch, contracted, free), whichever needs no data movement, and the
    contracted axis."""
    sizes = [math.prod(x.shape[i] for i in axes) for axes in (batch, free, contract)]
    lead = [sizes[0]] if batch else []
    if (*batch, *contract, *free) == tuple(range(x.ndim)):
        return reshape(x, (*lead, sizes[2], sizes[1])), len(lead)
    moved = transpose(x, (*batch, *free, *contract))
    return reshape(moved, (*lead, sizes[1], sizes[2])), len(lead) + 1
