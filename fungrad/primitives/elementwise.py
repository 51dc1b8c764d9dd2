"""Elementwise primitives: rows of a table.

A row gives the name, the NumPy function, and for each argument its partial derivative as a linear function of `t`.
Since the Jacobian of an elementwise function is diagonal, `t` may be a tangent or a cotangent: the same partial
serves forward and reverse mode. `None` marks an argument along which the function is constant almost everywhere, or
not real.

At kinks the partials follow the table in docs/kinks.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import DtypeError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import BOOL, ArrayType, DType, array_type
from fungrad.primitives.shape import repeated
from fungrad.trace import bind

Partial = Callable[..., Any] | None  # (t, out, *inputs) -> t times the partial derivative


class Row(NamedTuple):
    function: Callable[..., Any]
    partials: tuple[Partial, ...]
    result: str = "same"  # "same" as the (last) operand, or "bool"


LN2 = math.log(2.0)
LN10 = math.log(10.0)


def _special(name: str) -> Callable[[Any], Any]:
    """A function of scipy.special."""

    def function(x: Any) -> Any:
        from scipy import special  # imported late: it costs more than the rest of fungrad

        return getattr(special, name)(x)

    return function


def _erfcx_slope(x: Any, out: Any) -> Any:
    """2 x out - 2 / sqrt(pi); far from 0, where both are nearly the same, by the asymptotic series."""
    far = x > (20.0 if x.dtype.itemsize == 8 else 8.0)
    inverse = 1 / np.where(far, x, 1.0)
    z = inverse * inverse / 2
    series = 1 - 21 * z
    for k in range(9, 0, -1):
        series = 1 - (2 * k + 1) * z * series
    near = 2 * np.where(far, 0.0, x) * np.where(far, 0.0, out) - 2 / math.sqrt(math.pi)
    return np.where(far, -2 / math.sqrt(math.pi) * z * series, near)


def _erf_inv(x: Any) -> Any:
    return np.copysign(_special("erfinv")(x), x)  # SciPy's loses the sign of zero


def _logistic(x: Any) -> Any:
    e = np.exp(-np.abs(np.asarray(x, np.float64)))  # never overflows; in double, as NumPy's float32 exp is 2 ulp off
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))[()].astype(x.dtype, copy=False)


def _select(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)[()]  # a NumPy scalar for 0-d operands, as ufuncs give


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


def erf(x: Value) -> Value:
    """The error function."""
    return bind(Elementwise("erf"), x)


def erfc(x: Value) -> Value:
    """The complementary error function, 1 - erf(x), also where that is tiny."""
    return bind(Elementwise("erfc"), x)


def erfcx(x: Value) -> Value:
    """The scaled complementary error function, exp(x**2) erfc(x), also where the factors are extreme."""
    return bind(Elementwise("erfcx"), x)


def erf_inv(x: Value) -> Value:
    """The inverse of the error function: y with erf(y) = x, for x between -1 and 1."""
    return bind(Elementwise("erf_inv"), x)


def logistic(x: Value) -> Value:
    """1 / (1 + exp(-x)) without overflow."""
    return bind(Elementwise("logistic"), x)


# -- partials longer than a line ------------------------------------------------------------------------------------


def _pow_base(t: Value, out: Value, x: Value, y: Value) -> Value:
    """y x**(y-1). Where y is 0 that is y/x, whose derivative is 1/x; 0 where 1/x may be infinite."""
    zero, pole = y == 0, np.abs(x) < np.finfo(x.dtype).tiny
    at_zero = np.where(pole, 0.0, t * (y / np.where(pole, 1.0, x)))
    return np.where(zero, at_zero, t * y * x ** np.where(zero, 1.0, y - 1))


def _pow_exponent(t: Value, out: Value, x: Value, y: Value) -> Value:
    """out log(x); 0 at x = 0 (its limit for y > 0)."""
    zero = x == 0
    return np.where(zero, 0.0, t * out * np.log(np.where(zero, 1.0, x)))


def _hypot_side(t: Value, out: Value, side: Value) -> Value:
    """side / out; 0 at the origin."""
    zero = out == 0
    return np.where(zero, 0.0, t * (side / np.where(zero, 1.0, out)))


def _logaddexp_share(t: Value, mine: Value, other: Value) -> Value:
    """exp(mine - out) as a logistic, which stays finite when both are infinite."""
    same = (mine == other) & np.isinf(mine)
    return t * np.where(same, 0.5, logistic(np.where(same, 0.0, mine - other)))


def _share(t: Value, wins: Value, ties: Value) -> Value:
    """All of `t` where this argument was chosen, half where both were."""
    return np.where(wins, t, np.where(ties, 0.5 * t, 0.0))


def _fmax_share(t: Value, mine: Value, other: Value) -> Value:
    return _share(t, (mine > other) | (np.isnan(other) & ~np.isnan(mine)), mine == other)


def _fmin_share(t: Value, mine: Value, other: Value) -> Value:
    return _share(t, (mine < other) | (np.isnan(other) & ~np.isnan(mine)), mine == other)


def _clip_x(t: Value, out: Value, x: Value, low: Value, high: Value) -> Value:
    """1 inside and on the bounds."""
    return np.where((x >= low) & (x <= high), t, 0.0)


def _clip_low(t: Value, out: Value, x: Value, low: Value, high: Value) -> Value:
    return np.where((x < low) & (low <= high), t, 0.0)


def _clip_high(t: Value, out: Value, x: Value, low: Value, high: Value) -> Value:
    return np.where((x > high) | (low > high), t, 0.0)


# -- the table --------------------------------------------------------------------------------------------------------

ROWS: dict[str, Row] = {
    # arithmetic
    "neg": Row(np.negative, (lambda t, out, x: -t,)),
    "add": Row(np.add, (lambda t, out, x, y: t, lambda t, out, x, y: t)),
    "sub": Row(np.subtract, (lambda t, out, x, y: t, lambda t, out, x, y: -t)),
    "mul": Row(np.multiply, (lambda t, out, x, y: t * y, lambda t, out, x, y: t * x)),
    "div": Row(np.true_divide, (lambda t, out, x, y: t / y, lambda t, out, x, y: -(t / y) * out)),
    "floor_divide": Row(np.floor_divide, (None, None)),
    "remainder": Row(np.remainder, (lambda t, out, x, y: t, lambda t, out, x, y: -t * np.floor_divide(x, y))),
    "fmod": Row(np.fmod, (lambda t, out, x, y: t, lambda t, out, x, y: -t * np.trunc(x / y))),
    "pow": Row(np.power, (_pow_base, _pow_exponent)),
    "square": Row(np.square, (lambda t, out, x: 2 * t * x,)),
    "sqrt": Row(np.sqrt, (lambda t, out, x: 0.5 * t / out,)),
    "cbrt": Row(np.cbrt, (lambda t, out, x: t / (3 * out * out),)),
    "reciprocal": Row(np.reciprocal, (lambda t, out, x: -t * out * out,)),
    "abs": Row(np.absolute, (lambda t, out, x: t * np.sign(x),)),
    "sign": Row(np.sign, (None,)),
    "copysign": Row(np.copysign, (lambda t, out, x, y: t * np.sign(x) * np.copysign(np.ones_like(y), y), None)),
    "nextafter": Row(np.nextafter, (lambda t, out, x, y: t, None)),
    # exponentials and logarithms
    "exp": Row(np.exp, (lambda t, out, x: t * out,)),
    "exp2": Row(np.exp2, (lambda t, out, x: LN2 * t * out,)),
    "expm1": Row(np.expm1, (lambda t, out, x: t * np.exp(x),)),
    "log": Row(np.log, (lambda t, out, x: t / x,)),
    "log2": Row(np.log2, (lambda t, out, x: t / (LN2 * x),)),
    "log10": Row(np.log10, (lambda t, out, x: t / (LN10 * x),)),
    "log1p": Row(np.log1p, (lambda t, out, x: t / (1 + x),)),
    "logaddexp": Row(
        np.logaddexp, (lambda t, out, x, y: _logaddexp_share(t, x, y), lambda t, out, x, y: _logaddexp_share(t, y, x))
    ),
    "logistic": Row(_logistic, (lambda t, out, x: t * out * (1 - out),)),
    "erf": Row(_special("erf"), (lambda t, out, x: (2 / math.sqrt(math.pi)) * t * np.exp(-x * x),)),
    "erfc": Row(_special("erfc"), (lambda t, out, x: (-2 / math.sqrt(math.pi)) * t * np.exp(-x * x),)),
    "erfcx": Row(_special("erfcx"), (lambda t, out, x: t * _erfcx_slope(x, out),)),
    "erf_inv": Row(_erf_inv, (lambda t, out, x: (math.sqrt(math.pi) / 2) * t * np.exp(out * out),)),
    # trigonometric and hyperbolic
    "sin": Row(np.sin, (lambda t, out, x: t * np.cos(x),)),
    "cos": Row(np.cos, (lambda t, out, x: -t * np.sin(x),)),
    "tan": Row(np.tan, (lambda t, out, x: t * (1 + out * out),)),
    "arcsin": Row(np.arcsin, (lambda t, out, x: t / np.sqrt((1 - x) * (1 + x)),)),
    "arccos": Row(np.arccos, (lambda t, out, x: -t / np.sqrt((1 - x) * (1 + x)),)),
    "arctan": Row(np.arctan, (lambda t, out, x: t / (1 + x * x),)),
    "sinh": Row(np.sinh, (lambda t, out, x: t * np.cosh(x),)),
    "cosh": Row(np.cosh, (lambda t, out, x: t * np.sinh(x),)),
    "tanh": Row(np.tanh, (lambda t, out, x: t * (1 - out * out),)),
    "arcsinh": Row(np.arcsinh, (lambda t, out, x: t / np.hypot(np.ones_like(x), x),)),
    "arccosh": Row(np.arccosh, (lambda t, out, x: t / np.sqrt((x - 1) * (x + 1)),)),
    "arctanh": Row(np.arctanh, (lambda t, out, x: t / ((1 - x) * (1 + x)),)),
    "arctan2": Row(
        np.arctan2, (lambda t, out, y, x: t * x / (x * x + y * y), lambda t, out, y, x: -t * y / (x * x + y * y))
    ),
    "hypot": Row(np.hypot, (lambda t, out, x, y: _hypot_side(t, out, x), lambda t, out, x, y: _hypot_side(t, out, y))),
    # rounding
    "floor": Row(np.floor, (None,)),
    "ceil": Row(np.ceil, (None,)),
    "rint": Row(np.rint, (None,)),
    "trunc": Row(np.trunc, (None,)),
    # choosing
    "maximum": Row(
        np.maximum, (lambda t, out, x, y: _share(t, x > y, x == y), lambda t, out, x, y: _share(t, y > x, x == y))
    ),
    "minimum": Row(
        np.minimum, (lambda t, out, x, y: _share(t, x < y, x == y), lambda t, out, x, y: _share(t, y < x, x == y))
    ),
    "fmax": Row(np.fmax, (lambda t, out, x, y: _fmax_share(t, x, y), lambda t, out, x, y: _fmax_share(t, y, x))),
    "fmin": Row(np.fmin, (lambda t, out, x, y: _fmin_share(t, x, y), lambda t, out, x, y: _fmin_share(t, y, x))),
    "clip": Row(_clip, (_clip_x, _clip_low, _clip_high)),
    "select": Row(
        _select, (None, lambda t, out, c, x, y: np.where(c, t, 0.0), lambda t, out, c, x, y: np.where(c, 0.0, t))
    ),
    # comparison, logic, bits, inspection
    "equal": Row(np.equal, (None, None), "bool"),
    "not_equal": Row(np.not_equal, (None, None), "bool"),
    "less": Row(np.less, (None, None), "bool"),
    "less_equal": Row(np.less_equal, (None, None), "bool"),
    "greater": Row(np.greater, (None, None), "bool"),
    "greater_equal": Row(np.greater_equal, (None, None), "bool"),
    "logical_and": Row(np.logical_and, (None, None), "bool"),
    "logical_or": Row(np.logical_or, (None, None), "bool"),
    "logical_xor": Row(np.logical_xor, (None, None), "bool"),
    "logical_not": Row(np.logical_not, (None,), "bool"),
    "bitwise_and": Row(np.bitwise_and, (None, None)),
    "bitwise_or": Row(np.bitwise_or, (None, None)),
    "bitwise_xor": Row(np.bitwise_xor, (None, None)),
    "invert": Row(np.invert, (None,)),
    "left_shift": Row(np.left_shift, (None, None)),
    "right_shift": Row(np.right_shift, (None, None)),
    "isnan": Row(np.isnan, (None,), "bool"),
    "isinf": Row(np.isinf, (None,), "bool"),
    "isfinite": Row(np.isfinite, (None,), "bool"),
    "signbit": Row(np.signbit, (None,), "bool"),
    # the identity that lets no derivative through
    "stop_gradient": Row(np.positive, (None,)),
}


@cache
def _is_defined(row: str, dtype: DType) -> bool:
    """Whether the row's function computes in `dtype` itself, without promoting its operands."""
    function = ROWS[row].function
    if not isinstance(function, np.ufunc):
        return dtype.kind == "f" or function in (_select, _clip)
    try:
        found = function.resolve_dtypes((*[dtype] * function.nin, None))
    except TypeError:
        return False
    return found[0] == dtype and found[-1] == (BOOL if ROWS[row].result == "bool" else dtype)


@dataclass(frozen=True, slots=True)
class Elementwise(Primitive):
    """A row of the table, applied to operands of one shape.

    All operands have one dtype, but for the condition of `select`, which is bool.
    """

    row: str = field(repr=False)

    @property
    def name(self) -> str:
        return self.row

    def infer(self, *types: ArrayType) -> ArrayType:
        row = ROWS[self.row]
        if len(types) != len(row.partials):
            raise ShapeError(f"{self.row} takes {len(row.partials)} operands, got {len(types)}")
        if self.row == "select" and types[0].dtype != BOOL:
            raise DtypeError(f"select: the condition must be bool, got {types[0]}")
        last = types[-1]
        for position, type in enumerate(types):
            if type.shape != last.shape:
                raise ShapeError(f"{self.row}: operand {position} has type {type}, expected shape {last.shape}")
            if type.dtype != last.dtype and not (self.row == "select" and position == 0):
                raise DtypeError(f"{self.row}: operand {position} has type {type}, expected dtype {last.dtype}")
        if not _is_defined(self.row, last.dtype):
            raise DtypeError(
                f"{self.row} is not defined for {last}; convert the operands to a floating-point dtype first"
            )
        return array_type(last.shape, BOOL) if row.result == "bool" else last

    def evaluate(self, *arrays: Any) -> Any:
        return ROWS[self.row].function(*arrays)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [
            partial(ct, out, *inputs) if asked and partial is not None else None
            for partial, asked in zip(ROWS[self.row].partials, wanted, strict=True)
        ]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        total = None
        for partial, t in zip(ROWS[self.row].partials, tangents, strict=True):
            if t is not None and partial is not None:
                term = partial(t, out, *inputs)
                total = term if total is None else total + term
        return total

    def linear_in(self, operands: Sequence[bool]) -> bool:
        match self.row:
            case "neg" | "add" | "sub":
                return True
            case "mul":
                return sum(operands) == 1
            case "div":
                return not operands[1]
            case "select":
                return not operands[0]
        return False

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(self, *repeated(size, inputs, batched))


ELEMENTWISE: dict[str, Elementwise] = {row: Elementwise(row) for row in ROWS}
"""The one instance of each row."""
