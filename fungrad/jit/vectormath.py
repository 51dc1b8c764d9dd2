"""Exponentials, logarithms and their relatives as branch-free polynomials, which LLVM vectorises.

Calls to the C library are scalar: a loop with one `exp` in it cannot use vector registers. Here every function is
arithmetic, bit operations and selects only. Each is written once for both precisions; the tables hold the coefficients.

Method. exp: x = k log 2 + r with |r| <= log(2)/2, a polynomial in r, scaling by 2**k in two steps, so that results
below the smallest normal number come out right. log: x = 2**k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), s = f / (2
+ f), and the series of atanh in s, as in Sun's fdlibm (e_log.c describes it). tanh, logistic, expm1: from exp with
its rounding error kept in a second number, which corrects the quotient. Polynomials are Chebyshev fits on the reduced
intervals; the reduction uses fused multiply-add, so nothing is lost in it.

tests/jit/test_vectormath.py measures the error of each function in ulp against mpmath; docs/vectormath.md has the
table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from fungrad.jit import vectortrig
from fungrad.jit.registers import SINGLE, Number, format_of


class _Tables(NamedTuple):
    """What differs between the precisions."""

    ln2_high: float
    ln2_low: float
    exp_top: float  # above this exp overflows, whatever is below it may not
    exp_bottom: float  # below this exp is 0
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r**2 on |r| <= log(2)/2, highest power first
    log: tuple[float, ...]  # (2 atanh(s)/s - 2) / s**2 in s**2
    tanh: tuple[float, ...]  # (tanh(x)/x - 1) / x**2 in x**2, on |x| <= tanh_small
    tanh_small: float
    tanh_large: float  # beyond this tanh is 1
    sinh: tuple[float, ...]  # (sinh(x)/x - 1) / x**2 in x**2, on |x| < 1
    tiny: float  # smallest normal number
    tiny_scale: float  # brings subnormal numbers into the normal range
    tiny_shift: int


_DOUBLE = _Tables(
    ln2_high=0.6931471805599453,
    ln2_low=2.3190468138462996e-17,
    exp_top=709.8,
    exp_bottom=-745.2,
    exp=(
        2.0914686968086876e-09,
        2.5105217004720745e-08,
        2.75572736431103e-07,
        2.7557255400206422e-06,
        2.4801587325547743e-05,
        0.00019841269874820627,
        0.0013888888888883748,
        0.008333333333326136,
        0.04166666666666667,
        0.1666666666666667,
        0.5,
    ),
    log=(
        0.13088034850927555,
        0.13268638369266825,
        0.15386244737621665,
        0.18181795547521137,
        0.22222222392581045,
        0.28571428570799784,
        0.40000000000000885,
        0.6666666666666666,
    ),
    tanh=(
        7.634414185118713e-06,
        -3.333062013997152e-05,
        9.427778828319503e-05,
        -0.00023836459039376214,
        0.0005898788187502341,
        -0.0014558149436249654,
        0.003592126352822234,
        -0.008863235437120377,
        0.02186948853313033,
        -0.05396825396820291,
        0.133333333333333,
        -0.3333333333333333,
    ),
    tanh_small=0.5625,
    tanh_large=22.0,
    sinh=tuple(1 / math.factorial(n) for n in range(17, 1, -2)),
    tiny=2.0**-1022,
    tiny_scale=2.0**54,
    tiny_shift=54,
)

_SINGLE = _Tables(
    ln2_high=0.6931471824645996,
    ln2_low=-1.904654299957768e-09,
    exp_top=88.8,
    exp_bottom=-104.0,
    exp=(
        0.00019890990824673654,
        0.0013933649996309251,
        0.0083333109254809,
        0.041666464925285904,
        0.16666666681623232,
        0.500000001346581,
    ),
    log=(0.23331614471843498, 0.28550778633191964, 0.4000012221181065, 0.6666666655404201),
    tanh=(
        -0.0009483058960434726,
        0.003390026340593066,
        -0.008821457094286857,
        0.021864969421908135,
        -0.05396801880934614,
        0.13333332871396017,
        -0.33333333331843856,
    ),
    tanh_small=0.5625,
    tanh_large=10.0,
    sinh=tuple(1 / math.factorial(n) for n in range(11, 1, -2)),
    tiny=2.0**-126,
    tiny_scale=2.0**25,
    tiny_shift=25,
)


def _tables(x: Number) -> _Tables:
    return _SINGLE if x.format is SINGLE else _DOUBLE


def _power_of_two(x: Number, k: ir.Value) -> Number:
    """2**k for k in the range of normal exponents."""
    b = x.b
    return x.from_bits(b.shl(b.add(k, x.integer(x.format.bias)), x.integer(x.format.mantissa)))


def _scale(x: Number, k: ir.Value) -> Number:
    """x 2**k in two steps, so that neither overflows and only the last one rounds."""
    b = x.b
    half = b.ashr(k, x.integer(1))
    return x * _power_of_two(x, half) * _power_of_two(x, b.sub(k, half))


def _reduce(x: Number) -> tuple[Number, Number, ir.Value]:
    """r, low and k with x = k log 2 + r + low, where low is the rounding error of r."""
    t = _tables(x)
    whole, k = x.rounded(1.4426950408889634)
    exact = (-whole).times_plus(t.ln2_high, x)
    r = (-whole).times_plus(t.ln2_low, exact)
    return r, (-whole).times_plus(t.ln2_low, exact - r), k


def _clamped(x: Number) -> Number:
    """x within the range where exp is neither 0 nor infinite; nan stays nan."""
    t = _tables(x)
    x = x.lift(t.exp_top).where(x.compare(">", t.exp_top), x)
    return x.lift(t.exp_bottom).where(x.compare("<", t.exp_bottom), x)


def _exp_parts(x: Number) -> tuple[Number, Number, ir.Value]:
    """exp(x) = (high + low) 2**k, where low is the rounding error of high, for x already clamped."""
    r, lost, k = _reduce(x)
    u = r + (r * r).times_plus(r.polynomial(_tables(x).exp), lost)
    high = 1.0 + u
    return high, u - (high - 1.0), k


def exp(x: Number) -> Number:
    high, _, k = _exp_parts(_clamped(x))
    return _scale(high, k)


def exp2(x: Number) -> Number:
    t, form = _tables(x), x.format
    limit, lowest = float(form.bias + 1), -float(form.bias + form.mantissa + 1)
    c = x.lift(limit).where(x.compare(">", limit), x)
    c = x.lift(lowest).where(c.compare("<", lowest), c)
    whole, k = c.rounded()
    rest = c - whole
    r = rest * t.ln2_high
    low = rest.times_plus(t.ln2_high, -r) + rest * t.ln2_low
    u = r + (r * r).times_plus(r.polynomial(t.exp), low)
    return _scale(1.0 + u, k)


def expm1(x: Number) -> Number:
    """2**k (exp(r) - 1) + (2**k - 1): both terms keep their small parts."""
    t = _tables(x)
    c = _clamped(x)
    c = x.lift(-40.0).where(c.compare("<", -40.0), c)  # there the result is -1
    r, lost, k = _reduce(c)
    square = r * r
    square_low = r.times_plus(r, -square)
    rest = 0.5 * square + (0.5 * square_low + (square * r).times_plus(r.polynomial(t.exp[:-1]), lost))
    # exp(r) - 1 = r + rest
    half = c.b.ashr(k, c.integer(1))
    first, second = _power_of_two(c, half), _power_of_two(c, c.b.sub(k, half))
    # for k near the top 2**k overflows; then -1 does not matter and the factor is applied last
    scale = first * second
    head, head_lost = scale.add_exactly(-1.0)
    total, total_lost = head.add_exactly(scale * r)
    small = total + ((head_lost + total_lost) + scale * rest)
    large = (1.0 + (r + rest)) * first * second
    result = large.where(c.compare(">", 0.97 * t.exp_top), small)
    return x.where(x.compare("==", 0.0), result)  # keeps the sign of zero


def _log_parts(x: Number) -> tuple[Number, Number]:
    """f and k with x = 2**k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)); x positive, finite and normal."""
    b = x.b
    half_root = x.lift(0.7071067811865476).bits()
    above = b.sub(x.bits(), half_root)
    k = b.ashr(above, x.integer(x.format.mantissa))
    fraction = x.from_bits(b.sub(x.bits(), b.shl(k, x.integer(x.format.mantissa))))
    return fraction - 1.0, _float_of(x, k)


def _float_of(x: Number, k: ir.Value) -> Number:
    """A small integer as a number."""
    magic = x.lift(x.format.round_magic)
    return x.from_bits(x.b.add(k, magic.bits())) - magic


def _log_edges(x: Number, result: Number) -> Number:
    """nan for negative arguments, -inf at 0, inf at inf, nan at nan."""
    result = result.lift(-np.inf).where(x.compare("==", 0.0), result)
    result = x.where(x.compare("==", np.inf), result)
    ordinary = x.compare(">=", 0.0)
    return result.where(ordinary, np.nan)


def _normal(x: Number) -> tuple[Number, Number]:
    """x as a normal number and the power of two it was multiplied by (for subnormal x)."""
    t = _tables(x)
    small = x.compare("<", t.tiny)
    return (x * t.tiny_scale).where(small, x), x.lift(-float(t.tiny_shift)).where(small, 0.0)


def _log1p_of(f: Number, k: Number, correction: Number | float) -> Number:
    """k log 2 + log(1 + f) + correction."""
    t = _tables(f)
    s = f / (2.0 + f)
    z = s * s
    square = 0.5 * (f * f)
    series = z * z.polynomial(t.log)
    low = k.times_plus(t.ln2_low, correction) + s * (square + series)
    return k.times_plus(t.ln2_high, f - (square - low))


def log(x: Number) -> Number:
    normal, shift = _normal(x)
    f, k = _log_parts(normal)
    return _log_edges(x, _log1p_of(f, k + shift, 0.0))


def log1p(x: Number) -> Number:
    """log(u) for u = 1 + x rounded, plus what rounding lost."""
    u = 1.0 + x
    f, k = _log_parts(u)
    lost = (x - (u - 1.0)).where(x.compare("<", 1.0), 1.0 - (u - x)) / u
    exact = k.compare("==", 0.0)  # then f is x itself
    result = _log1p_of(x.where(exact, f), k, (lost - lost).where(exact, lost))
    result = _log_edges(u, result)
    return x.where(x.compare("==", 0.0), result)


def tanh(x: Number) -> Number:
    """A polynomial near 0, else 1 - 2 / (exp(2|x|) + 1)."""
    t = _tables(x)
    a = x.abs()
    a = x.lift(t.tanh_large).where(a.compare(">", t.tanh_large), a)
    z = x * x
    near = x.times_plus(z * z.polynomial(t.tanh), x)
    high, low, k = _exp_parts(2.0 * a)
    scale = _power_of_two(x, k)
    high, low = high * scale, low * scale
    total = high + 1.0
    rest = (high - (total - 1.0)) + low
    inverse = 1.0 / total
    quotient = 2.0 * inverse
    lost = (-quotient).times_plus(total, 2.0) - quotient * rest
    far = 1.0 - quotient
    far = far + (((1.0 - far) - quotient) - lost * inverse)
    return near.where(a.compare("<", t.tanh_small), far).with_sign_of(x)  # near gives 0.0 for -0.0


def logistic(x: Number) -> Number:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|), the quotient corrected by what rounding lost."""
    high, low, k = _exp_parts(_clamped(-x.abs()))
    high, low = _scale(high, k), _scale(low, k)
    total = 1.0 + high
    rest = (high - (total - 1.0)) + low
    positive = x.compare(">=", 0.0)
    top, top_low = x.lift(1.0).where(positive, high), x.lift(0.0).where(positive, low)
    inverse = 1.0 / total
    quotient = top * inverse
    lost = (-quotient).times_plus(total, top) + (top_low - quotient * rest)
    return lost.times_plus(inverse, quotient)


def _half_exp(a: Number) -> tuple[Number, Number]:
    """exp(a) / 2 and its rounding error, for a >= 0; infinite where cosh is."""
    top = _tables(a).exp_top + 0.7
    high, low, k = _exp_parts(a.lift(top).where(a.compare(">", top), a))
    k = a.b.sub(k, a.integer(1))
    return _scale(high, k), _scale(low, k)


def sinh(x: Number) -> Number:
    """The Taylor series near 0, else e/2 - 1/(2e)."""
    z = x * x
    near = x.times_plus(z * z.polynomial(_tables(x).sinh), x)
    high, low = _half_exp(x.abs())
    far = high - (0.25 / high - low)
    return near.where(x.abs().compare("<", 1.0), far.with_sign_of(x))


def cosh(x: Number) -> Number:
    """e/2 + 1/(2e)."""
    high, low = _half_exp(x.abs())
    return high + (0.25 / high + low)


FUNCTIONS: dict[str, Callable[[Number], Number]] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "tanh": tanh,
    "logistic": logistic,
    "sinh": sinh,
    "cosh": cosh,
    "sin": vectortrig.sin,
    "cos": vectortrig.cos,
}
"""The rows computed here; the others call the C library."""


def apply(name: str, b: ir.IRBuilder, x: Any) -> Any:
    """The LLVM value of a function of an LLVM value."""
    return FUNCTIONS[name](Number(b, format_of(x), x)).value
