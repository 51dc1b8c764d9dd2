"""Differences, integrals, interpolation, polynomials and convolutions of sampled functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError, UnsupportedError
from fungrad.ir.types import BOOL
from fungrad.numpy.indexing import getitem
from fungrad.numpy.joining import along, concatenate
from fungrad.numpy.promotion import as_value
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axes_in, axis_in, axis_order
from fungrad.numpy.sorting import searchsorted
from fungrad.numpy.statistics import as_float
from fungrad.primitives.convert import convert
from fungrad.primitives.shape import broadcast, reshape
from fungrad.trace import user_line

UNSET: Any = np._NoValue


def _shaped_along(x: Any, axis: int, ndim: int) -> Any:
    """A 1-D array laid along one axis of an array of `ndim` axes."""
    return reshape(x, tuple([x.size if i == axis else 1 for i in range(ndim)]))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: Any = -1, prepend: Any = UNSET, append: Any = UNSET) -> Any:
    x = as_value(a)
    if n < 0:
        raise ArgumentError(f"np.diff: n must not be negative, got {n}, at {user_line()}.")
    if x.ndim == 0:
        raise ShapeError(f"np.diff needs at least 1 axis, got a 0-d array, at {user_line()}.")
    axis = axis_in(axis, x.ndim, "diff")
    edge = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    ends = [e if e is UNSET else as_value(e) for e in (prepend, append)]
    before, after = ([] if e is UNSET else [broadcast(e, edge) if e.ndim == 0 else e] for e in ends)
    if before or after:
        x = concatenate([*before, x, *after], axis)
    subtract = np.not_equal if x.dtype == BOOL else np.subtract
    for _ in range(n):
        x = subtract(getitem(x, along(axis, slice(1, None))), getitem(x, along(axis, slice(None, -1))))
    return x


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    x = as_value(ary)
    inner = diff(reshape(x, (x.size,)))
    ends = [[] if e is None else [reshape(as_value(e), (as_value(e).size,))] for e in (to_begin, to_end)]
    return concatenate([*ends[0], inner, *ends[1]]) if to_end is not None or to_begin is not None else inner


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Any:
    values = as_value(y)
    axis = axis_in(axis, values.ndim, "trapezoid")
    if x is None:
        width: Any = dx
    else:
        points = as_value(x)
        width = _shaped_along(diff(points), axis, values.ndim) if points.ndim == 1 else diff(points, axis=axis)
    left, right = getitem(values, along(axis, slice(1, None))), getitem(values, along(axis, slice(None, -1)))
    return np.sum(width * (left + right) / 2.0, axis=axis)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    x = as_float(f)
    if edge_order != 1:
        raise UnsupportedError(f"np.gradient with edge_order={edge_order} cannot be traced, at {user_line()}. Use 1.")
    axes = axes_in(axis, x.ndim, "gradient")
    spacings = list(varargs) if varargs else [1.0]
    spacings = spacings * len(axes) if len(spacings) == 1 else spacings
    if len(spacings) != len(axes):
        raise ArgumentError(f"np.gradient: {len(spacings)} spacings for {len(axes)} axes, at {user_line()}.")
    found = [_slope(x, h, i) for h, i in zip(spacings, axes, strict=True)]
    return found[0] if len(axes) == 1 else tuple(found)


def _slope(x: Any, spacing: Any, axis: int) -> Any:
    """Second-order differences inside, first-order ones at the ends."""
    n = x.shape[axis]
    if n < 2:
        raise ShapeError(f"np.gradient: axis {axis} of shape {x.shape} has fewer than 2 elements, at {user_line()}.")
    h = np.asarray(spacing, x.dtype) if type(spacing) in (int, float) else as_value(spacing)
    steps = diff(h) if h.ndim else broadcast(h, (n - 1,))
    is_even = not h.ndim or (isinstance(steps, np.ndarray) and bool((steps == steps[0]).all()))
    rises = diff(x, axis=axis) / _shaped_along(steps, axis, x.ndim)
    before, after = (getitem(rises, along(axis, part)) for part in (slice(None, -1), slice(1, None)))
    left, right = (_shaped_along(steps[part], axis, x.ndim) for part in (slice(None, -1), slice(1, None)))
    if is_even:  # the element between is not read
        outer = (getitem(x, along(axis, part)) for part in (slice(2, None), slice(None, -2)))
        inside = np.subtract(*outer) / (2 * _shaped_along(steps[1:], axis, x.ndim))
    else:
        inside = (before * right + after * left) / (left + right)
    ends = [getitem(rises, along(axis, part)) for part in (slice(None, 1), slice(-1, None))]
    return convert(concatenate([ends[0], inside, ends[1]], axis), x.dtype)


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    x, xp, fp = as_float(x), as_float(xp), as_float(fp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(
            f"np.interp: xp and fp must be 1-d of one length, got {xp.shape} and {fp.shape}, at {user_line()}."
        )
    if period is not None:
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = getitem(xp, order), getitem(fp, order)
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    if xp.size == 1:
        inside = broadcast(fp[0], x.shape)
    else:
        i = np.clip(searchsorted(xp, x, "right"), 1, xp.size - 1)
        x0, x1, f0, f1 = (getitem(v, k) for v in (xp, fp) for k in (i - 1, i))
        inside = f0 + (f1 - f0) / (x1 - x0) * (x - x0)
    low = fp[0] if left is None else left
    high = fp[-1] if right is None else right
    return np.where(x < xp[0], low, np.where(x > xp[-1], high, inside))


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    coefficients, x = as_value(p), as_value(x)
    y = np.zeros_like(x)
    for k in range(coefficients.shape[0]):  # Horner's rule
        y = y * x + coefficients[k]
    return y


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    x = as_value(x)
    x = convert(x, np.promote_types(x.dtype, np.int64))
    n = x.size if N is None else int(N)
    powers = [np.ones_like(x)]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    return np.stack(powers if increasing else powers[::-1], axis=-1)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    a, v = np.atleast_1d(as_value(a), as_value(v))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ShapeError(
            f"np.convolve needs two 1-d arrays that are not empty, got {a.shape} and {v.shape}, at {user_line()}."
        )
    if a.size < v.size:
        a, v = v, a
    n, m = a.size, v.size
    padded = np.pad(a, m - 1)
    windows = padded[np.arange(n + m - 1)[:, None] + np.arange(m)]
    full = windows @ v[::-1]
    if mode == "full":
        return full
    if mode == "same":
        return full[(m - 1) // 2 : (m - 1) // 2 + n]
    if mode == "valid":
        return full[m - 1 : n]
    raise ArgumentError(f"np.convolve: mode must be 'full', 'same' or 'valid', got {mode!r}, at {user_line()}.")


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    a, v = as_value(a), as_value(v)
    if mode != "full" and a.size < v.size:
        return convolve(a[::-1], v, mode)[::-1]
    return convolve(a, v[::-1], mode)


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    x = as_value(x)
    extents = tuple([int(n) for n in np.atleast_1d(window_shape)])
    axes = axis_order(tuple(range(x.ndim)) if axis is None else axis, x.ndim, "sliding_window_view")
    if len(extents) != len(axes):
        raise ArgumentError(
            f"sliding_window_view: window_shape {window_shape} is for {len(extents)} axes, axis={axis} names "
            f"{len(axes)} of shape {x.shape}, at {user_line()}."
        )
    for extent, i in zip(extents, axes, strict=True):
        count = x.shape[i] - extent + 1
        if extent < 0 or count < 1:
            raise ShapeError(
                f"sliding_window_view: a window of {extent} does not fit into axis {i} of shape {x.shape}, at "
                f"{user_line()}."
            )
        places = np.arange(count)[:, None] + np.arange(extent)
        x = np.moveaxis(getitem(x, along(i, places)), i + 1, -1)
    return x


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: Any = -1, *, period: Any = 2 * np.pi) -> Any:
    x = as_float(p)
    axis = axis_in(axis, x.ndim, "unwrap")
    steps = diff(x, axis=axis)
    half = period / 2
    wrapped = (steps + half) % period - half
    wrapped = np.where((wrapped == -half) & (steps > 0), half, wrapped)
    correction = np.where(np.abs(steps) < max(half, discont or half), 0.0, wrapped - steps)
    first, rest = getitem(x, along(axis, slice(None, 1))), getitem(x, along(axis, slice(1, None)))
    return concatenate([first, rest + np.cumsum(correction, axis=axis)], axis)


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    x = as_value(arr)
    axis = axis_in(axis, x.ndim, "apply_along_axis")
    moved = np.moveaxis(x, axis, -1)
    lead = moved.shape[:-1]
    results = [as_value(func1d(moved[i], *args, **kwargs)) for i in np.ndindex(*lead)]
    stacked = np.stack(results)
    inner = stacked.shape[1:]
    stacked = reshape(stacked, (*lead, *inner))
    places = tuple(range(len(lead), len(lead) + len(inner)))
    return np.moveaxis(stacked, places, tuple(range(axis, axis + len(inner)))) if inner else stacked
