"""Gathers and scatters that are computed where they are read: indices are checked once, before, and then trusted.

    y = gather x i ; z = mul y 2.0           becomes      p = positions i ; y = pick x p ; z = mul y 2.0
    y = scatter_add 0.0 u n i ; z = add y x  becomes      p = positions i ; y = put 0.0 u p ; z = add y x

`Pick` and `Put` compute an element from elements of their operands, so they fuse with what reads them, like a slice and
a choice do. A check inside these loops would keep them out of vector registers, and threads could not leave them.
Checks come as early as they can, lest they part other loops, but after effects such as printing that come before them.

A known index that counts 0, 1, 2, ... along one of its axes needs no array and no check, since it is an index of loops:
with n = 0, 1, 2, ... the second line is the gradient of x[n, i], where one place of each row is read. Of scatters only
those become `Put` that write one place of each row of a constant, and are read by other loops: each element asks
whether it is of that place. Others stay.

It is done to a graph just before its loops are written: the primitives have no derivatives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fungrad.effects import has_effect
from fungrad.ir.graph import Const, Equation, Graph, Operand, Var
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import INT, ArrayType, array_type
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.index import Gather, Scatter, ScatterAdd, check_bounds
from fungrad.primitives.reduce import Reduce, Sum

Counted = tuple[int | None, ...]
"""For each indexed axis: the axis of the index arrays along which its index counts, or None if there is an array."""


@dataclass(frozen=True, slots=True)
class Positions(Primitive):
    """Index arrays, one for each axis, counted from its start; fails where one is out of bounds."""

    axes: tuple[int, ...] = field(repr=False)
    extents: tuple[int, ...]
    checked_for: str = field(repr=False)  # the operation that errors speak of
    multiple: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.checked_for

    def infer(self, *types: ArrayType) -> Any:
        return tuple(array_type(t.shape, INT) for t in types)

    def evaluate(self, *arrays: Any) -> Any:
        check_bounds(self.name, dict(zip(self.axes, self.extents, strict=True)), arrays)
        return tuple(_from_start(x, n) for x, n in zip(arrays, self.extents, strict=True))


@dataclass(frozen=True, slots=True)
class Pick(Primitive):
    """`x[indices]`, all in bounds. Operands: x, and the positions along the axes that are not counted."""

    counted: Counted = field(repr=False)
    shape: tuple[int, ...] = field(repr=False)  # of the index arrays

    def infer(self, *types: ArrayType) -> ArrayType:
        return array_type((*self.shape, *types[0].shape[len(self.counted) :]), types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, *positions = arrays
        return x[_indices(self.counted, self.shape, positions)]


@dataclass(frozen=True, slots=True)
class Put(Primitive):
    """`x` with updates added or written at the indices, all in bounds, at most one for each element.

    Operands: x, the updates, and the positions along the one axis that is not counted.
    """

    counted: Counted = field(repr=False)
    add: bool

    def infer(self, *types: ArrayType) -> ArrayType:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        x, updates, positions = arrays
        out = np.array(x)
        place = _indices(self.counted, positions.shape, [positions])
        out[place] = out[place] + updates if self.add else updates
        return out


def with_checked_indices(graph: Graph) -> Graph:
    """The graph with every gather, and every scatter that can be a `Put`, split in two."""
    if not any(isinstance(eqn.op, Gather | Scatter | ScatterAdd) for eqn in graph.equations):
        return graph
    made = {var: number for number, eqn in enumerate(graph.equations, 1) for var in eqn.outputs}
    checks: defaultdict[int, list[Equation]] = defaultdict(list)  # by how many equations must come before them
    checked: dict[_Index, Var] = {}
    read_by_element = {x for eqn in graph.equations if isinstance(eqn.op, _BY_ELEMENT) for x in eqn.inputs}
    trusting, effects = [], 0
    for number, eqn in enumerate(graph.equations, 1):
        if has_effect(eqn):
            effects = number
        found = _Indexing.of(eqn, read_by_element)
        if found is None:
            trusting.append(eqn)
            continue
        new = [index for index, known in found.positions.items() if known is None and index not in checked]
        checked |= {index: Var(array_type(index.array.type.shape, INT)) for index in new}
        if new:
            arrays, axes, extents = zip(*new, strict=True)
            check = Positions(axes, extents, eqn.op.name)
            after = max([effects, *(made.get(x, 0) for x in arrays if isinstance(x, Var))])
            checks[after].append(replace(eqn, op=check, inputs=arrays, outputs=tuple(checked[x] for x in new)))
        places = [checked[index] if known is None else known for index, known in found.positions.items()]
        trusting.append(found.trusting(places))
    equations = [*checks[0]]
    for number, eqn in enumerate(trusting, 1):
        equations += [eqn, *checks[number]]
    return replace(graph, equations=tuple(equations))


_BY_ELEMENT = (Elementwise, Convert, Sum, Reduce)
"""What reads its operands in loops that it may share with what computes them."""


class _Index(NamedTuple):
    """Along an axis."""

    array: Operand
    axis: int
    extent: int


@dataclass(frozen=True, slots=True)
class _Indexing:
    """A gather, or a scatter that can be a `Put`.

    Attributes:
        positions: the indices that are not counted and, if they are known and in bounds, their positions.
    """

    eqn: Equation
    counted: Counted
    shape: tuple[int, ...]  # of the index arrays
    positions: dict[_Index, Operand | None]

    @classmethod
    def of(cls, eqn: Equation, read_by_element: Set[Operand]) -> _Indexing | None:
        """How an equation indexes, or None if it stays as it is."""
        if not isinstance(eqn.op, Gather | Scatter | ScatterAdd):
            return None
        x, *indices = eqn.inputs if isinstance(eqn.op, Gather) else (eqn.inputs[0], *eqn.inputs[2:])
        extents, shape = x.type.shape[: len(indices)], indices[0].type.shape
        counted = tuple(_counts_along(i, n) for i, n in zip(indices, extents, strict=True))
        if not isinstance(eqn.op, Gather):
            is_constant = isinstance(x, Const) and x.scalar is not None
            if not (is_constant and eqn.output in read_by_element and _one_in_each_row(extents, shape, counted)):
                return None
        each = zip(indices, extents, counted, strict=True)
        rest = [_Index(i, axis, n) for axis, (i, n, along) in enumerate(each) if along is None]
        return cls(eqn, counted, shape, {index: _known(index.array, index.extent) for index in rest})

    def trusting(self, positions: Sequence[Operand]) -> Equation:
        """The equation with positions that are in bounds."""
        eqn = self.eqn
        if isinstance(eqn.op, Gather):
            return replace(eqn, op=Pick(self.counted, self.shape), inputs=(eqn.inputs[0], *positions))
        put = Put(self.counted, isinstance(eqn.op, ScatterAdd))
        return replace(eqn, op=put, inputs=(*eqn.inputs[:2], *positions))


def _one_in_each_row(extents: Sequence[int], shape: Sequence[int], counted: Counted) -> bool:
    """Whether indices are of one place in each row: all indexed axes but one count, each its own."""
    axes = [axis for axis in counted if axis is not None]
    whole = all(axis is None or shape[axis] == n for axis, n in zip(counted, extents, strict=True))
    longer = [axis for axis in axes if shape[axis] != 1]
    every = sorted(longer) == [axis for axis, n in enumerate(shape) if n != 1]  # and none counts twice
    return whole and every and len(longer) > 0 and len(axes) == len(counted) - 1


def _counts_along(index: Operand, extent: int) -> int | None:
    """The axis along which a known index counts from 0, in bounds."""
    if isinstance(index, Const):
        for axis, n in enumerate(index.type.shape):
            numbers = np.arange(n).reshape(n, *(1,) * (index.type.ndim - axis - 1))
            if n <= extent and np.array_equal(index.value, np.broadcast_to(numbers, index.type.shape)):
                return axis
    return None


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


def _indices(counted: Counted, shape: tuple[int, ...], positions: Sequence[Any]) -> tuple[Any, ...]:
    """The index arrays of all indexed axes."""
    found, grid = iter(positions), np.indices(shape)
    return tuple(next(found) if axis is None else grid[axis] for axis in counted)
