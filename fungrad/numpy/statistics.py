"""Averages, spreads, order statistics, and reductions that leave out nan."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError, UnsupportedError
from fungrad.numpy import reductions
from fungrad.numpy.conversions import known_value
from fungrad.numpy.indexing import getitem
from fungrad.numpy.promotion import as_operand, as_value, cast
from fungrad.numpy.reductions import UNSET, count_along
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axes_in, moveaxis
from fungrad.numpy.sorting import sort
from fungrad.numpy.updates import update
from fungrad.primitives.reduce import kept_shape
from fungrad.primitives.shape import reshape
from fungrad.trace import user_line


def as_float(a: Any, dtype: Any = None) -> Any:
    """An array in the float dtype NumPy computes statistics in."""
    x = as_value(a)
    if dtype is not None:
        return cast(x, np.dtype(dtype))
    return x if x.dtype.kind == "f" else cast(x, np.dtype(np.float64))


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    x = as_float(a, dtype)
    less = ddof if correction is UNSET else correction
    if where is not True and where is not UNSET:
        raise UnsupportedError(f"np.var with where= cannot be traced, at {user_line()}. Use np.average with weights.")
    center = reductions.mean(x, axis, keepdims=True) if mean is UNSET else mean
    total = reductions.sum_(np.square(x - center), axis, None, None, keepdims)
    return total / max(count_along(x, axis, "var") - less, 0)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = True,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    return np.sqrt(var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction))


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False) -> Any:
    x = as_value(a)
    if weights is None:
        result = reductions.mean(x, axis, keepdims=keepdims)
        return (result, np.full_like(result, count_along(x, axis, "average"))) if returned else result
    w = as_value(weights)
    if w.shape != x.shape:
        axes = axes_in(axis, x.ndim, "average")
        if axis is None or w.shape != tuple(x.shape[i] for i in axes):
            raise ShapeError(f"np.average: weights have shape {w.shape}, the array {x.shape}, at {user_line()}.")
        w = np.broadcast_to(reshape(w, tuple([n if i in axes else 1 for i, n in enumerate(x.shape)])), x.shape)
    total = reductions.sum_(w, axis, None, None, keepdims)
    result = reductions.sum_(x * w, axis, None, None, keepdims) / total
    return (result, total) if returned else result


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    if fweights is not None or aweights is not None:
        raise UnsupportedError(f"np.cov with weights cannot be traced, at {user_line()}.")
    dtype = np.float64 if dtype is None else dtype  # as NumPy: of float32 too
    x = np.atleast_2d(as_float(m, dtype))
    x = x if rowvar or x.shape[0] == 1 else x.T
    if y is not None:
        other = np.atleast_2d(as_float(y, dtype))
        x = np.concatenate([x, other if rowvar or other.shape[0] == 1 else other.T])
    x = x - reductions.mean(x, 1, keepdims=True)
    less = ddof if ddof is not None else int(not bias)
    return np.squeeze(x @ x.T / (x.shape[1] - less))


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    spread = np.sqrt(np.diagonal(c))
    return c / spread[:, None] / spread[None, :]


# -- order statistics ------------------------------------------------------------------------------------------------


def _reduced_last(x: Any, axis: Any, name: str) -> tuple[Any, tuple[int, ...]]:
    """The array with the reduced axes merged into the last one."""
    axes = axes_in(axis, x.ndim, name)
    others = tuple(i for i in range(x.ndim) if i not in axes)
    moved = moveaxis(x, others, tuple(range(len(others)))) if others else x
    return reshape(moved, (*[x.shape[i] for i in others], count_along(x, axis, name))), axes


@implements(np.quantile)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
) -> Any:
    if method not in ("linear", "lower", "higher", "midpoint"):
        raise UnsupportedError(f"np.quantile with method={method!r} cannot be traced, at {user_line()}. Use 'linear'.")
    exact = method in ("lower", "higher")  # one of the numbers
    x = as_value(a) if exact else as_float(a)
    weak = x.dtype if x.dtype.kind == "f" else np.float64
    q = np.asarray(q, weak if type(q) in (int, float) else None)  # a Python number takes the dtype of the array
    gamma = x.dtype if q.dtype == x.dtype else np.dtype(np.float64)
    if not ((q >= 0) & (q <= 1)).all():
        raise ArgumentError(f"np.quantile: q must lie between 0 and 1, got {q}, at {user_line()}.")
    flat, axes = _reduced_last(x, axis, "quantile")
    n = flat.shape[-1]
    if n == 0:
        raise ShapeError(f"np.quantile: shape {x.shape} has no elements along axis {axis}, at {user_line()}.")
    ordered = sort(flat)
    place = q.astype(np.float64) * (n - 1)
    low, high = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
    below, above = getitem(ordered, (..., low)), getitem(ordered, (..., high))
    if exact:
        result = below if method == "lower" else above
    else:
        t = np.asarray(place - low if method == "linear" else 0.5 * (high > low), gamma)
        gap = above - below
        result = np.where(t < 0.5, below + gap * t, above - gap * (1 - t))  # from the nearer of the two
    if x.dtype.kind == "f":
        lost = reductions.any_(np.isnan(flat), -1)
        result = np.where(reshape(lost, (*lost.shape, *[1] * q.ndim)), np.nan, result)
    result = (
        moveaxis(result, tuple(range(result.ndim - q.ndim, result.ndim)), tuple(range(q.ndim))) if q.ndim else result
    )
    if keepdims and keepdims is not UNSET:
        result = reshape(result, (*q.shape, *kept_shape(x.shape, axes)))
    return result


@implements(np.percentile)
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
) -> Any:
    fraction = q / 100 if type(q) in (int, float) else np.asarray(q) / 100
    return quantile(a, fraction, axis, None, False, method, keepdims)


@implements(np.median)
def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False) -> Any:
    x = as_float(a)
    if not x.size:
        return reductions.mean(x, axis, keepdims=keepdims)  # nan
    return quantile(x, 0.5, axis, None, False, "linear", keepdims)


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    positions = known_value(
        as_value(x),
        "np.bincount",
        "Say how many bins there are: fungrad.numpy.at(np.zeros(n))[x].add(weights).",
    )
    bins = np.bincount(positions, None, minlength)  # checks them, too
    if weights is not None and np.shape(weights) != np.shape(positions):
        raise ShapeError(
            f"np.bincount: x has the shape {np.shape(positions)}, its weights {np.shape(weights)}, at {user_line()}."
        )
    return bins if weights is None else update("add", np.zeros(len(bins)), positions, as_float(weights))


# -- leaving out nan -------------------------------------------------------------------------------------------------


def _present(a: Any, otherwise: Any) -> tuple[Any, Any]:
    """The array with nan replaced, and where it was present."""
    x = as_value(a)
    missing = np.isnan(x)
    return np.where(missing, otherwise, x), ~missing


@implements(np.nansum)
def nansum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return reductions.sum_(_present(a, 0)[0], axis, dtype, None, keepdims)


@implements(np.nanprod)
def nanprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return reductions.prod(_present(a, 1)[0], axis, dtype, None, keepdims)


@implements(np.nanmean)
def nanmean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    x, present = _present(as_float(a, dtype), 0)
    count = reductions.sum_(present, axis, x.dtype, None, keepdims)
    return reductions.sum_(x, axis, None, None, keepdims) / count


@implements(np.nanvar)
def nanvar(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False) -> Any:
    x, present = _present(as_float(a, dtype), 0)
    count = reductions.sum_(present, axis, x.dtype, None, True)
    center = reductions.sum_(x, axis, None, None, True) / count
    total = reductions.sum_(np.square(np.where(present, x - center, 0)), axis, None, None, keepdims)
    return total / (reductions.sum_(present, axis, x.dtype, None, keepdims) - ddof)


@implements(np.nanstd)
def nanstd(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False) -> Any:
    return np.sqrt(nanvar(a, axis, dtype, None, ddof, keepdims))


@implements(np.nanmax)
def nanmax(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return _nan_extremum(reductions.max_, -np.inf, a, axis, keepdims)


@implements(np.nanmin)
def nanmin(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return _nan_extremum(reductions.min_, np.inf, a, axis, keepdims)


def _nan_extremum(extremum: Any, otherwise: float, a: Any, axis: Any, keepdims: Any) -> Any:
    if as_value(a).dtype.kind != "f":
        return extremum(a, axis, None, keepdims)
    x, present = _present(as_operand(a), otherwise)
    return np.where(reductions.any_(present, axis, None, keepdims), extremum(x, axis, None, keepdims), np.nan)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    return reductions.cumsum(_present(a, 0)[0], axis, dtype)
