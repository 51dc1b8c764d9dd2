"""Norms. At the origin, where a norm has no derivative, it is taken as 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axes_in, axis_order
from fungrad.numpy.ufuncs import as_float
from fungrad.primitives.reduce import kept_shape
from fungrad.primitives.shape import reshape
from fungrad.trace import user_line


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = as_float(x)
    if axis is None and ord is None:  # the 2-norm of all elements, whatever the shape
        return _euclidean(x, axes_in(None, x.ndim, "linalg.norm"), keepdims)
    axes = axes_in(None, x.ndim, "linalg.norm") if axis is None else axis_order(axis, x.ndim, "linalg.norm")
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ArgumentError(f"np.linalg.norm: axis must name 1 or 2 axes of shape {x.shape}, got {axis}, at {user_line()}.")


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    x = as_float(x)
    return _vector_norm(x, ord, axes_in(axis, x.ndim, "linalg.vector_norm"), keepdims)


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    return norm(x, ord, (-2, -1), keepdims)


def _euclidean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return _root(np.sum(np.square(x), axis=axes, keepdims=keepdims))


def _root(total: Any) -> Any:
    """The square root of a sum of squares, with derivative 0 at 0."""
    zero = total == 0
    return np.where(zero, 0.0, np.sqrt(np.where(zero, 1.0, total)))


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord is None or ord == 2:
        return _euclidean(x, axes, keepdims)
    if isinstance(ord, str):
        raise ArgumentError(f"np.linalg.norm: {ord!r} is a norm of matrices, got a vector, at {user_line()}.")
    size = np.abs(x)
    if ord == np.inf:
        return np.max(size, axis=axes, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axes, keepdims=keepdims)
    if ord == 0:
        return np.sum((x != 0).astype(x.dtype), axis=axes, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axes, keepdims=keepdims)
    total = np.sum(size**ord, axis=axes, keepdims=keepdims)
    zero = total == 0
    return np.where(zero, 0.0, np.where(zero, 1.0, total) ** (1.0 / ord))


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord is None or ord == "fro":
        return _euclidean(x, axes, keepdims)
    rows, columns = axes
    if ord in (2, -2, "nuc"):
        values = np.linalg.svd(np.moveaxis(x, axes, (-2, -1)), compute_uv=False)
        combine: Any = {2: np.max, -2: np.min, "nuc": np.sum}[ord]
        result = combine(values, axis=-1)
        return reshape(result, kept_shape(x.shape, axes)) if keepdims else result
    if ord not in (1, -1, np.inf, -np.inf):
        raise ArgumentError(
            f"np.linalg.norm: ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf for matrices, got {ord!r}, at "
            f"{user_line()}."
        )
    summed, compared = (rows, columns) if abs(ord) == 1 else (columns, rows)
    totals = np.sum(np.abs(x), axis=summed, keepdims=True)
    extreme = np.max if ord > 0 else np.min
    result = extreme(totals, axis=(compared, summed))
    return reshape(result, kept_shape(x.shape, axes)) if keepdims else result
