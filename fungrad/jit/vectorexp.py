"""The exponential function and its relatives without branches.

exp: x = k log 2 + r with |r| <= log(2)/2, a polynomial in r, and scaling by 2**k in two steps, so that results below
the smallest normal number come out right. The reduction uses fused multiply-add, so nothing is lost in it. expm1,
logistic, sinh and cosh keep the rounding error of the exponential in a second number, which corrects what they make of
it. tanh needs no correction: beyond 1, where it is 1 - 2/(exp(2|x|) + 1), the subtracted part is small; up to 1 it is
a polynomial.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fungrad.jit.registers import SINGLE, Number


class _Tables(NamedTuple):
    """What differs between the precisions. Polynomials are Chebyshev fits, highest power first.

    The float32 one of tanh was improved by trying the neighbours of its rounded coefficients.
    """

    ln2_high: float
    ln2_low: float
    top: float  # above this exp overflows, whatever is below it may not
    bottom: float  # below this exp is 0
    exp: tuple[float, ...]  # (exp(r) - 1 - r) / r**2 on |r| <= log(2)/2
    exp_twice: tuple[float, ...]  # exp(2r) on |r| <= log(2)/4
    tanh: tuple[float, ...]  # (tanh(x)/x - 1) / x**2 in x**2, on |x| <= 1
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
    exp_twice=(
        8.56665267264878e-06,
        5.141546265386396e-05,
        0.00028218648229221005,
        0.0014109314777982175,
        0.006349206355336541,
        0.02539682543974463,
        0.08888888888885602,
        0.2666666666664365,
        0.6666666666666667,
        1.3333333333333337,
        2.0,
        2.0,
        1.0,
    ),
    tanh=(
        2.5155023659382105e-08,
        -2.6330772232959337e-07,
        1.3791814499083342e-06,
        -4.987760317520347e-06,
        1.4606131676715378e-05,
        -3.8389607893147334e-05,
        9.646277743313181e-05,
        -0.00023895705228738225,
        0.0005899792946300052,
        -0.0014558246920964941,
        0.003592126679366341,
        -0.008863235404578283,
        0.02186948852912909,
        -0.05396825396804637,
        0.1333333333333309,
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
    exp_twice=(0.0891275271675877, 0.26762153838443875, 0.6666648745928085, 1.3333261620478392, 2.0, 2.0, 1.0),
    tanh=(
        0.00014279318565968424,
        -0.0009235006873495877,
        0.003206803696230054,
        -0.008697854354977608,
        0.021829554811120033,
        -0.05396341159939766,
        0.13333311676979065,
        -0.3333333432674408,
    ),
    tanh_large=10.0,
    sinh=tuple(1 / math.factorial(n) for n in range(11, 1, -2)),
)

_LOG2_E = 1.4426950408889634


def _tables(x: Number) -> _Tables:
    return _SINGLE if x.format is SINGLE else _DOUBLE


def _powers(x: Number, factor: float, less: int = 0) -> tuple[Number, tuple[Number, Number]]:
    """k, the integer nearest to x * factor, and two numbers whose product is 2**(k - less).

    Two, because one may be beyond the range of exponents; multiplied one after the other, only the last multiplication
    rounds. Adding a large number rounds to an integer, which then stands in the low bits; with the bias of the format
    added too, a shift makes it an exponent.
    """
    b, form = x.b, x.format
    magic = x.lift(form.round_magic + 2 * form.bias - less)
    half = x.times_plus(0.5 * factor, form.round_magic + form.bias)
    whole = x.times_plus(factor, magic)
    shift = x.integer(form.mantissa)
    first = x.from_bits(b.shl(half.bits(), shift))
    second = x.from_bits(b.shl(b.sub(whole.bits(), half.bits()), shift))
    return whole - magic, (first, second)


def _clamped(x: Number) -> Number:
    """x within the range where exp is neither 0 nor infinite; nan stays nan."""
    t = _tables(x)
    x = x.lift(t.top).where(x.compare(">", t.top), x)
    return x.lift(t.bottom).where(x.compare("<", t.bottom), x)


def _reduced(x: Number, less: int = 0) -> tuple[Number, Number, tuple[Number, Number]]:
    """r, low and the factors of 2**(k - less), with x = k log 2 + r + low, where low is the rounding error of r."""
    t = _tables(x)
    k, powers = _powers(x, _LOG2_E, less)
    exact = (-k).times_plus(t.ln2_high, x)
    r = (-k).times_plus(t.ln2_low, exact)
    return r, (-k).times_plus(t.ln2_low, exact - r), powers


def _near_one(r: Number, lost: Number) -> tuple[Number, Number]:
    """exp(r + lost), rounded, and the rounding error."""
    u = r + (r * r).times_plus(r.polynomial(_tables(r).exp), lost)
    return r.lift(1.0).add_smaller(u)


def _exp_parts(x: Number, less: int = 0) -> tuple[Number, Number]:
    """exp(x) / 2**less and its rounding error, for a clamped x."""
    r, lost, (first, second) = _reduced(x, less)
    high, low = _near_one(r, lost)
    return high * first * second, low * first * second


def exp(x: Number) -> Number:
    return _exp_parts(_clamped(x))[0]


def exp_of_sum(x: Number, more: Number) -> Number:
    """exp(x + more) for |more| far below |x|."""
    t = _tables(x)
    inside = x.b.and_(x.compare("<", t.top), x.compare(">", t.bottom))
    r, lost, (first, second) = _reduced(_clamped(x))
    high, low = _near_one(r, lost)
    return (high + high.times_plus(more.where(inside, 0.0), low)) * first * second


def exp2(x: Number) -> Number:
    t, form = _tables(x), x.format
    limit, lowest = float(form.bias + 1), -float(form.bias + form.mantissa + 1)
    c = x.lift(limit).where(x.compare(">", limit), x)
    c = x.lift(lowest).where(c.compare("<", lowest), c)
    whole, (first, second) = _powers(c, 1.0)
    rest = c - whole
    r, low = rest.times_exactly(t.ln2_high)
    u = r + (r * r).times_plus(r.polynomial(t.exp), rest.times_plus(t.ln2_low, low))
    return (1.0 + u) * first * second


def expm1(x: Number) -> Number:
    """2**k (exp(r) - 1) + (2**k - 1): both terms keep their small parts."""
    t = _tables(x)
    c = _clamped(x)
    c = x.lift(-40.0).where(c.compare("<", -40.0), c)  # there the result is -1
    r, lost, (first, second) = _reduced(c)
    square, square_low = r.times_exactly(r)
    rest = 0.5 * square + (0.5 * square_low + (square * r).times_plus(r.polynomial(t.exp[:-1]), lost))
    # exp(r) - 1 = r + rest
    # for k near the top 2**k overflows; then -1 does not matter and the factor is applied last
    scale = first * second
    head, head_lost = scale.add_exactly(-1.0)
    total, total_lost = head.add_exactly(scale * r)
    small = total + ((head_lost + total_lost) + scale * rest)
    large = (1.0 + (r + rest)) * first * second
    result = large.where(c.compare(">", 0.97 * t.top), small)
    return x.where(x.compare("==", 0.0), result)  # keeps the sign of zero


def tanh(x: Number) -> Number:
    """A polynomial up to 1, else 1 - 2 / (exp(2|x|) + 1)."""
    t = _tables(x)
    a = x.abs()
    z = x * x
    near = (x * z).times_plus(z.polynomial(t.tanh), x)
    c = x.lift(t.tanh_large).where(a.compare(">", t.tanh_large), a)
    k, (first, second) = _powers(c, 2 * _LOG2_E)
    r = (-k).times_plus(0.5 * t.ln2_low, (-k).times_plus(0.5 * t.ln2_high, c))
    far = 1.0 - 2.0 / (1.0 + r.polynomial(t.exp_twice) * first * second)
    return far.where(a.compare(">=", 1.0), near).with_sign_of(x)  # near gives 0.0 for -0.0


def logistic(x: Number) -> Number:
    """e / (1 + e) or 1 / (1 + e) with e = exp(-|x|), the quotient corrected by what rounding lost."""
    high, low = _exp_parts(_clamped(-x.abs()))
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
