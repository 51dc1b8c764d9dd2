"""`ArrayType`: what is known of an array before it has a value, its shape and its dtype.

Prints as `f32[128,784]`; a 0-d type prints as `f64[]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.errors import DtypeError

DType = np.dtype[Any]

BOOL: DType = np.dtype(np.bool_)
INT: DType = np.dtype(np.int64)  # of positions and counts

_SHORT = {
    BOOL: "bool",
    np.dtype(np.int8): "i8",
    np.dtype(np.int16): "i16",
    np.dtype(np.int32): "i32",
    INT: "i64",
    np.dtype(np.uint8): "u8",
    np.dtype(np.uint16): "u16",
    np.dtype(np.uint32): "u32",
    np.dtype(np.uint64): "u64",
    np.dtype(np.float32): "f32",
    np.dtype(np.float64): "f64",
}

_CANONICAL = {dtype: dtype for dtype in _SHORT}  # of the dtypes that are equal, such as C's long and long long, one


class ArrayType:
    """Shape and dtype of an array. There is one object for each pair, so types compare by identity."""

    __slots__ = ("dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: DType) -> None:
        self.shape = shape
        self.dtype = dtype

    def __reduce__(self) -> Any:
        return array_type, (self.shape, self.dtype)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{_SHORT.get(self.dtype, self.dtype)}[{','.join(map(str, self.shape))}]"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        """True where a derivative exists: f32 and f64."""
        return self.dtype.kind == "f"


_INTERNED: dict[tuple[tuple[int, ...], DType], ArrayType] = {}


def array_type(shape: tuple[int, ...], dtype: DType) -> ArrayType:
    """The `ArrayType` of that shape and dtype, made once for each pair.

    Raises:
        DtypeError: the dtype is not bool, an integer, float32 or float64.
    """
    key = (shape, dtype)
    found = _INTERNED.get(key)
    if found is None:
        if dtype not in _SHORT:
            raise DtypeError(
                f"dtype {dtype} is not supported; fungrad works on bool, integers, float32 and float64. "
                "Convert the array first, for example with x.astype(np.float64)."
            )
        found = _INTERNED.setdefault(key, ArrayType(shape, _CANONICAL[dtype]))  # of two threads, one makes it
    return found


def type_of(value: Any) -> ArrayType:
    """The type of anything with a `shape` and a `dtype`: an ndarray, a NumPy scalar or a tracer."""
    return array_type(value.shape, value.dtype)
