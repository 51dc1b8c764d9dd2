"""Functions that make arrays. On tracers they make constants of the trace, so that the result can be assigned to."""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad.numpy.promotion import as_value, broadcast_shape, cast, spread_to
from fungrad.numpy.registry import implements
from fungrad.primitives.create import full
from fungrad.trace import Tracer, concrete_value


def _filled(prototype: Any, value: Any, dtype: Any, shape: Any) -> Any:
    x = as_value(prototype)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    if shape is None:
        shape = x.shape
    elif not isinstance(shape, tuple):
        shape = tuple(shape) if isinstance(shape, list) else (shape,)
    if isinstance(value, Tracer | np.ndarray | list | tuple):
        value = as_value(value)
        broadcast_shape("full_like", value.shape, shape)
        return spread_to(value, shape, dtype)
    constant = full(shape, value, dtype)
    return x.trace.constant(constant) if type(x) is Tracer else constant


@implements(np.zeros_like)
def zeros_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
    return _filled(a, 0, dtype, shape)


@implements(np.ones_like)
def ones_like(a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None) -> Any:
    return _filled(a, 1, dtype, shape)


@implements(np.empty_like)
def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    return _filled(prototype, 0, dtype, shape)


@implements(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *, device: Any = None
) -> Any:
    return _filled(a, fill_value, dtype, shape)
