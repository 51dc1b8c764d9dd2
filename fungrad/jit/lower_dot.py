"""Matrix products: generated code for floats, see `products`, and three loops for integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fungrad.ir.graph import Equation
from fungrad.jit.loops import Apply, Assign, Buffer, Expr, Gemm, Index, Literal, Load, Local, Loop, Store, literal, nest
from fungrad.jit.product_sum import ProductSum
from fungrad.jit.scope import Scope
from fungrad.primitives.contract import Dot

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering


def dot(state: Lowering, eqn: Equation) -> None:
    """A canonical `Dot`; see passes/canonical_dots.py."""
    op = eqn.op
    assert isinstance(op, Dot)
    a, b = (state.buffer(x) for x in eqn.inputs)
    _product(state, op, a, b, state.target(eqn))


def product_sum(state: Lowering, eqn: Equation) -> None:
    """A product with what is added to it."""
    op = eqn.op
    assert isinstance(op, ProductSum)
    a, b, addend = (state.buffer(x) for x in eqn.inputs[:3])
    out = state.target(eqn)
    scale = state.read(eqn.inputs[3], (), Scope(state.statements))
    one = isinstance(scale, Literal) and scale.value == 1
    _product(state, op.dot, a, b, out, addend, None if one else scale)


def _product(
    state: Lowering, op: Dot, a: Buffer, b: Buffer, out: Buffer, addend: Buffer | None = None, scale: Expr | None = None
) -> None:
    lead = len(op.batch_a)
    (contract_a,), (contract_b,) = op.contract_a, op.contract_b
    transpose_a, transpose_b = contract_a == lead, contract_b == lead + 1
    batch = a.type.shape[0] if lead else 1
    k = a.type.shape[contract_a]
    m, n = out.type.shape[lead:]
    if out.type.size == 0:
        return
    if k == 0:
        state.fill(out, lambda index, scope: Literal(out.type.dtype.type(0)))
    elif out.type.is_float:
        state.statements.append(Gemm(a, b, out, transpose_a, transpose_b, batch, m, n, k, addend, scale))
    else:
        index, body = nest(out.type.shape, state.statements)
        total = Local(f"{out.name}__total", out.type.dtype)
        inner = Loop(Index("i__sum"), literal(k))
        row, column = index[lead], index[lead + 1]
        left = Load(a, (*index[:lead], *((inner.index, row) if transpose_a else (row, inner.index))))
        right = Load(b, (*index[:lead], *((column, inner.index) if transpose_b else (inner.index, column))))
        product = Apply("mul", (left, right), total.dtype)
        inner.body.append(Assign(total, Apply("add", (total, product), total.dtype)))
        zero = Literal(np.dtype(total.dtype).type(0))
        body += [Assign(total, zero), inner, Store(out, index, total)]
