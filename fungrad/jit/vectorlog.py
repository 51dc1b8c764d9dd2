"""Logarithms, and the inverse hyperbolic functions, without branches.

x = 2**k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); s = f / (2 + f); log(1 + f) = 2 atanh(s), the series of which is a
polynomial in s**2 (a Chebyshev fit); it is rearranged to f - f**2/2 + s (f**2/2 + series), where only small terms are
rounded, as in Sun's fdlibm (e_log.c describes it). log2 and log10 multiply it, kept as a sum of two numbers, with a
constant kept so too. The inverse hyperbolic functions are logarithms of a number of the form u + low.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from fungrad.jit.registers import DOUBLE, SINGLE, Number

# (2 atanh(s)/s - 2) / s**2 in s**2
_SERIES = {
    DOUBLE: (
        0.13088034850927555,
        0.13268638369266825,
        0.15386244737621665,
        0.18181795547521137,
        0.22222222392581045,
        0.28571428570799784,
        0.40000000000000885,
        0.6666666666666666,
    ),
    SINGLE: (0.23331614471843498, 0.28550778633191964, 0.4000012221181065, 0.6666666655404201),
}
LN2 = (0.6931471805599453, 2.3190468138462996e-17)
_LOG2_E = (1.4426950408889634, 2.0355273740931033e-17)
_LOG10_E = (0.4342944819032518, 1.098319650216765e-17)
_LOG10_2 = (0.3010299956639812, -2.8037281277851704e-18)


def split(x: Number) -> tuple[Number, Number]:
    """m in [sqrt(1/2), sqrt(2)) and k with x = 2**k m, for positive, finite x.

    With the bits of sqrt(1/2) taken away the exponent is k; a bias keeps it positive, since there are instructions for
    logical shifts only.
    """
    b, form = x.b, x.format
    small = x.compare("<", 2.0 ** (1 - form.bias))  # subnormal
    shift = form.mantissa + 1
    normal = (x * 2.0**shift).where(small, x).bits()
    root, mantissa = x.lift(0.7071067811865476).bits(), x.integer(form.mantissa)
    above = b.add(b.sub(normal, root), x.integer(form.bias << form.mantissa))
    m = x.from_bits(b.add(b.and_(above, x.integer((1 << form.mantissa) - 1)), root))
    magic = form.round_magic
    k = x.from_bits(b.add(b.lshr(above, mantissa), x.lift(magic).bits()))
    return m, k - x.lift(magic + form.bias + shift).where(small, magic + form.bias)


def float_of(x: Number, k: ir.Value) -> Number:
    """A small integer as a number."""
    magic = x.lift(x.format.round_magic)
    return x.from_bits(x.b.add(k, magic.bits())) - magic


def _edges(x: Number, result: Number) -> Number:
    """nan for negative arguments, -inf at 0, inf at inf, nan at nan."""
    result = result.lift(-np.inf).where(x.compare("==", 0.0), result)
    result = x.where(x.compare("==", np.inf), result)
    return result.where(x.compare(">=", 0.0), np.nan)


def _tail(f: Number, square: Number) -> Number:
    """log(1 + f) - f + f**2/2, where square = f**2/2."""
    s = f / (2.0 + f)
    z = s * s
    return s * z.times_plus(z.polynomial(_SERIES[f.format]), square)


def _natural(f: Number, k: Number, more: Number | float) -> Number:
    """k log 2 + log(1 + f) + more."""
    high, low = f.constant(LN2)
    square = 0.5 * (f * f)
    return k.times_plus(high, f - (square - (k.times_plus(low, more) + _tail(f, square))))


def _other_base(x: Number, scale: tuple[float, float], unit: tuple[float, float]) -> Number:
    """k unit + scale log(m) with x = 2**k m."""
    m, k = split(x)
    f = m - 1.0
    square, square_low = (0.5 * f).times_exactly(f)
    high, low = f.add_smaller(-square)
    low = low + (_tail(f, square) - square_low)
    scale_high, scale_low = x.constant(scale)
    product, product_low = high.times_exactly(scale_high)
    product_low = product_low + low.times_plus(scale_high, high * scale_low)
    unit_high, unit_low = x.constant(unit)
    base, base_low = k.times_exactly(unit_high)
    total, lost = base.add_smaller(product)
    return _edges(x, total + (lost + k.times_plus(unit_low, base_low) + product_low))


def log(x: Number) -> Number:
    m, k = split(x)
    return _edges(x, _natural(m - 1.0, k, 0.0))


def log2(x: Number) -> Number:
    return _other_base(x, _LOG2_E, (1.0, 0.0))


def log10(x: Number) -> Number:
    return _other_base(x, _LOG10_E, _LOG10_2)


def log1p(x: Number) -> Number:
    """log(u) for u = 1 + x rounded, plus what rounding lost."""
    u = 1.0 + x
    m, k = split(u)
    lost = (x - (u - 1.0)).where(x.compare("<", 1.0), 1.0 - (u - x)) / u
    exact = k.compare("==", 0.0)  # then f is x itself
    result = _natural(x.where(exact, m - 1.0), k, x.lift(0.0).where(exact, lost))
    return x.where(x.compare("==", 0.0), _edges(u, result))


def _of_sum(u: Number, low: Number, doublings: Number | float = 0.0) -> Number:
    """log(u + low) + doublings log 2, for u > 0 and |low| far below u."""
    m, k = split(u)
    return _edges(u, _natural(m - 1.0, k + doublings, low / u))


def root_of_sum(high: Number, low: Number) -> tuple[Number, Number]:
    """sqrt(high + low) as a sum of two numbers."""
    total, rest = high.add_smaller(low)
    root = total.sqrt()
    error = ((-root).times_plus(root, total) + rest) / (2.0 * root)
    return root, error.where(root.compare(">", 0.0), 0.0)


def _hyperbolic(a: Number, sign: float) -> Number:
    """log(a + sqrt(a**2 + sign)), for a >= 0."""
    large = a.compare(">", 2.0 ** (a.format.bias // 2))  # then log(2 a)
    c = a.lift(1.0).where(large, a)
    square, square_low = c.times_exactly(c)
    total, lost = square.add_exactly(sign)
    root, root_low = root_of_sum(total, lost + square_low)
    u, rest = c.add_exactly(root)
    zero = a.lift(0.0)
    return _of_sum(a.where(large, u), zero.where(large, rest + root_low), a.lift(1.0).where(large, 0.0))


def arcsinh(x: Number) -> Number:
    a = x.abs()
    tiny = a.compare("<", 2.0 ** -(a.format.mantissa // 2 + 3))  # then x**3/6 is below half an ulp
    return a.where(tiny, _hyperbolic(a, 1.0)).with_sign_of(x)


def arccosh(x: Number) -> Number:
    return _hyperbolic(x, -1.0).where(x.compare(">=", 1.0), np.nan)


def arctanh(x: Number) -> Number:
    """log((1 + |x|) / (1 - |x|)) / 2."""
    a = x.abs()
    top, top_low = a.lift(1.0).add_smaller(a)
    bottom, bottom_low = a.lift(1.0).add_smaller(-a)
    q = top / bottom
    rest = (-q).times_plus(bottom, top) + (top_low - q * bottom_low)
    low = (rest / bottom).where(a.compare("<", 1.0), 0.0)
    result = 0.5 * _of_sum(q, low)
    result = a.where(a.compare("<", 2.0 ** -(a.format.mantissa // 2 + 3)), result)
    return result.where(a.compare("<=", 1.0), np.nan).with_sign_of(x)
