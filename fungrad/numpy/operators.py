"""Python's operators on tracers.

Between a tracer that stands for a Python number and Python numbers, operators give what Python would: again a tracer
that stands for a Python number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.ir.types import BOOL, INT
from fungrad.numpy import contractions, ufuncs
from fungrad.numpy.views import in_place
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.trace import Tracer, bind

Method = Callable[..., Any]

_NUMBERS = (int, float, bool)
_UNKNOWN = (str, bytes, dict, set, type(None))


def _arithmetic(ufunc: Any) -> tuple[Method, Method]:
    """The methods for `x op y` and, reflected, `y op x`."""
    op = ELEMENTWISE[ufuncs.ROW_OF[ufunc]]
    general = ufuncs.COMPOSITES.get(ufunc) or (lambda x, y: ufuncs.apply_row(ufunc, x, y))
    fast = ufunc in (np.add, np.subtract, np.multiply, np.true_divide)

    logical = ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)

    def weakly(x: Any, y: Any) -> Any:
        numbers = all(t.weak if type(t) is Tracer else type(t) in _NUMBERS for t in (x, y))
        if numbers and not logical:
            x, y = (convert(t, INT) if type(t) is Tracer and t.dtype == BOOL else t for t in (x, y))  # True + True is 2
        out = general(x, y)
        if numbers:
            out.weak = True
        return out

    def forward(self: Tracer, other: Any) -> Any:
        if fast:
            type_ = self.operand.type
            if type_.dtype.kind == "f":
                kind = type(other)
                if kind is float:
                    scalar = type_.dtype.type(other)
                    out = bind(op, self, full(type_.shape, scalar, type_.dtype) if type_.shape else scalar)
                    out.weak = self.weak
                    return out
                if kind is Tracer and other.operand.type is type_ and self.weak is other.weak:
                    out = bind(op, self, other)
                    out.weak = self.weak
                    return out
        if isinstance(other, _UNKNOWN):
            return NotImplemented
        return weakly(self, other)

    def reflected(self: Tracer, other: Any) -> Any:
        if fast and type(other) is float:
            type_ = self.operand.type
            if type_.dtype.kind == "f":
                scalar = type_.dtype.type(other)
                out = bind(op, full(type_.shape, scalar, type_.dtype) if type_.shape else scalar, self)
                out.weak = self.weak
                return out
        if isinstance(other, _UNKNOWN):
            return NotImplemented
        return weakly(other, self)

    return forward, reflected


def _comparison(ufunc: Any) -> Method:
    def compare(self: Tracer, other: Any) -> Any:
        if isinstance(other, _UNKNOWN):
            return NotImplemented
        out = ufuncs.apply_row(ufunc, self, other)
        if type(out) is Tracer and self.weak:
            out.weak = other.weak if type(other) is Tracer else type(other) in _NUMBERS
        return out

    return compare


def _unary(ufunc: Any) -> Method:
    def apply(self: Tracer) -> Any:
        out = ufuncs.call(ufunc, (self,))
        out.weak = self.weak
        return out

    return apply


def _in_place(forward: Method, symbol: str) -> Method:
    def update(self: Tracer, other: Any) -> Any:
        new = forward(self, other)
        return new if new is NotImplemented else in_place(self, new, symbol)

    return update


_ARITHMETIC: dict[str, tuple[Any, str]] = {
    "add": (np.add, "+"),
    "sub": (np.subtract, "-"),
    "mul": (np.multiply, "*"),
    "truediv": (np.true_divide, "/"),
    "floordiv": (np.floor_divide, "//"),
    "mod": (np.remainder, "%"),
    "pow": (np.power, "**"),
    "and": (np.bitwise_and, "&"),
    "or": (np.bitwise_or, "|"),
    "xor": (np.bitwise_xor, "^"),
    "lshift": (np.left_shift, "<<"),
    "rshift": (np.right_shift, ">>"),
}

METHODS: dict[str, Any] = {
    "__eq__": _comparison(np.equal),
    "__ne__": _comparison(np.not_equal),
    "__lt__": _comparison(np.less),
    "__le__": _comparison(np.less_equal),
    "__gt__": _comparison(np.greater),
    "__ge__": _comparison(np.greater_equal),
    "__neg__": _unary(np.negative),
    "__pos__": _unary(np.positive),
    "__abs__": _unary(np.absolute),
    "__invert__": _unary(np.invert),
    "__divmod__": lambda self, other: (self // other, self % other),
    "__rdivmod__": lambda self, other: (other // self, other % self),
    "__round__": lambda self, decimals=0: np.round(self, decimals),
    "__imatmul__": _in_place(contractions.matmul, "@"),
}
"""The operator methods of Tracer."""

for _name, (_ufunc, _symbol) in _ARITHMETIC.items():
    _forward, _reflected = _arithmetic(_ufunc)
    METHODS[f"__{_name}__"] = _forward
    METHODS[f"__r{_name}__"] = _reflected
    METHODS[f"__i{_name}__"] = _in_place(_forward, _symbol)
