"""What the functions of random numbers accept, checked in one place."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, DtypeError, ShapeError
from fungrad.ir.types import DType, type_of
from fungrad.numpy.promotion import as_operand, as_value, broadcast_shape
from fungrad.primitives.random import WORD
from fungrad.primitives.shape import Shape
from fungrad.trace import Tracer, concrete_value, is_array

_MAKE_ONE = "Make one from a seed with fungrad.random.key(0), and more of it with fungrad.random.split(key, n)."


def as_key(function: str, key: Any) -> Any:
    """A key as an operand.

    Raises:
        DtypeError, ShapeError: it is not a uint32 array of shape (2,).
    """
    if not is_array(key):
        shown = f"the integer {key}" if isinstance(key, int) else f"a {type(key).__name__}"
        raise DtypeError(f"{function}: a key is a uint32 array of shape (2,), got {shown}. {_MAKE_ONE}")
    if key.dtype != WORD:
        raise DtypeError(
            f"{function}: a key is a uint32 array of shape (2,), got dtype {key.dtype} and shape {key.shape}. "
            f"{_MAKE_ONE}"
        )
    if key.shape != (2,):
        several = key.ndim > 1 and key.shape[-1] == 2
        fix = "These are several keys: take one, keys[i], or map over them with vmap." if several else _MAKE_ONE
        raise ShapeError(f"{function}: a key is a uint32 array of shape (2,), got shape {key.shape}. {fix}")
    return as_operand(key)


def as_shape(function: str, shape: Any) -> Shape:
    """A shape given as an integer or a sequence of integers.

    Raises:
        ShapeError: an extent is negative or not an integer.
    """
    given = shape if isinstance(shape, tuple | list) else (shape,)
    for extent in given:
        if isinstance(extent, bool) or not (hasattr(extent, "__index__") and getattr(extent, "ndim", 0) == 0):
            raise ShapeError(f"{function}: shape must consist of integers, got {shape!r}.")
    found = tuple([int(extent.__index__()) for extent in given])
    if min(found, default=0) < 0:
        raise ShapeError(f"{function}: shape must not be negative, got {shape!r}.")
    return found


def _as_dtype(function: str, dtype: Any, kinds: str, expected: str) -> DType:
    found: DType | None
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in kinds or found == np.float16 or found.itemsize > 8:
        raise DtypeError(f"{function}: dtype must be {expected}, got {dtype!r}.")
    return found


def float_dtype(function: str, dtype: Any) -> DType:
    """float32 or float64, or a DtypeError."""
    return _as_dtype(function, dtype, "f", "np.float32 or np.float64")


def integer_dtype(function: str, dtype: Any) -> DType:
    """An integer dtype, or a DtypeError."""
    return _as_dtype(function, dtype, "iu", "an integer type such as np.int64")


def unsigned_dtype(function: str, dtype: Any) -> DType:
    """An unsigned integer dtype, or a DtypeError."""
    return _as_dtype(function, dtype, "u", "an unsigned integer type such as np.uint64")


def as_float(function: str, name: str, x: Any) -> Any:
    """A parameter as floats: integers become float64.

    Raises:
        DtypeError: it is not a real number or an array of such.
    """
    try:
        value = as_value(x)
        if value.dtype.kind == "b":
            raise DtypeError("a boolean is not a real number.")
    except DtypeError as error:
        raise DtypeError(f"{function}: {name}: {error}") from None
    return value if value.dtype.kind == "f" else value.astype(np.float64)


def parameters(function: str, shape: Any, dtype: DType, **given: Any) -> tuple[Shape, list[Any]]:
    """The shape of a result, by default that to which positive parameters broadcast, and these in `dtype`.

    Raises:
        ArgumentError: a parameter is known and not positive.
        DtypeError: it is not a real number or an array of such.
        ShapeError: it does not broadcast to the shape.
    """
    values = {name: as_float(function, name, x) for name, x in given.items()}
    if shape is None:
        shape = broadcast_shape(function, *(x.shape for x in values.values()))
    shape = as_shape(function, shape)
    for name, x in values.items():
        fits(function, name, x, shape)
        check_positive(function, name, x)
    return shape, [x.astype(dtype) for x in values.values()]


def check_positive(function: str, name: str, x: Any) -> None:
    """Raise ArgumentError if a parameter is known and not positive."""
    seen = known(x)
    if seen is not None and not np.all(seen > 0):
        raise ArgumentError(f"{function}: {name} must be positive, got {seen}.")


def as_integer(function: str, name: str, x: Any) -> Any:
    """A parameter as integers; Python integers stay what they are, of any size.

    Raises:
        DtypeError: it is not an integer or an array of such.
    """
    if type(x) is int:
        return x
    value = as_operand(x) if is_array(x) else np.asarray(x)[()]
    if value.dtype.kind not in "iu":
        raise DtypeError(
            f"{function}: {name} must be an integer, got {_shown(value)}. Convert it, for example with int."
        )
    return value


def _shown(x: Any) -> str:
    """A value for a message: numbers as they are, arrays by their type."""
    if not isinstance(x, Tracer) and x.ndim == 0:
        return f"{x.item()!r} of dtype {x.dtype}"
    return str(type_of(x))


def fits(function: str, name: str, x: Any, shape: Shape) -> None:
    """Raise ShapeError unless `x` broadcasts to `shape`."""
    given = np.shape(x) if not isinstance(x, Tracer) else x.shape
    kept = shape[len(shape) - len(given) :]
    if len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given, kept, strict=True)):
        raise ShapeError(f"{function}: {name} has shape {given}, which does not broadcast to shape={shape}.")


def known(x: Any) -> Any:
    """The value of an argument if it is known, else None."""
    if type(x) is not Tracer:
        return x
    value = concrete_value(x)
    return value if value is not None and value.shape == x.shape else None


def check_order(function: str, low: tuple[str, Any], high: tuple[str, Any]) -> None:
    """Raise ArgumentError if two bounds, given with their names, are known and not in order."""
    a, b = known(low[1]), known(high[1])
    if a is not None and b is not None and not np.all(a < b):
        raise ArgumentError(f"{function}: {low[0]} must be less than {high[0]}, got {low[0]}={a} and {high[0]}={b}.")
