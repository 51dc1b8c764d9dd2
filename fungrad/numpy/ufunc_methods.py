"""`reduce`, `accumulate`, `outer` and `at` of ufuncs on tracers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import MutationError, UnsupportedError
from fungrad.numpy import reductions, ufuncs
from fungrad.numpy.promotion import as_value
from fungrad.numpy.shaping import axes_in, axis_in, moveaxis
from fungrad.primitives.reduce import kept_shape
from fungrad.primitives.shape import reshape
from fungrad.trace import user_line

_REDUCERS: dict[Any, Callable[..., Any]] = {
    np.add: reductions.sum_,
    np.multiply: reductions.prod,
    np.maximum: reductions.max_,
    np.minimum: reductions.min_,
    np.logical_or: reductions.any_,
    np.logical_and: reductions.all_,
}

_DEFAULTS: dict[str, Any] = {"where": True, "casting": "same_kind", "order": "K", "subok": True}

_ASSOCIATIVE = {*_REDUCERS, np.logaddexp, np.logaddexp2, np.fmax, np.fmin, np.hypot, np.bitwise_and, np.bitwise_or}
"""Binary ufuncs whose running results may be computed in any order."""

_OF_FLOATS = {np.logaddexp, np.logaddexp2, np.hypot}


def call_method(ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A method of a ufunc, or a call with options.

    Raises:
        UnsupportedError: it cannot be traced.
        MutationError: `ufunc.at`, which writes in place.
    """
    name = f"np.{ufunc.__name__}"
    if method == "at":
        raise MutationError(
            f"{name}.at writes in place, at {user_line()}. Use x = fungrad.numpy.at(x)[i].add(v), or .set(v)."
        )
    out = options.pop("out", None)
    if out is not None and any(x is not None for x in out):
        if options.get("where", True) is not True:
            raise UnsupportedError(
                f"{name} cannot write into out= while tracing, at {user_line()}. In place of {name}(x, where=c, out=b) "
                f"write np.where(c, {name}(np.where(c, x, safe)), b), with a number `safe` for which {name} is defined."
            )
        raise UnsupportedError(
            f"{name} cannot write into out= while tracing, at {user_line()}. Use the result: y = {name}(...); in "
            "place of `buffer += traced` write buffer = buffer + traced."
        )
    options = {n: v for n, v in options.items() if v is not None and v is not np._NoValue}
    if method == "__call__":
        for option, value in options.items():
            if type(value) not in (bool, str) or value != _DEFAULTS.get(option):
                raise UnsupportedError(
                    f"{name}: the option {option}= cannot be traced, at {user_line()}. Use np.where for where=, "
                    "astype for dtype=."
                )
        return ufuncs.call(ufunc, inputs)
    if method == "reduce":
        return _reduce(ufunc, *inputs, **options)
    if method == "accumulate":
        return _accumulate(ufunc, *inputs, **options)
    if method == "outer" and not options:
        return _outer(ufunc, *inputs)
    raise UnsupportedError(
        f"{name}.{method} cannot be traced, at {user_line()}. Use indexing with np.add.reduce or np.cumsum."
    )


def _reduce(
    ufunc: Any, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False, **options: Any
) -> Any:
    reducer = _REDUCERS.get(ufunc)
    if reducer is not None:
        if dtype is not None:
            options["dtype"] = dtype
        return reducer(a, axis, keepdims=keepdims, **options)
    if ufunc not in _ASSOCIATIVE or options:
        raise UnsupportedError(
            f"np.{ufunc.__name__}.reduce cannot be traced, at {user_line()}. Write a loop over the axis."
        )
    x = ufuncs.as_float(a) if ufunc in _OF_FLOATS else as_value(a)
    axes = axes_in(axis, x.ndim, f"{ufunc.__name__}.reduce")
    for i in reversed(axes):
        x = _folded(ufunc, moveaxis(x, i, 0))
    return reshape(x, kept_shape(as_value(a).shape, axes)) if keepdims else x


def _folded(ufunc: Any, x: Any) -> Any:
    """Results over the first axis, by halves."""
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        joined = ufunc(x[:half], x[half : 2 * half])
        x = np.concatenate([joined, x[2 * half :]]) if x.shape[0] % 2 else joined
    return x[0]


def _accumulate(ufunc: Any, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    if ufunc is np.add:
        return reductions.cumsum(array, axis, dtype)
    if ufunc is np.multiply:
        return reductions.cumprod(array, axis, dtype)
    if ufunc not in _ASSOCIATIVE or dtype is not None:
        raise UnsupportedError(
            f"np.{ufunc.__name__}.accumulate cannot be traced, at {user_line()}. Write a loop and np.stack."
        )
    x = ufuncs.as_float(array) if ufunc in _OF_FLOATS else as_value(array)
    return reductions.scan(ufunc, x, axis_in(axis, x.ndim, f"{ufunc.__name__}.accumulate"))


def _outer(ufunc: Any, a: Any, b: Any) -> Any:
    a, b = as_value(a), as_value(b)
    return ufuncs.call(ufunc, (reshape(a, a.shape + (1,) * b.ndim), b))
