"""Powers, cube roots and the length of a vector without branches.

x**y = exp(y log |x|) needs the logarithm to some ten bits more than the result has. As in `vectorlog`, log x = k log 2
+ 2 atanh(s), but s, its square and the first two terms of the series are kept as sums of two numbers. The cube root: a
polynomial for m**(-1/3) on [1, 2), one step of third order, and a correction by the exactly computed x - root**3.
"""

from __future__ import annotations

import numpy as np

from fungrad.jit.registers import DOUBLE, SINGLE, Number
from fungrad.jit.vectorexp import exp_of_sum
from fungrad.jit.vectorlog import LN2, float_of, root_of_sum, split

# ((2 atanh(s)/s - 2) / s**2 - 2/3) / s**2 in s**2, on s**2 <= 0.0295
_SERIES = {
    DOUBLE: (
        0.11723051028097753,
        0.11706248540922386,
        0.13334804238225345,
        0.15384594970895457,
        0.18181818335314404,
        0.22222222221656232,
        0.28571428571429364,
        0.4,
    ),
    SINGLE: (0.2304815313706391, 0.2856223797042309, 0.40000015051182175),
}
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# m**(-1/3) on [1, 2)
_INVERSE_ROOT = {
    DOUBLE: (
        -0.016511679091286462,
        0.15224956438221762,
        -0.5865141615889806,
        1.2271496200207155,
        -1.5540274077106597,
        1.7776471684890054,
    ),
    SINGLE: (0.02778280101858424, -0.21636185469244387, 0.6846527077322325, -1.1623973573078166, 1.6662787377309156),
}


def _precise_log(x: Number) -> tuple[Number, Number]:
    """log x as a sum of two numbers, for positive, finite x."""
    m, k = split(x)
    f = m - 1.0
    d, d_low = x.lift(1.0).add_smaller(m)
    inverse = 1.0 / d
    s = f * inverse
    s_low = ((-s).times_plus(d, f) - s * d_low) * inverse
    z, z_low = s.times_exactly(s)
    z_low = (2.0 * s).times_plus(s_low, z_low)
    third, third_low = x.constant(_TWO_THIRDS)
    c, c_low = third.add_smaller(z * z.polynomial(_SERIES[x.format]))
    cube, cube_low = s.times_exactly(z)
    cube_low = cube_low + s_low.times_plus(z, s * z_low)
    t, t_low = cube.times_exactly(c)
    t_low = t_low + cube_low.times_plus(c, cube * (c_low + third_low))
    unit, unit_low = x.constant(LN2)
    base, base_low = k.times_exactly(unit)
    total, lost = base.add_smaller(2.0 * s)
    total, lost_too = total.add_smaller(t)
    low = (lost + lost_too) + (k.times_plus(unit_low, base_low) + (2.0 * s_low + t_low))
    return total.add_smaller(low)


def pow(x: Number, y: Number) -> Number:
    b = x.b
    a = x.abs()
    high, low = _precise_log(a)
    high = high.where(a.compare("<", np.inf), a)
    high = x.lift(-np.inf).where(a.compare("==", 0.0), high)
    exponent, rest = y.times_exactly(high)
    result = exp_of_sum(exponent, y.times_plus(low, rest))
    # the sign, from whether y is an odd integer
    half = 0.5 * y
    whole = y.compare("==", y.trunc())
    odd = b.and_(whole, half.compare("!=", half.trunc()))
    result = (-result).where(b.and_(odd, b.icmp_signed("<", x.bits(), x.integer(0))), result)
    negative = b.and_(x.compare("<", 0.0), x.compare(">", -np.inf))
    result = x.lift(np.nan).where(b.and_(negative, y.compare("!=", y.trunc())), result)
    unit = b.and_(x.compare("==", -1.0), y.abs().compare("==", np.inf))
    return x.lift(1.0).where(b.or_(unit, b.or_(x.compare("==", 1.0), y.compare("==", 0.0))), result)


def cbrt(x: Number) -> Number:
    b, form = x.b, x.format
    a = x.abs()
    small = a.compare("<", 2.0 ** (1 - form.bias))  # subnormal
    thirds = form.mantissa // 3 + 1
    bits = (a * 2.0 ** (3 * thirds)).where(small, a).bits()
    e = float_of(x, b.sub(b.lshr(bits, x.integer(form.mantissa)), x.integer(form.bias)))
    fraction = b.and_(bits, x.integer((1 << form.mantissa) - 1))
    m = x.from_bits(b.or_(fraction, x.lift(1.0).bits()))
    third = (e - 1.0).rounded(1 / 3)[0]  # e = 3 third + 0, 1 or 2
    left = e - 3.0 * third
    one, two = left.compare("==", 1.0), left.compare("==", 2.0)
    m, root = m, m.polynomial(_INVERSE_ROOT[form])
    m = (4.0 * m).where(two, (2.0 * m).where(one, m))
    root = root * x.lift(2.0 ** (-2 / 3)).where(two, x.lift(2.0 ** (-1 / 3)).where(one, 1.0))
    h = (-(m * root)).times_plus(root * root, 1.0)
    root = (root * h).times_plus(h.times_plus(2 / 9, 1 / 3), root)
    square = root * root
    y = m * square
    y_square, y_square_low = y.times_exactly(y)
    error = (-y_square).times_plus(y, m) - y_square_low * y
    y = error.times_plus(square * (1 / 3), y)
    power = (third - x.lift(float(thirds)).where(small, 0.0)).rounded()[1]
    scale = x.from_bits(b.shl(b.add(power, x.integer(form.bias)), x.integer(form.mantissa)))
    ordinary = b.and_(a.compare(">", 0.0), a.compare("<", np.inf))
    return (y * scale).with_sign_of(x).where(ordinary, x)


def hypot(x: Number, y: Number) -> Number:
    """sqrt(x**2 + y**2), scaled to where squares neither overflow nor lose bits below the smallest number."""
    b, form = x.b, x.format
    a, c = x.abs(), y.abs()
    above = a.compare(">", c)
    larger, smaller = a.where(above, c), c.where(above, a)
    large = larger.compare(">", 2.0 ** (form.bias // 2 - 1))
    small = larger.compare("<", 2.0 ** (form.mantissa - form.bias // 2))
    down, up = form.bias // 2 + 3, form.bias // 2 + form.mantissa + 14
    scale = x.lift(2.0**-down).where(large, x.lift(2.0**up).where(small, 1.0))
    back = x.lift(2.0**down).where(large, x.lift(2.0**-up).where(small, 1.0))
    larger, smaller = larger * scale, smaller * scale
    square, square_low = larger.times_exactly(larger)
    other, other_low = smaller.times_exactly(smaller)
    total, lost = square.add_smaller(other)
    root, root_low = root_of_sum(total, lost + (square_low + other_low))
    infinite = b.or_(a.compare("==", np.inf), c.compare("==", np.inf))
    return x.lift(np.inf).where(infinite, (root + root_low) * back)
