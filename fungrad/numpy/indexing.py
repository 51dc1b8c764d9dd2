"""Indexing: `x[index]` with every form NumPy has.

An index is brought into a list of entries, one for each axis of `x` and one for each new axis. Slices and integers
become `Slice` and `Reshape`; arrays become one `Gather` along leading axes, with transpositions around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, OutOfBoundsError
from fungrad.numpy.promotion import as_operand, broadcast_shape, frozen
from fungrad.primitives.index import Gather
from fungrad.primitives.shape import Flip, Slice, broadcast, reshape, transpose
from fungrad.trace import STATIC, Tracer, bind, need_value, user_line


class NewAxis(NamedTuple):
    """An axis of extent 1 that the index inserts."""


class Range(NamedTuple):
    """A slice of one axis: `count` elements from `start`, `step` apart."""

    start: int
    step: int
    extent: int


class Picked(NamedTuple):
    """One axis selected by an integer (0-d) or by an array of integers."""

    positions: Any
    is_array: bool  # False for one integer, which alone does not make an index advanced


Entry = NewAxis | Range | Picked


def parse(shape: tuple[int, ...], index: Any) -> tuple[tuple[int, ...], list[Entry]]:
    """An index as entries; also the shape it applies to, which has an extra axis for each 0-d boolean.

    Raises:
        OutOfBoundsError: too many indices, or an integer out of range.
        DtypeError: an index that is neither integer nor boolean.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    items = [
        item if item is None or item is Ellipsis or isinstance(item, slice | int) else _array_index(item)
        for item in items
    ]
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
            entries.append(Picked(_checked_array(item, len(extents) - 1, extents[-1]), item.ndim > 0))
    return tuple(extents), entries


def _array_index(item: Any) -> Any:
    """An index that is an array, a tracer, a NumPy scalar or a list."""
    if isinstance(item, np.bool_):
        return bool(item)
    if isinstance(item, np.integer) and not isinstance(item, np.timedelta64):
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
            need_value(bound, "a slice", f"Use indices of fixed length, such as x[i + np.arange(n)]. {STATIC}")
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
            f"a boolean mask of shape {mask.shape} does not fit the axes of shape {shape} it selects from, at "
            f"{user_line()}."
        )
    return [frozen(positions) for positions in mask.nonzero()]


# -- the result's axes ----------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """Where the axes of `x[index]` come from: `lead` ranges and new axes, the block of index arrays, the others."""

    lead: int
    block: tuple[int, ...]
    shape: tuple[int, ...]


def layout(entries: Sequence[Entry]) -> Layout:
    """NumPy's rule: the block takes the place of adjacent index arrays, and goes first if they are separated."""
    places = [i for i, entry in enumerate(entries) if isinstance(entry, Picked)]
    others = [1 if isinstance(entry, NewAxis) else entry.extent for entry in entries if not isinstance(entry, Picked)]
    block = broadcast_shape("index arrays", *[p.shape for p in positions_of(entries)]) if places else ()
    adjacent = not places or places[-1] - places[0] + 1 == len(places)
    lead = places[0] if places and adjacent else 0
    return Layout(lead, block, (*others[:lead], *block, *others[lead:]))


def positions_of(entries: Sequence[Entry]) -> list[Any]:
    """The index arrays among entries."""
    return [entry.positions for entry in entries if isinstance(entry, Picked)]


# -- reading ---------------------------------------------------------------------------------------------------------


def getitem(x: Any, index: Any) -> Any:
    """`x[index]` for a tracer or an array; `x` itself if the index selects all of it."""
    shape, entries = parse(x.shape, index)
    x = reshape(x, shape)
    gathers = any(isinstance(e, Picked) and (e.is_array or type(e.positions) is Tracer) for e in entries)
    x = _sliced(x, entries, not gathers)
    if gathers:
        return _gathered(x, entries)
    return reshape(x, layout(entries).shape)


def _sliced(x: Any, entries: Sequence[Entry], integers: bool) -> Any:
    """The ranges of an index taken; its integers too if `integers`, as extents of 1."""
    starts, stops, steps, flips = [], [], [], []
    for axis, entry in enumerate([entry for entry in entries if not isinstance(entry, NewAxis)]):
        start, step, count = 0, 1, x.shape[axis]
        if isinstance(entry, Range):
            start, step, count = entry
        elif integers:
            start, count = int(entry.positions), 1
        if step < 0:
            start, step = start + (count - 1) * step, -step
            flips.append(axis)
        starts.append(start if count else 0)
        stops.append(start + (count - 1) * step + 1 if count else 0)
        steps.append(step if count > 1 else 1)
    if tuple(stops) != x.shape or any(starts) or any(step != 1 for step in steps):
        x = bind(Slice(tuple(starts), tuple(stops), tuple(steps)), x)
    return bind(Flip(tuple(flips)), x) if flips else x


def _gathered(x: Any, entries: Sequence[Entry]) -> Any:
    """The index arrays gather along leading axes; then their axes go where NumPy puts them."""
    axes = [entry for entry in entries if not isinstance(entry, NewAxis)]
    picked = [axis for axis, entry in enumerate(axes) if isinstance(entry, Picked)]
    others = [axis for axis, entry in enumerate(axes) if not isinstance(entry, Picked)]
    lead, block, shape = layout(entries)
    positions = [broadcast(p, block) for p in positions_of(entries)]
    found = bind(Gather(), transpose(x, (*picked, *others)), *positions)
    before = sum(isinstance(entry, Range) for entry in entries[:lead])
    rank = len(block)
    found = transpose(found, (*range(rank, rank + before), *range(rank), *range(rank + before, found.ndim)))
    return reshape(found, shape)
