"""Functional updates: `at(x)[index].set(v)` is `x` with `x[index] = v`, as a new array.

Every index becomes a mesh: one array of positions for each axis, which broadcast together to the shape of
`x[index]`. The values are scattered there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, ShapeError
from fungrad.numpy.indexing import Entry, NewAxis, Range, getitem, layout, parse
from fungrad.numpy.promotion import as_operand, as_value, broadcast_shape, cast, kind_of, shape_of, strong
from fungrad.primitives.index import Scatter, ScatterAdd
from fungrad.primitives.shape import broadcast, reshape
from fungrad.trace import Tracer, bind, fresh, user_line


def _mesh(entries: Sequence[Entry]) -> list[Any]:
    """For each axis of the indexed array its positions, shaped to broadcast to the shape of the result."""
    lead, block, shape = layout(entries)
    rank = len(shape)
    mesh: list[Any] = []
    dim = 0  # counts ranges and new axes
    for entry in entries:
        if isinstance(entry, Range):
            axis = dim if dim < lead else dim + len(block)
            numbers = entry.start + entry.step * np.arange(entry.extent)
            mesh.append(numbers.reshape([entry.extent if i == axis else 1 for i in range(rank)]))
        elif not isinstance(entry, NewAxis):
            missing = len(block) - entry.positions.ndim
            after = rank - lead - len(block)
            mesh.append(reshape(entry.positions, ((1,) * (lead + missing)) + entry.positions.shape + (1,) * after))
            continue
        dim += 1
    return mesh


_OPERATIONS: dict[str, Any] = {"set": Scatter(), "add": ScatterAdd()}


def update(operation: str, x: Any, index: Any, values: Any) -> Any:
    """`x` with `values` set or added at `index`, as a new array.

    Raises:
        ShapeError: the values do not broadcast to the selected shape.
        DtypeError: they would lose their fraction in the dtype of `x`.
    """
    extended, entries = parse(x.shape, index)
    target = layout(entries).shape
    values = as_operand(values)
    kept = shape_of(values)
    while len(kept) > len(target) and kept[0] == 1:
        kept = kept[1:]
    if broadcast_shape("index update", target, kept) != target:
        raise ShapeError(
            f"values of shape {shape_of(values)} do not fit the selected elements, of shape {target}, at {user_line()}."
        )
    if not np.can_cast(strong(kind_of(values)), x.dtype, "same_kind"):
        raise DtypeError(
            f"floats do not fit into an array {x.dtype} without losing their fraction, at {user_line()}. Make the "
            "array of that dtype first: x.astype(np.float64)."
        )
    updates = broadcast(reshape(as_value(cast(values, x.dtype)), kept), target)
    whole = _whole_tail(extended, entries)
    if whole == len(extended):
        updates = reshape(updates, x.shape)
        return fresh(updates) if operation == "set" else x + updates
    rank = len(target) - whole
    positions = [broadcast(reshape(p, p.shape[:rank]), target[:rank]) for p in _mesh(entries)[: len(extended) - whole]]
    return reshape(bind(_OPERATIONS[operation], reshape(x, extended), updates, *positions), x.shape)


def _whole_tail(shape: tuple[int, ...], entries: Sequence[Entry]) -> int:
    """How many of the last axes an index leaves alone, so that it need not name their positions."""
    count = 0
    for entry, extent in zip(reversed(entries), reversed(shape), strict=False):
        if not isinstance(entry, Range) or entry != (0, 1, extent):
            break
        count += 1
    return count


class At:
    """`at(x)`, to be indexed; see `at`."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)


class Place:
    """`at(x)[index]`: what can be done to the selected elements. Each method returns a new array like `x`."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self) -> Any:
        """The selected elements."""
        return getitem(self._x, self._index)

    def set(self, values: Any) -> Any:
        """`x` with `values` written there; of repeated positions the last wins."""
        return _owned(update("set", self._x, self._index, values))

    def add(self, values: Any) -> Any:
        """`x` with `values` added there, at repeated positions as often as they occur."""
        return _owned(update("add", self._x, self._index, values))

    def multiply(self, values: Any) -> Any:
        """`x` with the elements there multiplied by `values`; positions must not repeat."""
        return self.set(self.get() * values)


def _owned(x: Any) -> Any:
    """An ndarray as a copy that the caller may change."""
    return np.array(x) if isinstance(x, np.ndarray) else x


def at(x: Any) -> At:
    """Functional updates of an array or a tracer.

    Args:
        x: array of any shape and dtype.

    Returns:
        An object to index: `at(x)[i].set(v)` is a copy of `x` with `x[i] = v`, `at(x)[i].add(v)` one after
        `np.add.at(x, i, v)`. Values are broadcast to the selected shape and converted to the dtype of `x`.

    >>> at(np.zeros(3))[1].set(5.0)
    array([0., 5., 0.])
    """
    return At(x if type(x) is Tracer else as_value(x))
