"""Sine, cosine and tangent without branches, accurate for every argument.

x is reduced to r in [-pi/4, pi/4] and a quadrant. Moderate arguments (|x| below 2**40, in float32 2**17) by subtracting
a multiple of pi/2 in three parts (Cody and Waite); with fused multiply-add the first subtraction is exact. For larger
ones, x = M 2**e with an integer M, and M times a stored (2**e 2/pi mod 4) gives quadrant and fraction (Payne and
Hanek), in double precision. r carries a second number for what rounding lost, so that arguments next to a multiple of
pi/2 lose nothing. Polynomials are Chebyshev fits.

Reading the table takes longer than all the rest, so loops are made in two versions (see `assumptions`): one that
assumes moderate arguments, and one for any, which computes both reductions and selects.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from llvmlite import ir

from fungrad.jit.assumptions import Assume
from fungrad.jit.forks import once
from fungrad.jit.registers import DOUBLE, SINGLE, Number

SYMBOL = "fungrad_two_over_pi"
FIRST, LAST = -12, 971  # exponents e in the table: of 2**40 and of the largest double

_HALF_PI = {
    DOUBLE: (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    SINGLE: (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
}
_TWO_OVER_PI = 0.6366197723675814
_LIMIT = {DOUBLE: 2.0**40, SINGLE: 2.0**17}  # of moderate arguments

# Chebyshev fits on |r| <= pi/4, highest power first: (sin(r)/r - 1)/r**2 and (cos(r) - 1 + r**2/2)/r**4 in r**2
_SINE = {
    DOUBLE: (
        1.5917848524808262e-10,
        -2.5051127944014188e-08,
        2.755731608381636e-06,
        -0.00019841269836722418,
        0.008333333333330925,
        -0.16666666666666666,
    ),
    SINGLE: (2.7249314054698804e-06, -0.00019840082012765537, 0.008333331865959415, -0.16666666663832763),
}
_COSINE = {
    DOUBLE: (
        -1.1382456778061306e-11,
        2.0876143827993133e-09,
        -2.7557317260008837e-07,
        2.480158729874307e-05,
        -0.0013888888888887382,
        0.041666666666666664,
    ),
    SINGLE: (-2.7300448619488353e-07, 2.4800596435621998e-05, -0.0013888887664713619, 0.0416666666643024),
}


@once
def two_over_pi_table() -> Any:
    """2**e 2/pi mod 4 as three doubles that add up to it, for each exponent: shape (984, 3)."""
    precision = 1400
    scale = 1 << (precision + 64)

    def arctan_inverse(n: int) -> int:
        """arctan(1/n), scaled, by its series."""
        term = total = scale // n
        k = 1
        while term:
            term //= -n * n
            total += term // (2 * k + 1)
            k += 1
        return total

    pi = 16 * arctan_inverse(5) - 4 * arctan_inverse(239)  # Machin
    inverse = (2 * scale << precision) // pi  # 2/pi, scaled by 2**precision
    rows = []
    for e in range(FIRST, LAST + 1):
        numerator = (inverse << e if e >= 0 else inverse >> -e) % (4 << precision)
        rest = Fraction(numerator, 1 << precision)
        parts = []
        for _ in range(3):
            parts.append(float(rest))
            rest -= Fraction(parts[-1])
        rows.append(parts)
    return np.array(rows)


def _reduce_moderate(x: Number) -> tuple[Number, Number, ir.Value]:
    """r, its low part and the quadrant of x, for 0 <= x up to the limit.

    The fast sum is exact though the product may be larger: what it is taken from has no bits below the product's.
    """
    first, second, third = _HALF_PI[x.format]
    k, quadrant = x.rounded(_TWO_OVER_PI)
    exact = (-k).times_plus(first, x)
    product, lost = k.times_exactly(second)
    r, low = exact.add_smaller(-product)
    return r, (-k).times_plus(third, low - lost), quadrant


def _reduce_large(a: Number) -> tuple[Number, Number, ir.Value]:
    """The same from the table, for finite a from 2**40 on (other arguments give something finite)."""
    b = a.b
    position = b.sub(b.lshr(a.bits(), a.integer(DOUBLE.mantissa)), a.integer(DOUBLE.bias + DOUBLE.mantissa + FIRST))
    position = b.select(b.icmp_signed("<", position, a.integer(0)), a.integer(0), position)
    last = a.integer(LAST - FIRST)
    position = b.select(b.icmp_signed(">", position, last), last, position)
    fraction_bits = b.and_(a.bits(), a.integer((1 << DOUBLE.mantissa) - 1))
    integer = a.from_bits(b.or_(fraction_bits, a.integer((DOUBLE.bias + DOUBLE.mantissa) << DOUBLE.mantissa)))

    table = _table(b.module)
    start = b.mul(position, a.integer(3))
    parts = [
        Number(b, DOUBLE, b.load(b.gep(table, [b.add(start, a.integer(part))]), name="two_over_pi"))
        for part in range(3)
    ]
    high, high_low = integer.times_exactly(parts[0])
    middle, middle_low = integer.times_exactly(parts[1])
    whole = high.nearest()
    total, lost = (high - whole).add_exactly(high_low)
    total, lost_too = total.add_exactly(middle)
    near, quadrant = total.rounded()
    turns = whole - 4.0 * (0.25 * whole).floor()  # whole may be too large for an integer
    low = (lost + lost_too) + (middle_low + integer * parts[2])
    y, y_low = (total - near).add_exactly(low)
    half_pi = _HALF_PI[DOUBLE]
    r, r_low = y.times_exactly(half_pi[0])
    r_low = r_low + (y * half_pi[1] + y_low * half_pi[0])
    return r, r_low, b.add(quadrant, turns.rounded()[1])


def _table(module: ir.Module) -> ir.Value:
    found = module.globals.get(SYMBOL)
    if found is None:
        found = ir.GlobalVariable(module, ir.ArrayType(ir.DoubleType(), 3 * (LAST - FIRST + 1)), SYMBOL)
        found.global_constant = True
    return found.gep([ir.Constant(ir.IntType(64), 0), ir.Constant(ir.IntType(64), 0)])


def _reduce_any(x: Number) -> tuple[Number, Number, ir.Value]:
    """r, its low part and the quadrant of any x >= 0, in double precision; r is nan if x is infinite or nan."""
    b, a = x.b, x.widened()
    small = a.compare("<", _LIMIT[DOUBLE])
    near, far = _reduce_moderate(a), _reduce_large(a)
    r, low = near[0].where(small, far[0]), near[1].where(small, far[1])
    quadrant = b.select(small, near[2], far[2])
    r = r.where(a.compare("<", np.inf), np.nan)
    if x.format is DOUBLE:
        return r, low, quadrant
    narrow = r.narrowed()
    return narrow, (r - narrow.widened()).narrowed(), b.trunc(quadrant, x.bits_type)


def _reduce(x: Number, assume: Assume | None) -> tuple[Number, Number, ir.Value]:
    """|x| = quadrant pi/2 + r + low."""
    a = x.abs()
    if assume is None:
        return _reduce_any(a)
    assume.at_most(a, _LIMIT[x.format])
    return _reduce_moderate(a)


def _sine(r: Number, low: Number, last: int = 0) -> tuple[Number, Number]:
    """sin(r + low) as r and the rest, with the last steps of the polynomial by Horner's rule."""
    z = r * r
    return r, (z * r).times_plus(z.polynomial(_SINE[r.format], last), low * (1.0 - 0.5 * z))


def _cosine(r: Number, low: Number) -> tuple[Number, Number]:
    """cos(r + low) as 1 - r**2/2, rounded, and the rest."""
    z = r * r
    half = 0.5 * z
    rough, lost = r.lift(1.0).add_smaller(-half)
    return rough, (z * z).times_plus(z.polynomial(_COSINE[r.format]), (-r).times_plus(low, lost))


def _odd(x: Number, quadrant: ir.Value) -> ir.Value:
    return x.b.trunc(quadrant, ir.IntType(1))


def _with_sign(x: Number, bits: ir.Value) -> Number:
    """x, negated if the highest bit is set."""
    b = x.b
    return x.from_bits(b.xor(x.bits(), b.and_(bits, x.integer(1 << (x.format.bits - 1)))))


def _lower_half(x: Number, quadrant: ir.Value) -> ir.Value:
    """The highest bit is set in the third and fourth quadrant."""
    return x.b.shl(quadrant, x.integer(x.format.bits - 2))


def sin(x: Number, assume: Assume | None = None) -> Number:
    r, low, quadrant = _reduce(x, assume)
    (sine, sine_low), (cosine, cosine_low) = _sine(r, low), _cosine(r, low)
    result = (cosine + cosine_low).where(_odd(x, quadrant), sine + sine_low)
    return _with_sign(result, x.b.xor(_lower_half(x, quadrant), x.bits()))


def cos(x: Number, assume: Assume | None = None) -> Number:
    r, low, quadrant = _reduce(x, assume)
    (sine, sine_low), (cosine, cosine_low) = _sine(r, low), _cosine(r, low)
    result = (sine + sine_low).where(_odd(x, quadrant), cosine + cosine_low)
    return _with_sign(result, _lower_half(x, x.b.add(quadrant, x.integer(1))))


def tan(x: Number, assume: Assume | None = None) -> Number:
    """sin / cos, or - cos / sin in odd quadrants, the quotient corrected by what rounding lost.

    Both are sums of two numbers, with what rounding lost of r**2 in the terms of lowest order, -r**3/6 and -r**2/2.
    """
    r, low, quadrant = _reduce(x, assume)
    odd = _odd(x, quadrant)
    _, square_low = r.times_exactly(r)
    sine, sine_low = _sine(r, square_low.times_plus(r * (-1 / 6), low), last=1)
    sine, sine_low = sine.add_smaller(sine_low)
    cosine, cosine_low = _cosine(r, low)
    cosine, cosine_low = cosine.add_smaller(cosine_low - 0.5 * square_low)
    top, top_low = (-cosine).where(odd, sine), (-cosine_low).where(odd, sine_low)
    bottom, bottom_low = sine.where(odd, cosine), sine_low.where(odd, cosine_low)
    inverse = 1.0 / bottom
    quotient = top * inverse
    lost = (-quotient).times_plus(bottom, top) + (top_low - quotient * bottom_low)
    return _with_sign(lost.times_plus(inverse, quotient), x.bits())
