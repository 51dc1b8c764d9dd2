"""Operands as NumPy sees them: promoted by NEP 50, broadcast to one shape.

This is the only place where dtypes and shapes of operands are brought together; primitives see operands of one dtype
and shape. Python numbers, and tracers that stand for them (`weak`), take the dtype of what they meet. NumPy itself
decides the dtypes (`ufunc.resolve_dtypes`, `np.result_type`); the answers are remembered.

Arrays that the user passes in are frozen: copied once, read-only. Their numbers are needed again in the backward
pass, and the user may have changed them in place by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, ShapeError, UnsupportedError
from fungrad.ir.types import BOOL, DType, array_type, type_of
from fungrad.large_results import owns_memory
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.primitives.shape import Concatenate, Shape, broadcast, reshape
from fungrad.trace import Tracer, bind, user_line

FLOAT = np.dtype(np.float64)
_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)

Kind = Any  # a dtype, or the class int or float for a Python number

_PYTHON_KINDS: dict[type, Kind] = {bool: BOOL, int: int, float: float}
_WEAK_KINDS: dict[str, Kind] = {"b": BOOL, "i": int, "f": float}
_EXAMPLES: dict[Kind, Any] = {int: 0, float: 0.0}


# -- operands --------------------------------------------------------------------------------------------------------


def frozen(x: Any) -> Any:
    """An ndarray nobody else can write to: `x` itself if it and what it is a view of are read-only, else a copy."""
    base = x.base
    if x.flags.writeable or not (owns_memory(x) or (type(base) is np.ndarray and not base.flags.writeable)):
        x = x.copy("K")
        x.flags.writeable = False
    return x


def as_operand(x: Any) -> Any:
    """What a user passed as an array: a Tracer, a frozen ndarray, a NumPy scalar or a Python number.

    Nested sequences become arrays, also when they contain tracers.

    Raises:
        DtypeError: the dtype is not supported.
        UnsupportedError: an ndarray subclass with its own meaning of operations.
    """
    kind = type(x)
    if kind is Tracer or kind in _PYTHON_KINDS:
        return x
    if kind is np.ndarray:
        type_of(x)
        return frozen(x)
    if isinstance(x, np.generic):
        type_of(x)
        return x
    if isinstance(x, np.memmap):
        return as_operand(np.asarray(x))
    if isinstance(x, np.ndarray):
        raise UnsupportedError(
            f"a {kind.__name__} cannot be combined with a traced array, at {user_line()}. Convert it with "
            "np.array(x) and carry masks or metadata separately."
        )
    for python in (bool, int, float):
        if isinstance(x, python):
            return python(x)
    if isinstance(x, list | tuple):
        return _from_sequence(x)
    if isinstance(x, complex):
        raise DtypeError(f"the complex number {x} met a traced array, at {user_line()}; fungrad works on real numbers.")
    if hasattr(x, "__array__"):
        return as_operand(np.asarray(x))
    raise DtypeError(f"a {kind.__name__} is not an array or a number, at {user_line()}.")


def as_value(x: Any) -> Any:
    """As `as_operand`, but with Python numbers as NumPy scalars of the default dtype."""
    x = as_operand(x)
    kind = _PYTHON_KINDS.get(type(x))
    return x if kind is None else strong(kind).type(x)


def strong(kind: Kind) -> DType:
    """The dtype a Python number has on its own."""
    return np.dtype(kind)


def contains_tracer(x: Any) -> bool:
    """Whether a nested sequence contains a tracer."""
    if isinstance(x, list | tuple):
        return any(map(contains_tracer, x))
    return type(x) is Tracer


def _from_sequence(items: Sequence[Any]) -> Any:
    if not contains_tracer(items):
        x = np.array(items)
        type_of(x)
        return frozen(x)
    return stack_operands([as_operand(item) for item in items], 0, "array")


def stack_operands(items: Sequence[Any], axis: int, name: str) -> Any:
    """Operands of one shape along a new axis."""
    dtype = common_dtype(*items)
    arrays = [cast(x, dtype) for x in items]
    shape = arrays[0].shape
    for position, x in enumerate(arrays):
        if x.shape != shape:
            raise ShapeError(
                f"{name}: item {position} has shape {x.shape}, expected {shape} as the first, at {user_line()}."
            )
    if axis < 0:
        axis += len(shape) + 1
    parts = [reshape(x, (*shape[:axis], 1, *shape[axis:])) for x in arrays]
    return bind(Concatenate(axis), *parts)


# -- dtypes ----------------------------------------------------------------------------------------------------------


def kind_of(x: Any) -> Kind:
    """What promotion sees of an operand: its dtype, or the class of the Python number it stands for."""
    if type(x) is Tracer:
        dtype = x.operand.type.dtype
        return _WEAK_KINDS[dtype.kind] if x.weak else dtype
    kind = _PYTHON_KINDS.get(type(x))
    return x.dtype if kind is None else kind


_LOOPS: dict[tuple[Any, ...], tuple[DType, ...]] = {}


def loop_dtypes(ufunc: Any, kinds: tuple[Kind, ...]) -> tuple[DType, ...]:
    """The dtypes NumPy's ufunc computes in and returns for operands of these kinds.

    Raises:
        DtypeError: NumPy has no such loop, or its result has a dtype we do not support.
    """
    key = (ufunc, kinds)
    found = _LOOPS.get(key)
    if found is None:
        given = kinds if any(isinstance(kind, np.dtype) for kind in kinds) else tuple(map(strong, kinds))
        try:
            found = tuple(ufunc.resolve_dtypes((*given, *[None] * ufunc.nout)))
        except TypeError:
            shown = ", ".join(str(strong(kind)) for kind in kinds)
            raise DtypeError(f"np.{ufunc.__name__} is not defined for dtype {shown}, at {user_line()}.") from None
        if found[-1] != _HALF:  # only the computation would be in float16, not the result
            found = tuple([_SINGLE if dtype == _HALF else dtype for dtype in found])
        for dtype in found:
            array_type((), dtype)
        _LOOPS[key] = found
    return found


def common_dtype(*operands: Any) -> DType:
    """The dtype that `np.where` or `np.concatenate` gives for these operands."""
    kinds = [kind_of(x) for x in operands]
    first = kinds[0]
    if isinstance(first, np.dtype) and all(kind is first for kind in kinds):
        return first
    dtype = np.result_type(*[_EXAMPLES.get(kind, kind) for kind in kinds])
    return array_type((), dtype).dtype


def cast(x: Any, dtype: DType) -> Any:
    """An operand as an array of `dtype`; Python numbers become NumPy scalars.

    Raises:
        DtypeError: a Python integer does not fit.
    """
    if type(x) in _PYTHON_KINDS:
        try:
            return dtype.type(x)
        except OverflowError:
            raise DtypeError(
                f"the Python integer {x} does not fit {dtype}, at {user_line()}. Convert the array to a wider dtype."
            ) from None
    return _narrowed(x, dtype)


def _narrowed(x: Any, dtype: DType) -> Any:
    """A value as `dtype`. An integer argument whose value is not known may not wrap around.

    Raises:
        DtypeError: a Python integer that is an argument of `jit` meets an array of a smaller integer type.
    """
    if type(x) is Tracer and x.weak and dtype.kind in "iu" and dtype != x.dtype and x.dtype.kind == "i":
        raise DtypeError(
            f"a Python integer whose value is not known meets an array of {dtype} and may not fit, at {user_line()}. "
            f"Pass np.{dtype.name}(n), or make it a static argument of jit."
        )
    return convert(x, dtype)


# -- shapes ----------------------------------------------------------------------------------------------------------


def shape_of(x: Any) -> Shape:
    """The shape of an operand; () for a Python number."""
    return () if type(x) in _PYTHON_KINDS else x.shape


def broadcast_shape(name: str, *shapes: Shape) -> Shape:
    """The shape that operands of these shapes broadcast to.

    Raises:
        ShapeError: they do not.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for axis, extent in enumerate(shape, start=rank - len(shape)):
            if result[axis] == 1:
                result[axis] = extent
            elif extent not in (1, result[axis]):
                shown = " and ".join(map(str, shapes))
                raise ShapeError(
                    f"np.{name}: shapes {shown} do not broadcast together, at {user_line()}: counted from the right, "
                    f"axis {rank - axis} has extents {result[axis]} and {extent}."
                )
    return tuple(result)


def spread_to(x: Any, shape: Shape, dtype: DType) -> Any:
    """An operand as an array of that shape and dtype."""
    if type(x) in _PYTHON_KINDS:
        scalar = cast(x, dtype)
        return full(shape, scalar, dtype) if shape else scalar
    return broadcast(_narrowed(x, dtype), shape)


# -- elementwise operations ------------------------------------------------------------------------------------------

_TEMPLATES: dict[str, Any] = dict.fromkeys(("erf", "erfc", "erfcx", "logistic"), np.exp)


def elementwise(row: str, ufunc: Any, *operands: Any) -> Any:
    """An elementwise row applied to operands, promoted as `ufunc` promotes and broadcast."""
    dtypes = loop_dtypes(ufunc, tuple([kind_of(x) for x in operands]))
    shape = broadcast_shape(ufunc.__name__, *[shape_of(x) for x in operands])
    arrays = [spread_to(x, shape, dtype) for x, dtype in zip(operands, dtypes, strict=False)]
    return bind(ELEMENTWISE[row], *arrays)
