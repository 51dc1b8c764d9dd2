"""Gathers as movements of elements: indices are checked once, before, and then trusted.

    y = gather x i ; z = mul y 2.0      becomes      p = positions i ; y = pick x p ; z = mul y 2.0

`Pick` computes an element where it is read, like a slice does, so it fuses with what reads it. A check inside these
loops would keep them out of vector registers, and threads could not leave them. Positions that are known and in bounds
need no check at all. It is done to a graph just before its loops are written: the two primitives have no derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import INT, ArrayType, array_type
from fungrad.primitives.index import Gather, check_bounds, check_indices


@dataclass(frozen=True, slots=True)
class Positions(Primitive):
    """Index arrays, one for each extent, counted from the start of its axis; fails where one is out of bounds."""

    extents: tuple[int, ...]
    multiple: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "gather"  # which errors speak of

    def infer(self, *types: ArrayType) -> Any:
        return tuple(array_type(t.shape, INT) for t in types)

    def evaluate(self, *arrays: Any) -> Any:
        check_bounds(self.name, self.extents, arrays)
        return tuple(_from_start(x, n) for x, n in zip(arrays, self.extents, strict=True))


@dataclass(frozen=True, slots=True)
class Pick(Primitive):
    """`x[positions]`, where all positions are in bounds."""

    def infer(self, *types: ArrayType) -> ArrayType:
        x, *positions = types
        return array_type(check_indices(self.name, x, positions), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, *positions = arrays
        return x[tuple(positions)]


def check_gathers(graph: Graph) -> Graph:
    """The graph with every gather split in two."""
    if not any(isinstance(eqn.op, Gather) for eqn in graph.equations):
        return graph
    equations: list[Equation] = []
    for eqn in graph.equations:
        equations += _split(eqn) if isinstance(eqn.op, Gather) else [eqn]
    return replace(graph, equations=tuple(equations))


def _split(eqn: Equation) -> list[Equation]:
    x, *indices = eqn.inputs
    extents = x.type.shape[: len(indices)]
    known = [_known(i, n) for i, n in zip(indices, extents, strict=True)]
    unknown = [(i, n) for i, n, p in zip(indices, extents, known, strict=True) if p is None]
    outputs = tuple(Var(array_type(i.type.shape, INT)) for i, _ in unknown)
    found = iter(outputs)
    positions = [next(found) if p is None else p for p in known]
    pick = replace(eqn, op=Pick(), inputs=(x, *positions))
    if not unknown:
        return [pick]
    check = Positions(tuple(n for _, n in unknown))
    return [replace(eqn, op=check, inputs=tuple(i for i, _ in unknown), outputs=outputs), pick]


def _known(index: Operand, extent: int) -> Operand | None:
    """The positions of a constant index, if they are in bounds."""
    if not isinstance(index, Const):
        return None
    values: Any = index.value
    if values.size and (values.max() >= extent or values.min() < -extent):
        return None
    return Const(_from_start(values, extent))


def _from_start(index: Any, extent: int) -> Any:
    wide = np.asarray(index).astype(np.int64)
    return np.where(wide < 0, wide + extent, wide)
