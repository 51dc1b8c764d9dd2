"""Choosing between values by conditions, comparing with tolerance, and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, ShapeError, UnsupportedError
from fungrad.ir.types import BOOL
from fungrad.numpy import ufuncs
from fungrad.numpy.conversions import known_value
from fungrad.numpy.promotion import as_operand, as_value, cast, common_dtype
from fungrad.numpy.reductions import all_
from fungrad.numpy.registry import implements
from fungrad.numpy.updates import update
from fungrad.primitives.convert import convert
from fungrad.primitives.shape import broadcast
from fungrad.trace import user_line

UNSET: Any = np._NoValue


@implements(np.where)
def where(condition: Any, x: Any = UNSET, y: Any = UNSET, /) -> Any:
    if (x is UNSET) != (y is UNSET):
        raise ArgumentError(f"np.where takes a condition alone or with both x and y, at {user_line()}.")
    return np.nonzero(condition) if x is UNSET else ufuncs.where(condition, x, y)


@implements(np.clip)
def clip(a: Any, a_min: Any = UNSET, a_max: Any = UNSET, out: Any = None, *, min: Any = UNSET, max: Any = UNSET) -> Any:
    low, high = (new if old is UNSET else old for old, new in ((a_min, min), (a_max, max)))
    return ufuncs.clip(a, None if low is UNSET else low, None if high is UNSET else high)


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    conditions = [as_value(c) for c in condlist]
    if len(conditions) != len(choicelist) or not conditions:
        raise ArgumentError(f"np.select: {len(conditions)} conditions for {len(choicelist)} choices, at {user_line()}.")
    if any(c.dtype != BOOL for c in conditions):
        raise ArgumentError(f"np.select: conditions must be boolean arrays, at {user_line()}.")
    choices = [as_operand(c) for c in (*choicelist, default)]
    dtype = common_dtype(*choices)
    result = cast(choices[-1], dtype)
    for condition, choice in zip(reversed(conditions), reversed(choices[:-1]), strict=True):
        result = ufuncs.where(condition, cast(choice, dtype), result)
    return result


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    x = as_value(x)
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    instead = (
        "Use np.where(condition, f(x), g(x)), guarding the arguments of functions that are not defined everywhere."
    )
    masks = [np.broadcast_to(known_value(as_value(c), "np.piecewise", instead), x.shape) for c in conditions]
    if len(funclist) == len(masks) + 1:
        masks.append(~np.logical_or.reduce(masks))
    if len(funclist) != len(masks):
        raise ArgumentError(f"np.piecewise: {len(masks)} conditions for {len(funclist)} functions, at {user_line()}.")
    result = np.zeros_like(x)
    for mask, function in zip(masks, funclist, strict=True):
        mask = np.array(mask)
        if mask.any():
            piece = function(x[mask], *args, **kw) if callable(function) else function
            result = update("set", result, mask, piece)
    return result


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    if not copy:
        raise UnsupportedError(f"np.nan_to_num with copy=False cannot be traced, at {user_line()}. Use its result.")
    x = as_value(x)
    if x.dtype.kind != "f":
        return x
    limits = np.finfo(x.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    x = ufuncs.where(np.isnan(x), nan, x)
    return ufuncs.where(x == np.inf, high, ufuncs.where(x == -np.inf, low, x))


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    x, y = as_value(a), ufuncs.as_float(b)
    near = (np.abs(x - y) <= atol + rtol * np.abs(y)) & np.isfinite(y) | (x == y)
    return near | (np.isnan(x) & np.isnan(y)) if equal_nan else near


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    return bool(all_(isclose(a, b, rtol, atol, equal_nan)))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    x, y = as_value(a1), as_value(a2)
    if x.shape != y.shape:
        return False
    same = x == y
    return bool(all_(same | (np.isnan(x) & np.isnan(y)) if equal_nan else same))


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    x = as_value(a)
    if x.dtype.kind in "iu" and decimals >= 0:
        return np.positive(x)
    if decimals == 0:
        return np.rint(x)
    scale = 10.0 ** abs(decimals) if abs(decimals) < 309 else np.inf
    result = np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale
    return convert(result, x.dtype)


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    return np.trunc(x)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    y = np.pi * ufuncs.as_float(x)
    small = np.abs(y) < 1e-4  # where sin(y) / y and its derivatives lose digits, the series has them
    safe = np.where(small, 1.0, y)
    square = y * y
    return np.where(small, 1 - square / 6 * (1 - square / 20), np.sin(safe) / safe)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    x = as_value(m)
    if x.ndim < 2:
        x = broadcast(x, (x.size, x.size))
    return ufuncs.where(_triangle(x, k), x, np.zeros((), x.dtype))


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    x = as_value(m)
    if x.ndim < 2:
        x = broadcast(x, (x.size, x.size))
    return ufuncs.where(_triangle(x, k - 1), np.zeros((), x.dtype), x)


def _triangle(x: Any, k: int) -> Any:
    """Where the elements of matrices lie on or below the k-th diagonal."""
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k, dtype=bool)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    x = as_value(v)
    if x.ndim == 2:
        return np.diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError(f"np.diag takes a vector or a matrix, got shape {x.shape}, at {user_line()}.")
    return _diagonal_matrix(x, k)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    return _diagonal_matrix(np.ravel(as_value(v)), k)


def _diagonal_matrix(x: Any, k: int) -> Any:
    n = x.size + abs(k)
    i = np.arange(x.size)
    return update("set", np.zeros((n, n), x.dtype), (i + max(0, -k), i + max(0, k)), x)


@implements(np.real, np.real_if_close)
def real(val: Any, tol: float = 100) -> Any:
    return as_value(val)


@implements(np.imag)
def imag(val: Any) -> Any:
    return np.zeros_like(as_value(val))


@implements(np.isreal)
def isreal(x: Any) -> Any:
    return np.ones_like(as_value(x), dtype=BOOL)


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    return np.zeros_like(as_value(x), dtype=BOOL)


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    return True


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    return as_value(x) == np.inf


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    return as_value(x) == -np.inf
