"""Functions that combine elements along axes: sums, products, extrema, logic, positions, running sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError
from fungrad.ir.types import BOOL, INT
from fungrad.numpy.indexing import getitem
from fungrad.numpy.promotion import as_operand, as_value, cast
from fungrad.numpy.registry import implements
from fungrad.numpy.shaping import axes_in, axis_in, ravel
from fungrad.numpy.ufuncs import where as choose
from fungrad.primitives.convert import convert
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum, kept_shape
from fungrad.primitives.shape import Concatenate, reshape
from fungrad.trace import Tracer, bind, user_line

UNSET: Any = np._NoValue


def count_along(x: Any, axis: Any, name: str) -> int:
    """How many elements each result of a reduction combines."""
    return math.prod(x.shape[i] for i in axes_in(axis, x.ndim, name))


def sum_dtype(x: Any, dtype: Any) -> Any:
    """The dtype in which NumPy sums and multiplies: small integers are widened."""
    if dtype is not None:
        return np.dtype(dtype)
    if x.dtype.kind in "bi":
        return INT
    return np.dtype(np.uint64) if x.dtype.kind == "u" else x.dtype


def reduce(name: str, primitive: Any, x: Any, axis: Any, keepdims: Any) -> Any:
    """A reducing primitive, made from its axes, applied along `axis`."""
    axes = axes_in(axis, x.ndim, name)
    result = bind(primitive(axes), x)
    return reshape(result, kept_shape(x.shape, axes)) if keepdims and keepdims is not UNSET else result


def _masked(x: Any, where: Any, otherwise: Any) -> Any:
    """`x` where the option `where` is true."""
    return x if where is True or where is UNSET else choose(where, x, otherwise)


def _given(option: Any) -> bool:
    return option is not None and option is not UNSET


@implements(np.sum)
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    x = as_value(a)
    x = _masked(convert(x, sum_dtype(x, dtype)), where, 0)
    total = reduce("sum", Sum, x, axis, keepdims)
    return total + cast(initial, total.dtype) if _given(initial) else total


@implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = True,
) -> Any:
    x = as_value(a)
    x = _masked(convert(x, sum_dtype(x, dtype)), where, 1)
    product = reduce("prod", lambda axes: Reduce("prod", axes), x, axis, keepdims)
    return product * cast(initial, product.dtype) if _given(initial) else product


@implements(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True
) -> Any:
    x = as_value(a)
    if dtype is None and x.dtype.kind != "f":
        dtype = np.float64
    total = sum_(x, axis, dtype, None, keepdims, None, where)
    if where is True or where is UNSET:
        result = total / count_along(x, axis, "mean")
    else:
        chosen = np.broadcast_to(convert(as_value(where), total.dtype), x.shape)
        result = total / np.sum(chosen, axis=axis, keepdims=bool(keepdims) and keepdims is not UNSET)
    return result if dtype is None else convert(result, np.dtype(dtype))


def _extremum(kind: str, a: Any, axis: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    x = as_value(a)
    pair = np.maximum if kind == "max" else np.minimum
    if where is not True and where is not UNSET:
        if not _given(initial):
            raise ArgumentError(
                f"np.{kind} with where= needs initial=, the result where nothing is chosen, at {user_line()}."
            )
        x = choose(where, x, initial)
    if 0 in x.shape and count_along(x, axis, kind) == 0:
        if _given(initial):
            return np.full(np.max(np.zeros(x.shape), axis=axis, initial=0.0).shape, initial, x.dtype)
        raise ShapeError(f"np.{kind}: shape {x.shape} has no elements along axis {axis}, at {user_line()}.")
    name = {"max": "any", "min": "all"}[kind] if x.dtype == BOOL else kind
    result = reduce(kind, lambda axes: Reduce(name, axes), x, axis, keepdims)
    if not _given(initial):
        return result
    return pair(result, bool(initial) if x.dtype == BOOL and type(initial) is not Tracer else initial)


@implements(np.max, np.amax)
def max_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Any:
    return _extremum("max", a, axis, keepdims, initial, where)


@implements(np.min, np.amin)
def min_(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, initial: Any = None, where: Any = True
) -> Any:
    return _extremum("min", a, axis, keepdims, initial, where)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    return max_(a, axis, None, keepdims) - min_(a, axis, None, keepdims)


# -- logic -----------------------------------------------------------------------------------------------------------


def _truth(x: Any) -> Any:
    return x if x.dtype == BOOL else np.not_equal(x, 0)


@implements(np.any)
def any_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    return reduce("any", lambda axes: Reduce("any", axes), _masked(_truth(as_value(a)), where, False), axis, keepdims)


@implements(np.all)
def all_(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = True) -> Any:
    return reduce("all", lambda axes: Reduce("all", axes), _masked(_truth(as_value(a)), where, True), axis, keepdims)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    return sum_(_truth(as_value(a)), axis, None, None, keepdims)


# -- positions -------------------------------------------------------------------------------------------------------


def _position(kind: str, a: Any, axis: Any, keepdims: Any) -> Any:
    x = as_value(a)
    shape = x.shape
    flat = axis is None
    if flat:
        x, axis = reshape(x, (x.size,)), 0
    axis = axis_in(axis, x.ndim, f"arg{kind}")
    if x.shape[axis] == 0:
        raise ShapeError(f"np.arg{kind}: shape {shape} has no elements to choose from, at {user_line()}.")
    found = bind(ArgReduce(kind, axis), x)
    if keepdims and keepdims is not UNSET:
        return reshape(found, (1,) * len(shape) if flat else kept_shape(shape, (axis,)))
    return found


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    return _position("max", a, axis, keepdims)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Any:
    return _position("min", a, axis, keepdims)


# -- running results -------------------------------------------------------------------------------------------------


def _laid_out(a: Any, axis: Any, name: str) -> tuple[Any, int]:
    """The array and the axis to run along; flattened if the axis is None."""
    x = as_value(a)
    if axis is None:
        return reshape(x, (x.size,)), 0
    return x, axis_in(axis, x.ndim, name)


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    x, axis = _laid_out(a, axis, "cumsum")
    return bind(CumSum(axis), convert(x, sum_dtype(x, dtype)))


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    x, axis = _laid_out(a, axis, "cumprod")
    return scan(np.multiply, convert(x, sum_dtype(x, dtype)), axis)


@implements(np.cumulative_sum)
def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumsum, x, axis, dtype, include_initial, 0)


@implements(np.cumulative_prod)
def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    return _cumulative(cumprod, x, axis, dtype, include_initial, 1)


def _cumulative(run: Any, x: Any, axis: Any, dtype: Any, include_initial: bool, unit: int) -> Any:
    x = as_value(x)
    if axis is None and x.ndim > 1:
        raise ArgumentError(f"np.cumulative_sum of {x.ndim} axes needs axis=, at {user_line()}.")
    axis = 0 if axis is None else axis_in(axis, x.ndim, "cumulative_sum")
    result = run(x, axis, dtype)
    if not include_initial:
        return result
    first = np.full(kept_shape(x.shape, (axis,)), unit, result.dtype)
    return bind(Concatenate(axis), first, result)


def scan(ufunc: Any, x: Any, axis: Any) -> Any:
    """Running results of an associative ufunc along an axis, in log2(n) steps that double the span.

    W. D. Hillis, G. L. Steele: Data parallel algorithms, Communications of the ACM 29 (1986).
    """
    x = as_operand(x)
    lead = (slice(None),) * axis
    span = 1
    while span < x.shape[axis]:
        first = getitem(x, (*lead, slice(None, span)))
        rest = ufunc(getitem(x, (*lead, slice(None, -span))), getitem(x, (*lead, slice(span, None))))
        x = bind(Concatenate(axis), first, rest)
        span *= 2
    return x


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: Any = 0, axis2: Any = 1, dtype: Any = None, out: Any = None) -> Any:
    return sum_(np.diagonal(a, offset, axis1, axis2), -1, dtype)


@implements(np.nonzero)
def nonzero(a: Any) -> Any:
    from fungrad.numpy.conversions import known_value

    return known_value(as_value(a), "np.nonzero", "Use np.where(condition, x, 0), which keeps the shape.").nonzero()


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    return nonzero(ravel(a))[0]


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    return np.transpose(nonzero(a))
