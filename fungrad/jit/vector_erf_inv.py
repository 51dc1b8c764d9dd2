"""The inverse error function without branches, which LLVM vectorises.

Two formulas, of which one is selected, on the intervals of Wichura's normal quantile ("Algorithm AS 241", Applied
Statistics 37, 1988): for |x| <= 3/4 the ratio erf_inv(x) / x as a function of 9/16 - x**2; beyond, erf_inv(|x|) as a
function of s = sqrt(-log(1 - |x|)), where 1 - |x| is exact and nothing is lost next to 1. Both are near what they are
computed from, 1 and s, so a quotient of polynomials gives the small difference only, and its rounding errors hardly
count. The coefficients are our own weighted least-squares fits at Chebyshev points, in 50 digits. Errors of the fits:
2**-54.9 in double, 2**-28.5 in single precision.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from fungrad.jit.registers import DOUBLE, SINGLE, Number, format_of
from fungrad.jit.vectorlog import log

_SPLIT = 0.75
_SHIFT = 1.17  # just below s at the split


class _Quotient(NamedTuple):
    """Numerator and denominator, highest power first."""

    top: tuple[float, ...]
    bottom: tuple[float, ...]


_NEAR = {  # erf_inv(x) / x - 1
    DOUBLE: _Quotient(
        (
            -0.0006113534683921457,
            -0.16555984341509028,
            -1.50373491242606,
            -4.0624657486222375,
            -4.2779035443096385,
            -1.6467022940936111,
            -0.0016335442303729477,
            0.08455979679682472,
        ),
        (
            0.21866921841901701,
            2.8670304863612888,
            11.518637560024848,
            19.987992269359758,
            16.721987545931785,
            6.63411912009654,
            1.0,
        ),
    ),
    SINGLE: _Quotient(
        (-0.29384972392445013, -0.8587712893690499, -0.3011979617664437, 0.08455979431452351),
        (0.41297210673723106, 2.46959706219048, 3.091477388217392, 1.0),
    ),
}
_FAR = {  # erf_inv(|x|) - s
    DOUBLE: _Quotient(
        (
            3.5606458425554537e-10,
            -1.3317535166307762e-07,
            -9.189188103070644e-05,
            -0.003947637625633475,
            -0.05145949906234594,
            -0.287885126174995,
            -0.8253794397033891,
            -1.2933534810060556,
            -1.0675855025399859,
            -0.3640685323987052,
        ),
        (
            3.297530913809344e-05,
            0.0020277995185126792,
            0.03650548718012302,
            0.2850902227217591,
            1.1678183137377702,
            2.756743349291167,
            3.8321856716861857,
            2.9599642316722092,
            1.0,
        ),
    ),
    SINGLE: _Quotient(
        (-0.009889794658827293, -0.16975788833006392, -0.49275403049730954, -0.36406853263789607),
        (0.0037108545276071853, 0.11781812062597793, 0.7024030309213763, 1.3810542383539648, 1.0),
    ),
}


def erf_inv(x: Number) -> Number:
    """y with erf(y) = x; infinite at -1 and 1, nan beyond."""
    size = x.abs()
    is_near = size.compare("<=", _SPLIT)
    t = (-x).times_plus(x, _SPLIT * _SPLIT)
    s = (-log(1.0 - size)).sqrt()
    near, far = _NEAR[x.format], _FAR[x.format]
    top = t.polynomial(near.top).where(is_near, (s - _SHIFT).polynomial(far.top))
    bottom = t.polynomial(near.bottom).where(is_near, (s - _SHIFT).polynomial(far.bottom))
    start = size.where(is_near, s)
    y = (top / bottom).times_plus(size.where(is_near, 1.0), start)  # one division for both
    return y.lift(np.inf).where(size.compare("==", 1.0), y).with_sign_of(x)


def apply(b: ir.IRBuilder, x: Any) -> Any:
    """The LLVM value of erf_inv of an LLVM value."""
    return erf_inv(Number(b, format_of(x), x)).value
