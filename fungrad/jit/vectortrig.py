"""Sine and cosine without branches, accurate for every argument.

x is reduced to r in [-pi/4, pi/4] and a quadrant. Below 2**40 by subtracting a multiple of pi/2 in three parts (Cody
and Waite); with fused multiply-add the first subtraction is exact. Above, x = M 2**e with an integer M, and M times a
stored (2**e 2/pi mod 4) gives quadrant and fraction (Payne and Hanek). Both are computed, one is selected. r carries
a second number for what rounding lost, so that arguments next to a multiple of pi/2 lose nothing. The float32
functions are the double ones with shorter polynomials.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from fungrad.jit.registers import DOUBLE, SINGLE, Number

SYMBOL = "fungrad_two_over_pi"
FIRST, LAST = -12, 971  # exponents e in the table: of 2**40 and of the largest double

_HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
_TWO_OVER_PI = 0.6366197723675814
_LARGE = 2.0**40

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


@cache
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


def _reduce_small(a: Number) -> tuple[Number, Number, ir.Value]:
    """r, its low part and the quadrant of a >= 0, below 2**40."""
    k, quadrant = a.rounded(_TWO_OVER_PI)
    exact = (-k).times_plus(_HALF_PI[0], a)
    second = -(k * _HALF_PI[1])
    r, low = exact.add_exactly(second)
    low = low - k.times_plus(_HALF_PI[1], second)
    return r, (-k).times_plus(_HALF_PI[2], low), quadrant


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
    high = integer * parts[0]
    high_low = integer.times_plus(parts[0], -high)
    middle = integer * parts[1]
    middle_low = integer.times_plus(parts[1], -middle)
    whole = high._call("rint")
    total, lost = (high - whole).add_exactly(high_low)
    total, lost_too = total.add_exactly(middle)
    near, quadrant = total.rounded()
    turns = whole - 4.0 * (0.25 * whole)._call("floor")  # whole may be too large for an integer
    low = (lost + lost_too) + (middle_low + integer * parts[2])
    y, y_low = (total - near).add_exactly(low)
    r = y * _HALF_PI[0]
    r_low = y.times_plus(_HALF_PI[0], -r) + (y * _HALF_PI[1] + y_low * _HALF_PI[0])
    return r, r_low, b.add(quadrant, turns.rounded()[1])


def _table(module: ir.Module) -> ir.Value:
    found = module.globals.get(SYMBOL)
    if found is None:
        found = ir.GlobalVariable(module, ir.ArrayType(ir.DoubleType(), 3 * (LAST - FIRST + 1)), SYMBOL)
        found.global_constant = True
    return found.gep([ir.Constant(ir.IntType(64), 0), ir.Constant(ir.IntType(64), 0)])


def _sine_and_cosine(a: Number, form: Any) -> tuple[Number, Number, ir.Value]:
    """sin(r), cos(r) and the quadrant of a >= 0."""
    b = a.b
    small = a.compare("<", _LARGE)
    near, far = _reduce_small(a), _reduce_large(a)
    r, low = near[0].where(small, far[0]), near[1].where(small, far[1])
    quadrant = b.select(small, near[2], far[2])
    z = r * r
    sine = r + (z * r).times_plus(z.polynomial(_SINE[form]), low * (1.0 - 0.5 * z))
    half = 0.5 * z
    rough = 1.0 - half
    lost = ((1.0 - rough) - half) - r * low
    cosine = rough + (z * z).times_plus(z.polynomial(_COSINE[form]), lost)
    return sine, cosine, quadrant


def _choose(x: Number, shift: int, odd: bool) -> Number:
    """sin(x + shift pi/2), from |x|; `odd` functions take the sign of x."""
    form, b = x.format, x.b
    wide = x if form is DOUBLE else Number(b, DOUBLE, b.fpext(x.value, ir.DoubleType()))
    a = wide.abs()
    sine, cosine, quadrant = _sine_and_cosine(a, form)
    if shift:
        quadrant = b.add(quadrant, a.integer(shift))
    swap = b.icmp_signed("!=", b.and_(quadrant, a.integer(1)), a.integer(0))
    result = cosine.where(swap, sine)
    sign = b.shl(b.and_(quadrant, a.integer(2)), a.integer(62))
    if odd:
        sign = b.xor(sign, b.and_(wide.bits(), a.integer(-(1 << 63))))
    result = result.from_bits(b.xor(result.bits(), sign))
    result = result.where(a.compare("<", np.inf), np.nan)
    return result if form is DOUBLE else Number(b, SINGLE, b.fptrunc(result.value, ir.FloatType()))


def sin(x: Number) -> Number:
    # the reduction of a tiny argument is exact, but would turn -0.0 into 0.0 were the sign not taken from x
    return _choose(x, 0, odd=True)


def cos(x: Number) -> Number:
    return _choose(x, 1, odd=False)
