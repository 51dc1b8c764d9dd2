"""Inverse trigonometric functions without branches.

arctan2: the quotient of the smaller by the larger of |x| and |y| is brought to |q| <= tan(pi/8) by arctan(a/b) = pi/4 +
arctan((a - b)/(a + b)); a polynomial in q**2 gives the rest. What rounding loses in the quotient and in the multiple of
pi/4 is kept in second numbers. arcsin: a polynomial in x**2 up to 1/2, beyond that arcsin(x) = pi/2 - 2 arcsin(sqrt((1
- x)/2)), with the rounding error of the root; arccos likewise. Polynomials are Chebyshev fits.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from fungrad.jit.registers import DOUBLE, SINGLE, Number

# (arctan(q)/q - 1) / q**2 in q**2, on |q| <= tan(pi/8)
_ARCTAN = {
    DOUBLE: (
        -0.01917688711906226,
        0.03923165829558719,
        -0.0508544973794026,
        0.0585814891280221,
        -0.06664511447381948,
        0.07692183190826087,
        -0.09090904578123903,
        0.11111111015256361,
        -0.14285714284666542,
        0.1999999999999552,
        -0.3333333333333333,
    ),
    SINGLE: (
        -0.06451928208121749,
        0.10743731490791084,
        -0.1426395559798464,
        0.19999540483648964,
        -0.3333333176116852,
    ),
}
# (arcsin(x)/x - 1) / x**2 in x**2, on |x| <= 1/2
_ARCSIN = {
    DOUBLE: (
        0.028757851367421566,
        -0.014851887071247204,
        0.01740087944269402,
        0.005457506718640358,
        0.01032281435018578,
        0.011479177415184906,
        0.013971212973552933,
        0.017352392720869973,
        0.02237217294214989,
        0.030381944138531247,
        0.04464285714635543,
        0.07499999999998433,
        0.16666666666666669,
    ),
    SINGLE: (
        0.038085023561092654,
        0.026554542206161328,
        0.04500138006991017,
        0.07498855072600821,
        0.16666672414795305,
    ),
}
_QUARTER_PI = (0.7853981633974483, 3.061616997868383e-17)
_HALF_PI = (1.5707963267948966, 6.123233995736766e-17)
_TAN_EIGHTH = 0.41421356237309503  # tan(pi/8)


def _angle(smaller: Number, larger: Number, swapped: ir.Value, beyond: ir.Value) -> Number:
    """The angle of a vector, from its sides by size, whether |y| is the larger and whether x is negative.

    0 <= smaller <= larger; larger is positive and finite.
    """
    b = smaller.b
    turn = smaller.compare(">", _TAN_EIGHTH * larger)
    top, top_low = larger.add_smaller(-smaller)
    bottom, bottom_low = larger.add_smaller(smaller)
    zero, one = smaller.lift(0.0), smaller.lift(1.0)
    n, n_low = (-top).where(turn, smaller), (-top_low).where(turn, zero)
    d, d_low = bottom.where(turn, larger), bottom_low.where(turn, zero)
    inverse = 1.0 / d
    q = n * inverse
    low = ((-q).times_plus(d, n) + (n_low - q * d_low)) * inverse
    z = q * q
    low = (q * z).times_plus(z.polynomial(_ARCTAN[q.format]), low)
    # pi/4 quarters + (q + low), the second with a minus for one reflection
    quarters = one.where(turn, zero)
    quarters = (2.0 - quarters).where(swapped, quarters)
    quarters = (4.0 - quarters).where(beyond, quarters)
    minus = b.xor(swapped, beyond)
    q, low = (-q).where(minus, q), (-low).where(minus, low)
    quarter, quarter_low = q.constant(_QUARTER_PI)
    base = quarters * quarter  # exact but for 3/4 pi
    base_low = quarters.times_plus(quarter, -base) + quarters * quarter_low
    total, lost = base.add_smaller(q)
    return total + (lost + (low + base_low))


def arctan(x: Number) -> Number:
    a = x.abs()
    large = 2.0 ** (a.format.bias // 2)  # from there on the angle is pi/2
    a = a.lift(large).where(a.compare(">", large), a)
    swapped = a.compare(">", 1.0)
    one = a.lift(1.0)
    return _angle(one.where(swapped, a), a.where(swapped, one), swapped, ir.IntType(1)(0)).with_sign_of(x)


def arctan2(y: Number, x: Number) -> Number:
    b, form = x.b, x.format
    a, c = y.abs(), x.abs()
    swapped = a.compare(">", c)
    larger, smaller = a.where(swapped, c), c.where(swapped, a)
    infinite = larger.compare("==", np.inf)
    smaller = x.lift(1.0).where(smaller.compare("==", np.inf), x.lift(0.0).where(infinite, smaller))
    larger = x.lift(1.0).where(b.or_(infinite, larger.compare("==", 0.0)), larger)
    # away from where the inverse of the larger or a rounding error of the smaller would be subnormal
    scale = x.lift(2.0 ** (form.bias // 2)).where(larger.compare("<", 2.0 ** (form.bias // 3)), 1.0)
    scale = x.lift(2.0 ** -(form.bias // 2)).where(larger.compare(">", 2.0 ** (form.bias - 4)), scale)
    beyond = b.icmp_signed("<", x.bits(), x.integer(0))
    result = _angle(smaller * scale, larger * scale, swapped, beyond)
    ordinary = b.and_(a.compare("<=", np.inf), c.compare("<=", np.inf))
    return result.with_sign_of(y).where(ordinary, x + y)


def _halves(x: Number) -> tuple[Number, Number, Number, Number]:
    """|x|, and for it or sqrt((1 - |x|)/2) beyond 1/2: the number, its rounding error, arcsin of it less itself."""
    a = x.abs()
    far = a.compare(">", 0.5)
    half = 0.5 * (1.0 - a)
    root = half.sqrt()
    root_low = ((-root).times_plus(root, half) / (2.0 * root)).where(root.compare(">", 0.0), 0.0)
    s, low, z = root.where(far, a), root_low.where(far, 0.0), half.where(far, a * a)
    return a, s, low, (s * z).times_plus(z.polynomial(_ARCSIN[x.format]), low)


def arcsin(x: Number) -> Number:
    a, s, _, rest = _halves(x)
    high, low = x.constant(_HALF_PI)
    total, lost = high.add_smaller(-2.0 * s)
    beyond = total + (lost + (low - 2.0 * rest))
    return beyond.where(a.compare(">", 0.5), s + rest).with_sign_of(x)


def arccos(x: Number) -> Number:
    """pi/2 - arcsin(x), or 2 arcsin of the root, or pi less that for negative x."""
    b = x.b
    a, s, _, rest = _halves(x)
    far = a.compare(">", 0.5)
    high, low = x.constant(_HALF_PI)
    negative = b.icmp_signed("<", x.bits(), x.integer(0))
    s, rest = (2.0 * s).where(far, s), (2.0 * rest).where(far, rest)
    # base + sign (s + rest) with base pi, pi/2 or 0
    plus = b.xor(far, negative)
    s, rest = s.where(plus, -s), rest.where(plus, -rest)
    times = x.lift(2.0).where(negative, 0.0).where(far, 1.0)
    total, lost = (times * high).add_exactly(s)
    return total + (lost + (times * low + rest))
