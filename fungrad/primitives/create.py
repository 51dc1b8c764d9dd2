"""Creation: arrays that depend on no input are constants of the graph, not equations.

A filled array is stored as one element with zero strides, so that it costs nothing to keep and compiles to a literal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.ir.types import DType


def full(shape: tuple[int, ...], value: Any, dtype: DType) -> Any:
    """A read-only array of `shape` that repeats one number; a NumPy scalar if the shape is ()."""
    scalar = dtype.type(value)
    if not shape:
        return scalar
    memory = np.array(scalar)
    memory.flags.writeable = False
    return np.ndarray(shape, dtype, memory, 0, (0,) * len(shape))


def zeros_like(x: Any) -> Any:
    """Zeros of the shape and dtype of `x`, as `full` makes them."""
    return full(x.shape, 0, x.dtype)
