"""Sums with a matrix product as one operation, which touches the result once.

    g = dot x ct ; s = mul lr g ; new = sub w s      becomes      new = product_sum x ct w -lr

for a product that is read by nothing else, scaled by one number or not. The other summand is in memory anyway, or a row
that is added to every row. It is the last thing done to a graph before its loops are written: `ProductSum` has no
derivatives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.types import array_type
from fungrad.jit.lower_table import is_pointwise
from fungrad.jit.product_sum import ProductSum
from fungrad.primitives.contract import Dot
from fungrad.primitives.elementwise import ELEMENTWISE, Elementwise
from fungrad.primitives.shape import Broadcast


def fold_products(graph: Graph) -> Graph:
    """The graph with sums of products folded."""
    reads = Counter(x for eqn in graph.equations for x in eqn.inputs if isinstance(x, Var))
    reads.update(x for x in graph.outputs if isinstance(x, Var))
    made = {out: eqn for eqn in graph.equations for out in eqn.outputs}
    folding = _Folding(reads, made)
    equations: list[Equation] = []
    for eqn in graph.equations:
        equations += folding.of(eqn)
    if not folding.gone:
        return graph
    return replace(graph, equations=tuple(e for e in equations if not (set(e.outputs) & folding.gone)))


class _Folding:
    def __init__(self, reads: Counter[Var], made: dict[Var, Equation]) -> None:
        self.reads = reads
        self.made = made
        self.gone: set[Var] = set()

    def of(self, eqn: Equation) -> list[Equation]:
        """What takes the place of an equation: itself, or the sum it completes."""
        if not isinstance(eqn.op, Elementwise) or eqn.op.row not in ("add", "sub"):
            return [eqn]
        x, y = eqn.inputs
        for addend, term in ((x, y), (y, x)) if eqn.op.row == "add" else ((x, y),):
            found = self._product(term)
            source = self._addend(addend)
            if found is not None and source is not None:
                dot, scale, gone = found
                self.gone |= gone
                before: list[Equation] = []
                if eqn.op.row == "sub":
                    scale, before = self._negative(scale, eqn)
                inputs = (*dot.inputs, source, scale)
                assert isinstance(dot.op, Dot)
                return [*before, Equation(ProductSum(dot.op), inputs, eqn.outputs, eqn.where)]
        return [eqn]

    def _product(self, x: Operand) -> tuple[Equation, Operand, set[Var]] | None:
        """The product that a summand is, its scale, and the values that nobody needs any more."""
        scale: Operand | None = None
        gone: set[Var] = set()
        while isinstance(x, Var) and self.reads[x] == 1 and x in self.made:
            eqn = self.made[x]
            gone.add(x)
            if isinstance(eqn.op, Dot) and eqn.output.type.is_float and eqn.output.type.size and _depth(eqn):
                one = Const(eqn.output.type.dtype.type(1))
                return eqn, one if scale is None else scale, gone
            if not (isinstance(eqn.op, Elementwise) and eqn.op.row == "mul") or scale is not None:
                return None
            numbers = [self._number(y) for y in eqn.inputs]
            if (numbers[0] is None) == (numbers[1] is None):
                return None
            scale, x = (numbers[0], eqn.inputs[1]) if numbers[1] is None else (numbers[1], eqn.inputs[0])
        return None

    def _number(self, x: Operand) -> Operand | None:
        """The number that an array repeats."""
        if isinstance(x, Const):
            return None if x.scalar is None else Const(x.scalar)
        eqn = self.made.get(x)
        if eqn is not None and isinstance(eqn.op, Broadcast) and eqn.inputs[0].type.ndim == 0:
            return eqn.inputs[0]
        return None

    def _addend(self, x: Operand) -> Operand | None:
        """What is added, if it is a row for all rows or an array in memory, not computed where it is read."""
        eqn = self.made.get(x) if isinstance(x, Var) else None
        if eqn is not None and isinstance(eqn.op, Broadcast):
            row = eqn.inputs[0]
            return row if row.type.size == x.type.shape[-1] and row.type.shape[-1:] == x.type.shape[-1:] else None
        return None if eqn is not None and is_pointwise(eqn) else x

    def _negative(self, scale: Operand, eqn: Equation) -> tuple[Operand, list[Equation]]:
        if isinstance(scale, Const):
            return Const(np.negative(scale.value)), []
        out = Var(array_type((), scale.type.dtype))
        return out, [Equation(ELEMENTWISE["neg"], (scale,), (out,), eqn.where)]


def _depth(eqn: Equation) -> int:
    """How many products an element of a canonical contraction sums."""
    assert isinstance(eqn.op, Dot)
    return eqn.inputs[0].type.shape[eqn.op.contract_a[0]]
