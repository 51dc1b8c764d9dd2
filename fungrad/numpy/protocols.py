"""What makes a Tracer an array: operators, methods and NumPy's dispatch protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import ConcretizationError, UnsupportedError
from fungrad.numpy import contractions, indexing, reductions, shaping, ufuncs
from fungrad.numpy.creation import full_like  # registers
from fungrad.numpy.registry import FUNCTIONS, implements
from fungrad.primitives.convert import convert
from fungrad.trace import Tracer, need_value, user_line

implements(np.where)(lambda condition, x=None, y=None, /: ufuncs.where(condition, x, y))
implements(np.clip)(lambda a, a_min=None, a_max=None, out=None, *, min=None, max=None: ufuncs.clip(a, a_min if min is None else min, a_max if max is None else max))
ufuncs.COMPOSITES[np.matmul] = contractions.matmul


def _array_ufunc(self: Tracer, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method == "__call__" and not kwargs:
        return ufuncs.call(ufunc, inputs)
    if method == "reduce" and ufunc is np.add:
        return reductions.sum_(*inputs, **{"axis": 0, **kwargs})
    raise UnsupportedError(f"np.{ufunc.__name__}.{method} with {sorted(kwargs)} cannot be traced, at {user_line()}.")


def _array_function(self: Tracer, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    found = FUNCTIONS.get(func)
    if found is None:
        raise UnsupportedError(f"np.{func.__name__} cannot be traced, at {user_line()}.")
    return found(*args, **kwargs)


def _binary(function: Callable[..., Any]) -> tuple[Any, Any]:
    def forward(self: Tracer, other: Any) -> Any:
        return function(self, other)

    def reflected(self: Tracer, other: Any) -> Any:
        return function(other, self)

    return forward, reflected


def _weakly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Operators between Python numbers give Python numbers."""

    def operate(x: Any, y: Any) -> Any:
        out = function(x, y)
        out.weak = all(t.weak if type(t) is Tracer else type(t) in (int, float, bool) for t in (x, y))
        return out

    return operate


for name, function in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}.items():
    pair = _binary(_weakly(lambda x, y, f=function: ufuncs.call(f, (x, y))))  # type: ignore[misc]
    setattr(Tracer, f"__{name}__", pair[0])
    setattr(Tracer, f"__r{name}__", pair[1])

for name, function in {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}.items():
    setattr(Tracer, f"__{name}__", lambda self, other, f=function: ufuncs.call(f, (self, other)))

pair = _binary(contractions.matmul)
install: Any = Tracer
install.__matmul__, install.__rmatmul__ = pair
install.__hash__ = None
install.__neg__ = lambda self: np.negative(self)
install.__pos__ = lambda self: np.positive(self)
install.__abs__ = lambda self: np.absolute(self)
install.__invert__ = lambda self: np.invert(self)
install.__array_ufunc__ = _array_ufunc
install.__array_function__ = _array_function
install.__getitem__ = indexing.getitem
install.at = property(indexing.At)
install.T = property(shaping.transpose)
install.sum = lambda self, axis=None, dtype=None, out=None, keepdims=False: reductions.sum_(self, axis, dtype, out, keepdims)
install.mean = lambda self, axis=None, dtype=None, out=None, keepdims=False: reductions.mean(self, axis, dtype, out, keepdims)
install.max = lambda self, axis=None, out=None, keepdims=False: reductions.max_(self, axis, out, keepdims)
install.min = lambda self, axis=None, out=None, keepdims=False: reductions.min_(self, axis, out, keepdims)
install.dot = contractions.dot
install.transpose = lambda self, *axes: shaping.transpose(self, axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None)
install.reshape = lambda self, *shape, order="C": shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order)
install.ravel = shaping.ravel
install.astype = lambda self, dtype, order="K", casting="unsafe", subok=True, copy=True: convert(self, np.dtype(dtype))
install.__len__ = lambda self: self.shape[0]
install.__iter__ = lambda self: (self[i] for i in range(self.shape[0]))
install.__bool__ = lambda self: bool(need_value(self, "if", "Use np.where."))


def _no(self: Tracer, *args: Any, **kwargs: Any) -> Any:
    raise ConcretizationError(f"a traced array has no plain number, at {user_line()}.")


install.__float__ = install.__int__ = install.__array__ = _no
