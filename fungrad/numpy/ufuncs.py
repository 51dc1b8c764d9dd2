"""NumPy's ufuncs on tracers: each is a row of the elementwise table or a short composition of such."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, UnsupportedError
from fungrad.ir.types import BOOL
from fungrad.numpy import gamma_functions
from fungrad.numpy.promotion import (
    as_operand,
    as_value,
    broadcast_shape,
    cast,
    common_dtype,
    elementwise,
    kind_of,
    loop_dtypes,
    shape_of,
    spread_to,
)
from fungrad.primitives.convert import convert
from fungrad.primitives.create import full
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS, erf, erf_inv, erfc, erfcx, logistic
from fungrad.trace import Tracer, bind, concrete_value, user_line

ROW_OF: dict[Any, str] = {
    row.function: name for name, row in ROWS.items() if isinstance(row.function, np.ufunc) and name != "stop_gradient"
}
"""The elementwise row of a ufunc."""

UNARY = {
    ufunc: ELEMENTWISE[row]
    for ufunc, row in ROW_OF.items()
    if ufunc.nin == 1 and any(loop.startswith("d->") for loop in ufunc.types)
}
"""The primitives of ufuncs of one argument that take floats as they are."""

COMPARISONS = {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}


def apply_row(ufunc: Any, *operands: Any) -> Any:
    """A ufunc that is a row, on whatever the user passed."""
    values = [as_operand(x) for x in operands]
    if ufunc in COMPARISONS:
        return compare(ufunc, *values)
    return elementwise(ROW_OF[ufunc], ufunc, *values)


def compare(ufunc: Any, x: Any, y: Any) -> Any:
    """A comparison, with NumPy's exact answers where no common dtype holds both operands."""
    for a, b in ((x, y), (y, x)):
        if type(a) is int and not isinstance(kind_of(b), type) and kind_of(b).kind in "iu":
            bounds = np.iinfo(kind_of(b))
            if not bounds.min <= a <= bounds.max:  # the answer is the same for every value of the other operand
                zero = kind_of(b).type(0)
                answer = ufunc(zero, y) if a is y else ufunc(x, zero)
                return _constant_like(b, full(b.shape, answer, BOOL))
    kinds = [kind_of(x), kind_of(y)]
    if {getattr(k, "kind", "") for k in kinds} == {"i", "u"} and np.dtype(np.uint64) in kinds:
        return _compare_signed(ufunc, x, y)
    return elementwise(ROW_OF[ufunc], ufunc, x, y)


def _compare_signed(ufunc: Any, x: Any, y: Any) -> Any:
    """A signed integer against uint64: negative numbers are below all, the others are compared as uint64."""
    unsigned = np.dtype(np.uint64)
    signed, answer = (x, ufunc(-1, 0)) if kind_of(x).kind == "i" else (y, ufunc(0, -1))
    inside = elementwise(ROW_OF[ufunc], ufunc, convert(x, unsigned), convert(y, unsigned))
    return where(elementwise("less", np.less, signed, 0), bool(answer), inside)


def _constant_like(x: Any, value: Any) -> Any:
    return x.owner.constant(value) if type(x) is Tracer else value


def where(condition: Any, x: Any, y: Any) -> Any:
    """`np.where` with three arguments."""
    condition, x, y = as_value(condition), as_operand(x), as_operand(y)
    if condition.dtype != BOOL:
        condition = elementwise("not_equal", np.not_equal, condition, 0)
    dtype = common_dtype(x, y)
    shape = broadcast_shape("where", condition.shape, shape_of(x), shape_of(y))
    return bind(
        ELEMENTWISE["select"],
        spread_to(condition, shape, BOOL),
        spread_to(x, shape, dtype),
        spread_to(y, shape, dtype),
    )


def clip(x: Any, low: Any = None, high: Any = None) -> Any:
    """`np.clip`: bounds are inclusive, also for the derivative."""
    x = as_operand(x)
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if kind in ("i", "u"):  # numbers beyond what the dtype can hold bound nothing
        limits = np.iinfo(x.dtype)
        low = None if type(low) is int and low <= limits.min else low
        high = None if type(high) is int and high >= limits.max else high
    if low is None and high is None:
        return positive(x)
    bounds = [as_operand(bound) for bound in (low, high) if bound is not None]
    dtype = common_dtype(x, *bounds)
    lowest, highest = (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low = lowest if low is None else as_operand(low)
    high = highest if high is None else as_operand(high)
    shape = broadcast_shape("clip", *map(shape_of, (x, low, high)))
    return bind(ELEMENTWISE["clip"], *[spread_to(v, shape, dtype) for v in (x, low, high)])


def power(x: Any, y: Any) -> Any:
    """`np.power`; small constant exponents use the exact and differentiable special functions, as NumPy does."""
    x, y = as_operand(x), as_operand(y)
    if type(y) in (int, float) and type(x) is Tracer:
        kind = x.dtype.kind
        if kind == "f" or (type(y) is int and kind in "iu"):
            if y == 2:
                return bind(ELEMENTWISE["square"], x)
            if y == 1:
                return positive(x)
        if kind == "f":
            if y == 0.5:
                return bind(ELEMENTWISE["sqrt"], x)
            if y == -1:
                return bind(ELEMENTWISE["reciprocal"], x)
        if kind in "iu" and type(y) is int and y < 0:
            raise _negative_power(y)
    if loop_dtypes(np.power, (kind_of(x), kind_of(y)))[-1].kind == "i":
        exponents = concrete_value(y) if type(y) is Tracer else y
        if exponents is not None and np.any(exponents < 0):
            raise _negative_power("some of the exponents")
    return elementwise("pow", np.power, x, y)


def _negative_power(which: Any) -> DtypeError:
    return DtypeError(
        f"np.power: an integer to a negative integer power ({which}) is not an integer, at {user_line()}. Convert "
        "the base with astype(np.float64)."
    )


def positive(x: Any) -> Any:
    """A copy: another tracer of the same value."""
    x = as_value(x)
    if type(x) is not Tracer:
        return x
    if x.dtype == BOOL:
        raise DtypeError(f"np.positive is not defined for dtype bool, at {user_line()}.")
    return copy(x)


def copy(x: Tracer) -> Tracer:
    """Another tracer of the same value, which in-place assignment to the first leaves alone."""
    return Tracer(x.owner, x.operand, x.value)


def as_float(x: Any) -> Any:
    """An operand as floats, as transcendental ufuncs take it; integers become float64."""
    x = as_value(x)
    return x if x.dtype.kind == "f" else cast(x, np.dtype(np.float64))


def _heaviside(x: Any, middle: Any) -> Any:
    return np.where(np.isnan(x), x, np.where(x == 0, middle, (x > 0).astype(x.dtype)))


def _logaddexp2(x: Any, y: Any) -> Any:
    ln2 = math.log(2.0)
    return np.logaddexp(x * ln2, y * ln2) / ln2


def _logit(x: Any) -> Any:
    x = as_float(x)
    return np.log(x) - np.log1p(-x)


def _log_expit(x: Any) -> Any:
    x = as_float(x)
    return -np.logaddexp(np.zeros_like(x), -x)


def _xlogy(x: Any, y: Any) -> Any:
    return _times_log(np.log, as_float(x), as_float(y), 0.0)


def _xlog1py(x: Any, y: Any) -> Any:
    return _times_log(np.log1p, as_float(x), as_float(y), -1.0)


def _times_log(log: Callable[..., Any], x: Any, y: Any, pole: float) -> Any:
    """x log(y); 0 where x is 0 and y a number, also one whose logarithm is not finite."""
    undefined = (x == 0) & ((y <= pole) | (y == np.inf))
    return x * log(np.where(undefined, pole + 1.0, y))


def _entr(x: Any) -> Any:
    x = as_float(x)
    return np.where(x < 0, -np.inf, -_xlogy(x, x))


def _rel_entr(x: Any, y: Any) -> Any:
    """x log(x/y), by the logarithm that loses no digits; 0 where x is 0 and y is not below 0."""
    x, y = as_float(x), as_float(y)
    regular = (x > 0) & (y > 0)
    p, q = np.where(regular, x, 1.0), np.where(regular, y, 1.0)
    ratio = p / q
    near, inside = (ratio > 0.5) & (ratio < 2.0), (ratio > np.finfo(ratio.dtype).tiny) & (ratio < np.inf)
    of_ratio = np.where(near, np.log1p(np.where(near, (p - q) / q, 0.0)), np.log(np.where(inside, ratio, 1.0)))
    value = p * np.where(inside, of_ratio, np.log(p) - np.log(q))
    odd = np.where(np.isnan(x) | np.isnan(y), np.nan, np.where((x == 0) & (y >= 0), 0.0, np.inf))
    return np.where(regular, value, odd)


def _log_ndtr(x: Any) -> Any:
    """log(ndtr(x)), also where ndtr is too small for a number. Each branch is evaluated where it is exact."""
    y = as_float(x) * -math.sqrt(0.5)
    below = y > 0.7
    tail = np.where(below, y, 1.0)
    return np.where(below, np.log(0.5 * erfcx(tail)) - tail * tail, np.log1p(-0.5 * erfc(np.where(below, 0.0, -y))))


def _ldexp(x: Any, n: Any) -> Any:
    """x 2**n by three powers that are numbers themselves, of which the last alone can round."""
    limits = np.finfo(x.dtype)
    normal, least, most = limits.minexp, limits.minexp - limits.nmant, limits.maxexp - 1
    n = np.clip(n.astype(np.int64), 2 * normal + least, 3 * most)
    for _ in range(2):
        power = np.where(n < least, normal, np.minimum(n, most))
        x, n = x * np.exp2(power.astype(x.dtype)), n - power
    return x * np.exp2(n.astype(x.dtype))


def _modf(x: Any) -> Any:
    whole = np.trunc(x)
    return x - whole, whole


def _promoted(ufunc: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """A composition on operands in the dtypes the ufunc computes in."""

    def apply(*inputs: Any) -> Any:
        values = [as_operand(x) for x in inputs]
        dtypes = loop_dtypes(ufunc, tuple([kind_of(x) for x in values]))
        return function(*[cast(x, dtype) for x, dtype in zip(values, dtypes, strict=False)])

    return apply


_PROMOTED: dict[Any, Callable[..., Any]] = {
    np.conjugate: lambda x: copy(x) if type(x) is Tracer else x,
    np.fabs: np.absolute,
    np.float_power: np.power,
    np.deg2rad: lambda x: x * (math.pi / 180),
    np.radians: lambda x: x * (math.pi / 180),
    np.rad2deg: lambda x: x * (180 / math.pi),
    np.degrees: lambda x: x * (180 / math.pi),
    np.divmod: lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    np.modf: _modf,
    np.heaviside: _heaviside,
    np.logaddexp2: _logaddexp2,
    np.ldexp: _ldexp,
}

COMPOSITES: dict[Any, Callable[..., Any]] = {
    np.power: power,
    np.positive: positive,
    **{ufunc: _promoted(ufunc, function) for ufunc, function in _PROMOTED.items()},
}
"""Ufuncs made of others."""

SCIPY: dict[str, Callable[..., Any]] = {
    "erf": lambda x: erf(as_float(x)),
    "erfinv": lambda x: erf_inv(as_float(x)),
    "erfc": lambda x: erfc(as_float(x)),
    "erfcx": lambda x: erfcx(as_float(x)),
    "expit": lambda x: logistic(as_float(x)),
    "logit": _logit,
    "log_expit": _log_expit,
    "xlogy": _xlogy,
    "xlog1py": _xlog1py,
    "entr": _entr,
    "ndtr": lambda x: 0.5 * erfc(as_float(x) * -math.sqrt(0.5)),
    "log_ndtr": _log_ndtr,
    "gammaln": gamma_functions.gammaln,
    "loggamma": gamma_functions.loggamma,
    "psi": gamma_functions.psi,
    "betaln": gamma_functions.betaln,
    "rel_entr": _rel_entr,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "exp2": np.exp2,
    "cbrt": np.cbrt,
}
"""Ufuncs of scipy.special, by name: looking them up must not import scipy."""


def call(ufunc: Any, inputs: tuple[Any, ...]) -> Any:
    """A ufunc on inputs of which at least one is a tracer."""
    composite = COMPOSITES.get(ufunc)
    if composite is not None:
        return composite(*inputs)
    if ufunc in ROW_OF:
        return apply_row(ufunc, *inputs)
    known = SCIPY.get(ufunc.__name__)
    if known is not None:
        return known(*inputs)
    raise UnsupportedError(
        f"the ufunc {ufunc.__name__} cannot be traced, at {user_line()}. Write it with functions that can, such as "
        "np.exp, np.log, np.where or scipy.special.erf."
    )
