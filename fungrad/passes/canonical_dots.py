"""Bring every contraction into the forms of matrix products.

    dot[contract_a=(0,), contract_b=(1,)] x:f32[4,8,3] y:f32[5,4]      becomes      a matrix product of reshaped
    operands

After this pass each `Dot` multiplies (batch, m, k) or (batch, k, m) by (batch, k, n) or (batch, n, k), with the batch
axis left out where there is none. A contraction without free axes in one operand, such as a matrix times a vector, is a
sum of products and becomes that, since it is bound by reading the matrix and may share its loops with others; one that
sums nothing, or over an extent of 1, is a broadcast product.
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
    if math.prod(inner) == 1:
        left = reshape(transpose(a, (*op.batch_a, *free_a, *op.contract_a)), (*batch, *rows, *(1,) * len(columns)))
        right = reshape(transpose(b, (*op.batch_b, *free_b, *op.contract_b)), (*batch, *(1,) * len(rows), *columns))
        return bind(ELEMENTWISE["mul"], broadcast(left, shape), broadcast(right, shape))
    if math.prod(columns) == 1:
        return reshape(_products(a, op.batch_a, op.contract_a, b, op.batch_b, op.contract_b), shape)
    if math.prod(rows) == 1:
        return reshape(_products(b, op.batch_b, op.contract_b, a, op.batch_a, op.contract_a), shape)
    left, contract_a = _matrix(a, op.batch_a, free_a, op.contract_a)
    right, contract_b = _matrix(b, op.batch_b, free_b, op.contract_b)
    lead = (0,) if batch else ()
    return reshape(bind(Dot((contract_a,), (contract_b,), lead, lead), left, right), shape)


def _products(x: Any, batch: Axes, contract: Axes, y: Any, batch_y: Axes, contract_y: Axes) -> Any:
    """The contraction of `x` with `y`, which has no free axes of more than one index: the sum of products over the axes
    of `x`, in their order in memory. The result's axes are in the order (batch, free)."""
    free_y = free_axes(y.ndim, contract_y, batch_y)
    own = transpose(y, (*batch_y, *contract_y, *free_y))
    axes = (*batch, *contract)
    own = reshape(own, tuple(x.shape[i] for i in axes))
    order = tuple(sorted(range(len(axes)), key=lambda i: axes[i]))  # as the axes stand in x
    aligned = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
    factor = broadcast(reshape(transpose(own, order), aligned), x.shape)
    total = bind(Sum(tuple(sorted(contract))), bind(ELEMENTWISE["mul"], x, factor))
    left = [i for i in range(x.ndim) if i not in contract]
    free = [i for i in left if i not in batch]
    return transpose(total, tuple(left.index(i) for i in (*batch, *free)))


def _matrix(x: Any, batch: Axes, free: Axes, contract: Axes) -> tuple[Any, int]:
    """An operand as (batch, free, contracted) or (batch, contracted, free), whichever needs no data movement, and the
    contracted axis."""
    sizes = [math.prod(x.shape[i] for i in axes) for axes in (batch, free, contract)]
    lead = [sizes[0]] if batch else []
    if (*batch, *contract, *free) == tuple(range(x.ndim)):
        return reshape(x, (*lead, sizes[2], sizes[1])), len(lead)
    moved = transpose(x, (*batch, *free, *contract))
    return reshape(moved, (*lead, sizes[1], sizes[2])), len(lead) + 1
