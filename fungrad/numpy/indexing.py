"""Indexing: `x[index]` with every form NumPy has, and functional updates `at(x)[index].set(v)`.

An index is brought into a list of entries, one for each axis of `x` and one for each new axis. Slices and integers become
`Slice` and `Reshape`; arrays become one `Gather` along leading axes, with transpositions around it. An update writes at the
mesh of positions that the index selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, OutOfBoundsError, ShapeError
from fungrad.numpy.promotion import as_operand, broadcast_shape, cast, frozen, shape_of
from fungrad.primitives.convert import convert
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.shape import Flip, Slice, broadcast, reshape, transpose
from fungrad.trace import Tracer, bind, need_value, user_line


class NewAxis(NamedTuple):
    """An axis of extent 1 that the index inserts."""


class Range(NamedTuple):
    """A slice of one axis: `count` elements from `start`, `step` apart."""

    start: int
    step: int
    count: int


class Picked(NamedTuple):
    """One axis selected by an integer (0-d) or by an array of integers."""

    positions: Any
    is_array: bool  # a Python integer alone does not make an index advanced


Entry = NewAxis | Range | Picked


def parse(shape: tuple[int, ...], index: Any) -> tuple[tuple[int, ...], list[Entry]]:
    """An index as entries; also the shape it applies to, which has an extra axis for each 0-d boolean.

    Raises:
        OutOfBoundsError: too many indices, or an integer out of range.
        DtypeError: an index that is neither integer nor boolean.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    items = [item if item is None or item is Ellipsis or isinstance(item, slice | int) else _array_index(item) for item in items]
    consumed = sum(_consumes(item) for item in items)
    if sum(item is Ellipsis for item in items) > 1:
        raise ArgumentError(f"an index may contain one Ellipsis, got {index!r}, at {user_line()}.")
    if consumed > len(shape):
        raise OutOfBoundsError(
            f"too many indices: {consumed} for an array of {len(shape)} axes (shape {shape}), at {user_line()}."
        )
    rest = [slice(None)] * (len(shape) - consumed)
    for place, item in enumerate(items):
        if item is Ellipsis:
            items[place : place + 1] = rest
            break
    else:
        items += rest
    extents: list[int] = []
    entries: list[Entry] = []
    left = list(reversed(shape))
    for item in items:
        if item is None:
            entries.append(NewAxis())
        elif isinstance(item, slice):
            extents.append(left.pop())
            entries.append(_range(item, extents[-1]))
        elif isinstance(item, bool):
            extents.append(1)
            entries.append(Picked(np.zeros(int(item), np.int64), True))
        elif isinstance(item, int):
            extents.append(left.pop())
            entries.append(Picked(_checked(item, len(extents) - 1, extents[-1]), False))
        elif item.dtype == np.bool_:
            for positions in _nonzero(item, tuple(reversed(left[len(left) - item.ndim :]))):
                extents.append(left.pop())
                entries.append(Picked(positions, True))
        else:
            extents.append(left.pop())
            entries.append(Picked(_checked_array(item, len(extents) - 1, extents[-1]), True))
    return tuple(extents), entries


def _array_index(item: Any) -> Any:
    """An index that is an array, a tracer, a NumPy scalar or a list."""
    if isinstance(item, np.bool_):
        return bool(item)
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, list) and not item:
        return np.zeros(0, np.int64)
    if isinstance(item, str) or not (isinstance(item, list | tuple | Tracer) or hasattr(item, "__array__")):
        if hasattr(item, "__index__"):
            return int(item.__index__())
        raise DtypeError(
            f"an index must be an integer, a slice, None, Ellipsis or an array of integers or booleans, got {item!r}, "
            f"at {user_line()}."
        )
    found = as_operand(item)
    if found.dtype.kind not in "iub":
        raise DtypeError(
            f"an index array must have integers or booleans, got dtype {found.dtype}, at {user_line()}. "
            "Convert it with astype(np.int64)."
        )
    if found.ndim == 0 and found.dtype == np.bool_:
        return bool(_known(found))
    if found.ndim == 0 and type(found) is not Tracer:
        return int(found)
    return _known(found) if found.dtype == np.bool_ else found


def _known(mask: Any) -> Any:
    if type(mask) is not Tracer:
        return mask
    return need_value(
        mask,
        "indexing with a boolean mask",
        "The number of selected elements must be known. Use np.where(mask, x, 0), which keeps the shape.",
    )


def _consumes(item: Any) -> int:
    """How many axes of the array an index item stands for."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, slice | int):
        return 1
    return item.ndim if item.dtype == np.bool_ else 1


def _range(item: slice, extent: int) -> Range:
    for bound in (item.start, item.stop, item.step):
        if type(bound) is Tracer:
            need_value(bound, "a slice", "Use indices of fixed length, such as x[i + np.arange(n)].")
    start, stop, step = item.indices(extent)
    return Range(start, step, len(range(start, stop, step)))


def _checked(number: int, axis: int, extent: int) -> Any:
    if not -extent <= number < extent:
        raise OutOfBoundsError(f"index {number} is out of bounds for axis {axis} of extent {extent}, at {user_line()}.")
    return np.int64(number % extent)


def _checked_array(positions: Any, axis: int, extent: int) -> Any:
    if type(positions) is Tracer or not positions.size:
        return positions
    for number in (int(positions.min()), int(positions.max())):
        _checked(number, axis, extent)
    return positions


def _nonzero(mask: Any, shape: tuple[int, ...]) -> Sequence[Any]:
    if mask.shape != shape:
        raise OutOfBoundsError(
            f"a boolean mask of shape {mask.shape} does not fit the axes of shape {shape} it selects from, at {user_line()}."
        )
    return [frozen(positions) for positions in mask.nonzero()]


# -- reading ----------------------------------------------------------------------------------------------------------


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` for a tracer or an array."""
    shape, entries = parse(x.shape, index)
    x = _sliced(reshape(x, shape), entries)
    axes = [entry for entry in entries if not isinstance(entry, NewAxis)]
    if any(isinstance(entry, Picked) and (entry.is_array or type(entry.positions) is Tracer) for entry in axes):
        return _gathered(x, entries)
    extents = [1 if isinstance(entry, NewAxis) else entry.count for entry in entries if not isinstance(entry, Picked)]
    return reshape(x, tuple(extents))


def _sliced(x: Any, entries: Sequence[Entry]) -> Any:
    """The basic part of an index: ranges taken; integers too, as extents of 1, unless arrays are among the entries."""
    arrays = any(isinstance(entry, Picked) and entry.is_array for entry in entries)
    starts, stops, steps, flips = [], [], [], []
    axis = 0
    for entry in entries:
        if isinstance(entry, NewAxis):
            continue
        start, step, count = 0, 1, x.shape[axis]
        if isinstance(entry, Range):
            start, step, count = entry
        elif not arrays:
            start, count = int(entry.positions), 1
        if step < 0:
            start, step = start + (count - 1) * step, -step
            flips.append(axis)
        starts.append(start if count else 0)
        stops.append(start + (count - 1) * step + 1 if count else 0)
        steps.append(step if count > 1 else 1)
        axis += 1
    if any(starts) or tuple(stops) != x.shape or any(step != 1 for step in steps):
        x = bind(Slice(tuple(starts), tuple(stops), tuple(steps)), x)
    return bind(Flip(tuple(flips)), x) if flips else x


def _gathered(x: Any, entries: Sequence[Entry]) -> Any:
    """The advanced part: index arrays gather along leading axes, then their axes go where NumPy puts them."""
    places = [i for i, entry in enumerate(entries) if isinstance(entry, Picked)]
    together = places[-1] - places[0] + 1 == len(places)
    axes = [entry for entry in entries if not isinstance(entry, NewAxis)]
    picked = [axis for axis, entry in enumerate(axes) if isinstance(entry, Picked)]
    others = [axis for axis, entry in enumerate(axes) if not isinstance(entry, Picked)]
    positions = _broadcast_together([entries[i].positions for i in places])  # type: ignore[union-attr]
    found = bind(Gather(), transpose(x, (*picked, *others)), *positions)
    rank = len(positions[0].shape)
    before = sum(isinstance(entry, Range) for entry in entries[: places[0]]) if together else 0
    order = (*range(rank, rank + before), *range(rank), *range(rank + before, found.ndim))
    found = transpose(found, order)
    extents = list(found.shape)
    skipped = 0  # new axes already inserted
    for i, entry in enumerate(entries):
        if isinstance(entry, NewAxis):
            past = i > places[0] or not together
            ranges = sum(isinstance(e, Range) for e in entries[:i])
            extents.insert(ranges + skipped + (rank if past else 0), 1)
            skipped += 1
    return reshape(found, tuple(extents))


def _broadcast_together(positions: Sequence[Any]) -> list[Any]:
    shape = broadcast_shape("index arrays", *[p.shape for p in positions])
    return [broadcast(p, shape) for p in positions]


# -- writing ----------------------------------------------------------------------------------------------------------


def mesh(x: Any, index: Any) -> tuple[tuple[int, ...], tuple[int, ...], list[Any]]:
    """Where an index writes: the extended shape of `x`, the shape of `x[index]`, and positions for the leading axes."""
    shape, entries = parse(x.shape, index)
    target = _index_shape(shape, entries)
    places = [i for i, entry in enumerate(entries) if isinstance(entry, Picked)]
    arrays = any(isinstance(entries[i], Picked) and entries[i].is_array for i in places)  # type: ignore[union-attr]
    advanced = [entries[i].positions for i in places]  # type: ignore[union-attr]
    block = broadcast_shape("index arrays", *[p.shape for p in advanced]) if advanced else ()
    together = not arrays or places[-1] - places[0] + 1 == len(places)
    first = places[0] if places else 0
    lead = 0 if not together else sum(not isinstance(entry, Picked) for entry in entries[:first])
    result: list[Any] = []
    dim = 0  # the axis of the result a range or a new axis occupies, the block not counted
    for entry in entries:
        if isinstance(entry, NewAxis):
            dim += 1
        elif isinstance(entry, Range):
            axis = dim + (len(block) if dim >= lead else 0)
            numbers = entry.start + entry.step * np.arange(entry.count)
            result.append(numbers.reshape([entry.count if i == axis else 1 for i in range(len(target))]))
            dim += 1
        else:
            ones = (1,) * (len(target) - lead - len(block))
            result.append(reshape(entry.positions, (*(1,) * (lead + len(block) - entry.positions.ndim), *entry.positions.shape, *ones)))
    return shape, target, result


def _index_shape(shape: tuple[int, ...], entries: Sequence[Entry]) -> tuple[int, ...]:
    """The shape of the result of an index."""
    places = [i for i, entry in enumerate(entries) if isinstance(entry, Picked)]
    arrays = any(isinstance(entries[i], Picked) and entries[i].is_array for i in places)  # type: ignore[union-attr]
    others = [1 if isinstance(entry, NewAxis) else entry.count for entry in entries if not isinstance(entry, Picked)]
    if not places:
        return tuple(others)
    block = broadcast_shape("index arrays", *[entries[i].positions.shape for i in places])  # type: ignore[union-attr]
    together = not arrays or places[-1] - places[0] + 1 == len(places)
    lead = sum(not isinstance(entry, Picked) for entry in entries[: places[0]]) if together else 0
    return (*others[:lead], *block, *others[lead:])


def _update(op: Any, x: Any, index: Any, values: Any) -> Any:
    shape, target, positions = mesh(x, index)
    values = as_operand(values)
    kept = shape_of(values)
    while len(kept) > len(target) and kept[0] == 1:
        kept = kept[1:]
    if broadcast_shape("index update", target, kept) != target:
        raise ShapeError(f"values of shape {shape_of(values)} do not fit the selected shape {target}, at {user_line()}.")
    values = cast(values, x.dtype)
    updates = broadcast(reshape(values, kept), target)
    if not positions:
        return updates if isinstance(op, Scatter) else x + updates
    positions = [broadcast(p, target) for p in positions]
    return reshape(bind(op, reshape(x, shape), updates, *positions), x.shape)


class At:
    """`at(x)`: `x` with some elements changed, as new arrays. See `at`."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Place:
        return Place(self._x, index)


class Place:
    """`at(x)[index]`: what can be done to the selected elements. Every method returns a new array like `x`."""

    __slots__ = ("_index", "_x")

    def __init__(self, x: Any, index: Any) -> None:
        self._x = x
        self._index = index

    def get(self) -> Any:
        """The selected elements."""
        return getitem(self._x, self._index)

    def set(self, values: Any) -> Any:
        """`x` with `values` written there; of repeated positions the last wins."""
        return _update(Scatter(), self._x, self._index, values)

    def add(self, values: Any) -> Any:
        """`x` with `values` added there, repeated positions as often as they occur."""
        return _update(ScatterAdd(), self._x, self._index, values)

    def multiply(self, values: Any) -> Any:
        """`x` with the elements there multiplied by `values`; positions must not repeat."""
        return self.set(self.get() * values)


def at(x: Any) -> At:
    """Functional updates of an array or a tracer.

    Args:
        x: array of any shape and dtype.

    Returns:
        An object to index: `at(x)[i].set(v)` is a copy of `x` with `x[i] = v`, `at(x)[i].add(v)` one with
        `np.add.at(x, i, v)`. Values are broadcast to the selected shape and converted to the dtype of `x`.

    >>> at(np.zeros(3))[1].set(5.0)
    array([0., 5., 0.])
    """
    return At(as_operand(x))
