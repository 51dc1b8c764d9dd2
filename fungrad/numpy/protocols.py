"""What makes a Tracer an array: operators, methods and NumPy's dispatch protocols, installed at import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError, UnsupportedError
from fungrad.numpy import (
    contractions,
    conversions,
    creation,
    operators,
    shaping,
    sorting,
    ufuncs,
    updates,
    views,
)
from fungrad.numpy import factorizations as _factorizations  # noqa: F401  (registers its functions, as do the following)
from fungrad.numpy import joining as _joining  # noqa: F401
from fungrad.numpy import linear_algebra as _linear_algebra  # noqa: F401
from fungrad.numpy import norms as _norms  # noqa: F401
from fungrad.numpy import selection as _selection  # noqa: F401
from fungrad.numpy import sequences as _sequences  # noqa: F401
from fungrad.numpy import statistics as _statistics  # noqa: F401
from fungrad.numpy import subscripts as _subscripts  # noqa: F401
from fungrad.numpy.registry import dispatch
from fungrad.numpy.ufunc_methods import call_method
from fungrad.trace import STATIC, Tracer, bind, user_line

# -- protocols -------------------------------------------------------------------------------------------------------


def _array_ufunc(self: Tracer, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if method == "__call__" and not kwargs:
        op = ufuncs.UNARY.get(ufunc)
        if op is not None and self.operand.type.dtype.kind == "f":  # nothing to promote or broadcast
            return bind(op, self)
        return ufuncs.call(ufunc, inputs)
    return call_method(ufunc, method, inputs, kwargs)


def _array_function(self: Tracer, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    result = dispatch(func, args, kwargs)
    if type(result) is Tracer and func not in _MAY_RETURN_ARGUMENT:
        for x in (*args, *kwargs.values()):
            if x is result:  # a copy in NumPy: later assignment to one must not change the other
                return ufuncs.copy(result)
    return result


_MAY_RETURN_ARGUMENT = {
    np.reshape,
    np.ravel,
    np.transpose,
    np.permute_dims,
    np.swapaxes,
    np.moveaxis,
    np.rollaxis,
    np.squeeze,
    np.atleast_1d,
    np.atleast_2d,
    np.atleast_3d,
    np.broadcast_to,
    np.real,
    np.real_if_close,
    np.astype,
    np.diff,
    np.rot90,
}
"""Functions that give a view in NumPy."""


# -- methods ---------------------------------------------------------------------------------------------------------


def _reshape(self: Tracer, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order, copy=copy)


def _transpose(self: Tracer, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        return shaping.transpose(self, axes[0])
    return shaping.transpose(self, axes or None)


def _astype(
    self: Tracer, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    return creation.astype(self, dtype, copy=copy)


def _flatten(self: Tracer, order: str = "C") -> Any:
    result = shaping.reshape(self, -1, order)
    return ufuncs.copy(result)


def _copy(self: Tracer, *_: Any) -> Tracer:
    return ufuncs.copy(self)


def _itself(self: Tracer) -> Tracer:
    return self


def _len(self: Tracer) -> int:
    if not self.shape:
        raise ArgumentError(f"len() of a 0-d array, at {user_line()}. Use x.size, which is 1.")
    return self.shape[0]


def _iter(self: Tracer) -> Iterator[Any]:
    if not self.shape:
        hint = f" Shapes, lengths and axes must be known. {STATIC}" if self.dtype.kind in "iu" else ""
        raise ArgumentError(f"a 0-d array cannot be iterated over or unpacked, at {user_line()}.{hint}")
    return (views.read(self, i) for i in range(self.shape[0]))


def _contains(self: Tracer, value: Any) -> bool:
    found: Any = np.any(ufuncs.call(np.equal, (self, value)))
    return bool(found)


def _sort(self: Tracer, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    views.assign(self, sorting.sort(self, axis, kind, order))


def _fill(self: Tracer, value: Any) -> None:
    views.write(self, ..., value)


def _function_method(function: Any) -> Any:
    """A method that is NumPy's function with the array as its first argument."""

    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return _array_function(self, function, (), (self, *args), kwargs)

    method.__name__ = function.__name__
    return method


def _refused(name: str) -> Any:
    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"the method {name} of a traced array cannot be traced, at {user_line()}.")

    return method


_FUNCTION_METHODS = (
    np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.any, np.all, np.argmax, np.argmin, np.cumsum,
    np.cumprod, np.trace, np.diagonal, np.dot, np.clip, np.round, np.ravel, np.squeeze, np.swapaxes, np.repeat,
    np.take, np.compress, np.choose, np.argsort, np.argpartition, np.searchsorted, np.nonzero,
)  # fmt: skip

REFUSED_METHODS = (
    "byteswap", "dump", "dumps", "getfield", "partition", "put", "resize", "setfield", "setflags", "tobytes",
    "tofile", "view",
)  # fmt: skip

_METHODS: dict[str, Any] = {
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__array__": conversions.to_array,
    "__float__": conversions.to_number("float"),
    "__int__": conversions.to_number("int"),
    "__complex__": conversions.to_number("complex"),
    "__index__": conversions.to_number("index"),
    "__bool__": conversions.to_bool,
    "__hash__": conversions.refuse_hash,
    "_numba_type_": property(conversions.refuse_numba),
    "__repr__": conversions.represent,
    "__format__": conversions.to_text,
    "__getitem__": views.read,
    "__setitem__": views.write,
    "__len__": _len,
    "__iter__": _iter,
    "__contains__": _contains,
    "__copy__": _copy,
    "__deepcopy__": _copy,
    "item": conversions.item,
    "tolist": conversions.tolist,
    "reshape": _reshape,
    "transpose": _transpose,
    "astype": _astype,
    "flatten": _flatten,
    "copy": _copy,
    "conj": _itself,
    "conjugate": _itself,
    "sort": _sort,
    "fill": _fill,
    "at": property(updates.At),
    "T": property(shaping.transpose),
    "mT": property(shaping.matrix_transpose),
    "real": property(lambda self: self),
    "imag": property(creation.zeros_like),
    "itemsize": property(lambda self: self.dtype.itemsize),
    "nbytes": property(lambda self: self.size * self.dtype.itemsize),
    "flat": property(shaping.ravel),
    "__matmul__": contractions.matmul,
    "__rmatmul__": lambda self, other: contractions.matmul(other, self),
    **{function.__name__: _function_method(function) for function in _FUNCTION_METHODS},
    **{name: _refused(name) for name in REFUSED_METHODS},
    **operators.METHODS,
}

for _name, _method in _METHODS.items():
    setattr(Tracer, _name, _method)

ufuncs.COMPOSITES.update(
    {
        np.matmul: contractions.matmul,
        np.vecdot: contractions.vecdot,
        np.matvec: contractions.matvec,
        np.vecmat: contractions.vecmat,
    }
)
