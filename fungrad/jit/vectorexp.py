"""The exponential function and its relatives without branches.

exp: x = k log 2 + r with |r| <= log(2)/2, a polynomial in r, and scaling by 2**k in two steps, so that results below
the smallest normal number come out right. The reduction uses fused multiply-add, so nothing is lost in it. expm1,
logistic, sinh and cosh keep the rounding error of the exponential in a second number, which corrects what they make of
it. tanh: with t = tanh(r) for small r, and |x| = k log(2)/2 + r it is ((1 - w) + (1 + w) t) / ((1 + w) + (1 - w) t),
w = 2**-k; numerator and denominator are sums of two numbers, and the quotient is corrected by what rounding lost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fungrad.jit.registers import SINGLE, Number


class _Tables(NamedTuple):
    """What differs between the precisions. Polynomials are Chebyshev fits, highest power first."""

    ln2_high: float
    ln2_low: float
    top: float  # above this exp overflows, whatever is below it may not
    bottom: float  # below this exp is 0
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r**2 on |r| <= log(2)/2
    tanh: tuple[float, ...]  # (tanh(r)/r - 1) / r**2 in r**2, on |r| <= log(2)/4 + the shift below
    tanh_large: float  # beyond this tanh is 1
    sinh: tuple[float, ...]  # (sinh(x)/x - 1) / x**2 in x**2, on |x| < 1


_DOUBLE = _Tables(
    ln2_high=0.6931471805599453,
    ln2_low=2.3190468138462996e-17,
    top=709.8,
    bottom=-745.2,
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
    tanh=(
        -0.0013872738163953355,
        0.0035889363552714434,
        -0.008863161483714719,
        0.021869487652506927,
        -0.053968253963226916,
        0.1333333333333226,
        -0.3333333333333333,
    ),
    tanh_large=22.0,
    sinh=tuple(1 / math.factorial(n) for n in range(17, 1, -2)),
)

_SINGLE = _Tables(
    ln2_high=0.6931471824645996,
    ln2_low=-1.904654299957768e-09,
    top=88.8,
    bottom=-104.0,
    exp=(
        0.00019890990824673654,
        0.0013933649996309251,
        0.0083333109254809,
        0.041666464925285904,
        0.16666666681623232,
        0.500000001346581,
    ),
    tanh=(-0.05286413610404443, 0.13331924237552012, -0.3333333065943019),
    tanh_large=10.0,
    sinh=tuple(1 / math.factorial(n) for n in range(11, 1, -2)),
)

_LOG2_E = 1.4426950408889634
_SHIFT = 0.0116  # of the intervals that tanh is computed on


def _tables(x: Number) -> _Tables:
    return _SINGLE if x.format is SINGLE else _DOUBLE


class _Power:
    """2**k with the integer k nearest to x * factor.

    As two factors, because one may be beyond the range of exponents; multiplied one after the other, only the last
    multiplication rounds. Adding a large number rounds to an integer, which then stands in the low bits; with the bias
    of the format added twice, each half is an exponent, once shifted.
    """

    def __init__(self, x: Number, factor: float, less: int = 0) -> None:
        """2**(k - less), if that is given."""
        b, form = x.b, x.format
        magic = x.lift(form.round_magic + 2 * form.bias - less)
        whole = x.times_plus(factor, magic)
        half = b.lshr(whole.bits(), x.integer(1))
        shift = x.integer(form.mantissa)
        self.k = whole - magic
        self._first = x.from_bits(b.shl(half, shift))
        self._second = x.from_bits(b.shl(b.sub(whole.bits(), half), shift))

    def times(self, y: Number) -> Number:
        """y 2**k."""
        return y * self._first * self._second


def _narrow_power(x: Number, factor: float, less: int = 0) -> tuple[Number, Number]:
    """k, the integer nearest to x * factor, and 2**(k - less), which must be a normal number."""
    b, form = x.b, x.format
    magic = x.lift(form.round_magic + form.bias - less)
    shifted = x.times_plus(factor, magic)
    return shifted - magic, x.from_bits(b.shl(shifted.bits(), x.integer(form.mantissa)))


def _clamped(x: Number) -> Number:
    """x within the range where exp is neither 0 nor infinite; nan stays nan."""
    t = _tables(x)
    x = x.lift(t.top).where(x.compare(">", t.top), x)
    return x.lift(t.bottom).where(x.compare("<", t.bottom), x)


def _reduced(x: Number, k: Number) -> tuple[Number, Number]:
    """x - k log 2 as a sum of two numbers, the second far smaller."""
    t = _tables(x)
    return (-k).times_plus(t.ln2_high, x), k * -t.ln2_low


def _near_one(high: Number, low: Number) -> tuple[Number, Number]:
    """exp(high + low), rounded, and the rounding error, for arguments up to log(2)/2 and low far smaller."""
    r = high + low
    u, u_low = high.add_smaller((r * r).times_plus(r.polynomial(_tables(r).exp), low))
    total, rest = r.lift(1.0).add_smaller(u)
    return total, rest + u_low


def _exp_parts(x: Number, less: int = 0) -> tuple[Number, Number]:
    """exp(x) / 2**less and its rounding error, for a clamped x."""
    power = _Power(x, _LOG2_E, less)
    high, low = _near_one(*_reduced(x, power.k))
    return power.times(high), power.times(low)


def exp(x: Number) -> Number:
    return _exp_parts(_clamped(x))[0]


def exp_of_sum(x: Number, more: Number) -> Number:
    """exp(x + more) for |more| far below |x|."""
    t = _tables(x)
    inside = x.b.and_(x.compare("<", t.top), x.compare(">", t.bottom))
    c = _clamped(x)
    power = _Power(c, _LOG2_E)
    high, low = _reduced(c, power.k)
    return power.times(_near_one(high, low + more.where(inside, 0.0))[0])


def exp_of_moderate_sum(x: Number, more: Number) -> Number:
    """The same where the result is neither infinite nor below the smallest normal number."""
    k, power = _narrow_power(x, _LOG2_E)
    high, low = _reduced(x, k)
    return _near_one(high, low + more)[0] * power


def exp2(x: Number) -> Number:
    t, form = _tables(x), x.format
    limit, lowest = float(form.bias + 1), -float(form.bias + form.mantissa + 1)
    c = x.lift(limit).where(x.compare(">", limit), x)
    c = x.lift(lowest).where(c.compare("<", lowest), c)
    power = _Power(c, 1.0)
    rest = c - power.k
    r, low = rest.times_exactly(t.ln2_high)
    u = r + (r * r).times_plus(r.polynomial(t.exp), rest.times_plus(t.ln2_low, low))
    return power.times(1.0 + u)


def expm1(x: Number) -> Number:
    """2 (2**(k-1) (exp(r) - 1) + (2**(k-1) - 1/2)): both terms keep their small parts; 2**(k-1) is finite."""
    t, form = _tables(x), x.format
    c = x.lift(t.top).where(x.compare(">", t.top), x)
    c = x.lift(-40.0).where(c.compare("<", -40.0), c)  # there the result is -1
    k, scale = _narrow_power(c, _LOG2_E, less=1)
    high, low = _reduced(c, k)
    r, lost = high.add_smaller(low)
    rest = (r * r).times_plus(r.polynomial(t.exp, last=1), lost.times_plus(r, lost))  # exp(r + lost) - 1 = r + rest
    head, head_lost = scale.add_smaller(-0.5)
    total, total_lost = head.add_smaller(scale * r)
    result = 2.0 * (total + scale.times_plus(rest, head_lost + total_lost))
    return x.where(x.abs().compare("<", 2.0 ** -(form.mantissa + 2)), result)


def tanh(x: Number) -> Number:
    t = _tables(x)
    a = x.abs()
    c = x.lift(t.tanh_large).where(a.compare(">", t.tanh_large), a)
    k, w = _narrow_power(c - _SHIFT, -2 * _LOG2_E)  # k as above but for the sign
    high, low = k.times_plus(0.5 * t.ln2_high, c), k * (0.5 * t.ln2_low)
    r = high + low
    z = r * r
    rest = (z * r).times_plus(z.polynomial(t.tanh), low)  # t = high + rest
    plus = 1.0 + w
    minus = w.times_plus(-2.0, plus)  # 1 - w, multiplied like 1 + w by what rounding made of that

    # with the shift (1 - w)/2 <= top, so that constant - total is exact
    def linear(constant: Number, slope: Number) -> tuple[Number, Number]:
        """constant + slope t."""
        total = slope.times_plus(high, constant)
        return total, slope.times_plus(rest, slope.times_plus(high, constant - total))

    top, top_low = linear(minus, plus)
    bottom, bottom_low = linear(plus, minus)
    inverse = 1.0 / (bottom + bottom_low)
    quotient = top * inverse
    lost = (-quotient).times_plus(bottom, top) + (-quotient).times_plus(bottom_low, top_low)
    return lost.times_plus(inverse, quotient).with_sign_of(x)


def logistic(x: Number) -> Number:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|), the quotient corrected by what rounding lost."""
    c = -x.abs()
    high, low = _exp_parts(x.lift(_tables(x).bottom).where(c.compare("<", _tables(x).bottom), c))
    total, rest = x.lift(1.0).add_smaller(high)
    rest = rest + low
    positive = x.compare(">=", 0.0)
    top, top_low = x.lift(1.0).where(positive, high), x.lift(0.0).where(positive, low)
    inverse = 1.0 / total
    quotient = top * inverse
    lost = (-quotient).times_plus(total, top) + (top_low - quotient * rest)
    return lost.times_plus(inverse, quotient)


def _half_exp(a: Number) -> tuple[Number, Number]:
    """exp(a) / 2 and its rounding error, for a >= 0; infinite where cosh is."""
    top = _tables(a).top + 0.7
    return _exp_parts(a.lift(top).where(a.compare(">", top), a), less=1)


def sinh(x: Number) -> Number:
    """The Taylor series near 0, else e/2 - 1/(2e)."""
    z = x * x
    near = (x * z).times_plus(z.polynomial(_tables(x).sinh), x)
    high, low = _half_exp(x.abs())
    far = high - (0.25 / high - low)
    return near.where(x.abs().compare("<", 1.0), far.with_sign_of(x))


def cosh(x: Number) -> Number:
    """e/2 + 1/(2e)."""
    high, low = _half_exp(x.abs())
    return high + (0.25 / high + low)
