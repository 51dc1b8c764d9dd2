"""Functions that join, split, repeat, shift and pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError, UnsupportedError
from fungrad.numpy.indexing import getitem
from fungrad.numpy.promotion import as_operand, as_value, cast, common_dtype, stack_operands
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import atleast_1d, atleast_2d, atleast_3d, axes_in, axis_in, broadcast_to, ravel, reshape
from fungrad.numpy.updates import update
from fungrad.numpy.views import read
from fungrad.primitives import shape as primitives
from fungrad.primitives.convert import convert
from fungrad.trace import Tracer, bind, need_value, user_line


def along(axis: int, item: Any) -> tuple[Any, ...]:
    """The index that applies `item` to one axis."""
    return (*[slice(None)] * axis, item)


# -- joining ---------------------------------------------------------------------------------------------------------


@implements(np.concatenate)
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    values = [as_value(x) for x in arrays]
    if axis is None:
        values, axis = [ravel(x) for x in values], 0
    if any(x.ndim == 0 for x in values):
        raise ShapeError(f"np.concatenate: 0-d arrays cannot be joined, at {user_line()}. Use np.stack.")
    axis = axis_in(axis, values[0].ndim, "concatenate")
    result = common_dtype(*values) if dtype is None else np.dtype(dtype)
    first = values[0].shape
    for position, x in enumerate(values):
        if x.ndim != len(first) or x.shape[:axis] + x.shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ShapeError(
                f"np.concatenate along axis {axis}: array {position} has shape {x.shape}, the first has {first}, at "
                f"{user_line()}."
            )
    return bind(primitives.Concatenate(axis), *[cast(x, result) for x in values])


@implements(np.stack)
def stack(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    items = [as_operand(x) for x in arrays]
    if dtype is not None:
        items = [cast(x, np.dtype(dtype)) for x in items]
    return stack_operands(items, axis_in(axis, as_value(items[0]).ndim + 1, "stack"), "np.stack")


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    return concatenate([atleast_2d(x) for x in tup], 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    arrays = [atleast_1d(x) for x in tup]
    return concatenate(arrays, 0 if arrays[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    return concatenate([atleast_3d(x) for x in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    values = [as_value(x) for x in tup]
    return concatenate([x if x.ndim > 1 else reshape(x, (x.size, 1)) for x in values], 1)


@implements(np.block)
def block(arrays: Any) -> Any:
    depth, level = 0, arrays
    while isinstance(level, list):
        depth, level = depth + 1, level[0]

    def joined(part: Any, axis: int) -> Any:
        if not isinstance(part, list):
            x = as_value(part)
            return reshape(x, (1,) * max(0, depth - x.ndim) + x.shape)
        parts = [joined(p, axis + 1) for p in part]
        return concatenate(parts, axis + max(p.ndim for p in parts) - depth)

    return joined(arrays, 0)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    return concatenate([arr, values], axis) if axis is not None else concatenate([ravel(arr), ravel(values)])


# -- splitting -------------------------------------------------------------------------------------------------------


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    x = as_value(ary)
    axis = axis_in(axis, x.ndim, "array_split")
    extent = x.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        count = int(indices_or_sections)
        if count < 1:
            raise ArgumentError(
                f"np.array_split: the number of sections must be positive, got {count}, at {user_line()}."
            )
        small, larger = divmod(extent, count)
        ends = np.cumsum([small + 1] * larger + [small] * (count - larger)).tolist()
        starts = [0, *ends[:-1]]
    else:
        cuts = [int(i) for i in indices_or_sections]
        starts, ends = [0, *cuts], [*cuts, extent]
    return [_part(x, along(axis, slice(a, b))) for a, b in zip(starts, ends, strict=True)]


def _part(x: Any, index: Any) -> Any:
    return read(x, index) if type(x) is Tracer else x[index]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    x = as_value(ary)
    extent = x.shape[axis_in(axis, x.ndim, "split")]
    if isinstance(indices_or_sections, int | np.integer) and extent % indices_or_sections:
        raise ShapeError(
            f"np.split: {extent} elements along axis {axis} do not divide into {indices_or_sections} equal parts, at "
            f"{user_line()}. Use np.array_split."
        )
    return array_split(x, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0 if as_value(ary).ndim == 1 else 1)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    return split(ary, indices_or_sections, 2)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    x = as_value(x)
    axis = axis_in(axis, x.ndim, "unstack")
    return tuple([_part(x, along(axis, i)) for i in range(x.shape[axis])])


# -- repeating and rearranging ---------------------------------------------------------------------------------------


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    x = as_value(a)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_in(axis, x.ndim, "repeat")
    if type(repeats) is Tracer:
        repeats = need_value(repeats, "np.repeat", "The number of repeats must be known; pass it as a plain integer.")
    return getitem(x, along(axis, np.repeat(np.arange(x.shape[axis]), repeats)))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    x = as_value(A)
    counts = (reps,) if isinstance(reps, int | np.integer) else tuple(int(r) for r in reps)
    rank = max(x.ndim, len(counts))
    counts = (1,) * (rank - len(counts)) + counts
    extents = (1,) * (rank - x.ndim) + x.shape
    doubled = primitives.reshape(x, tuple([n for extent in extents for n in (1, extent)]))
    spread = broadcast_to(doubled, tuple([n for pair in zip(counts, extents, strict=True) for n in pair]))
    return primitives.reshape(spread, tuple([c * n for c, n in zip(counts, extents, strict=True)]))


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    x = as_value(a)
    if axis is None:
        return primitives.reshape(roll(primitives.reshape(x, (x.size,)), shift, 0), x.shape)
    for number, ax in np.broadcast(shift, axis):
        axis_number = axis_in(ax, x.ndim, "roll")
        extent = x.shape[axis_number]
        cut = -int(number) % extent if extent else 0
        if cut:
            parts = [getitem(x, along(axis_number, part)) for part in (slice(cut, None), slice(None, cut))]
            x = concatenate(parts, axis_number)
    return x


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    x = as_value(m)
    axes = axes_in(axis, x.ndim, "flip")
    return _part(x, tuple([slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)]))


@implements(np.flipud)
def flipud(m: Any) -> Any:
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    x = as_value(m)
    i, j = (axis_in(axis, x.ndim, "rot90") for axis in axes)
    for _ in range(k % 4):
        x = flip(np.swapaxes(x, i, j), i)
    return x


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    x = as_value(arr)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_in(axis, x.ndim, "delete")
    return getitem(x, along(axis, np.delete(np.arange(x.shape[axis]), obj)))


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    x = as_value(arr)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_in(axis, x.ndim, "insert")
    order = np.insert(np.arange(x.shape[axis]), obj, -1)
    added = along(axis, np.flatnonzero(order < 0))
    new = convert(as_value(values), x.dtype)
    if np.ndim(obj) == 0 and x.ndim > 1:  # values describe one slice; its place among the axes is `axis`
        new = np.moveaxis(primitives.reshape(new, (1,) * (x.ndim - new.ndim) + new.shape), 0, axis)
    if not x.shape[axis]:
        return broadcast_to(new, tuple([len(order) if i == axis else n for i, n in enumerate(x.shape)]))
    return update("set", getitem(x, along(axis, np.maximum(order, 0))), added, new)


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    x = as_value(array)
    widths = _pairs(pad_width, x.ndim)
    if mode in ("constant", "empty"):
        fills = kwargs.get("constant_values", 0)
        for axis, (before, after) in enumerate(widths):
            low, high = _fills(fills, x.ndim)[axis]
            x = _padded(_padded(x, axis, before, 0, low), axis, 0, after, high)
        return x
    if mode not in ("edge", "reflect", "symmetric", "wrap") or kwargs.get("reflect_type", "even") != "even":
        raise UnsupportedError(f"np.pad with mode={mode!r} cannot be traced, at {user_line()}. Use np.concatenate.")
    for axis, width in enumerate(widths):
        if any(width):
            x = getitem(x, along(axis, np.pad(np.arange(x.shape[axis]), width, mode=mode)))
    return x


def _pairs(values: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(values, dict):  # axes that are not named stay as they are
        given: list[Any] = [values.get(axis, values.get(axis - ndim, 0)) for axis in range(ndim)]
        values = [np.broadcast_to(widths, 2) for widths in given]
    return [(int(a), int(b)) for a, b in np.broadcast_to(values, (ndim, 2))]


def _fills(values: Any, ndim: int) -> Sequence[Any]:
    if type(values) is Tracer:
        return [(values, values)] * ndim
    return list(map(tuple, np.broadcast_to(values, (ndim, 2)).tolist()))


def _padded(x: Any, axis: int, before: int, after: int, fill: Any) -> Any:
    widths = [tuple([n if i == axis else 0 for i in range(x.ndim)]) for n in (before, after)]
    return primitives.pad(x, cast(fill, x.dtype), widths[0], widths[1], (0,) * x.ndim)
