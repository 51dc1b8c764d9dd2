"""The error function without branches.

Up to 1 a polynomial in x**2; beyond, 1 - exp(-x**2) Q(t), where Q = erfc(x) exp(x**2) is smooth enough to be a
polynomial in t = (x - 3)/(x + 3). Both are Chebyshev fits; the first was improved in float32 by trying the neighbours
of its rounded coefficients.
"""

from __future__ import annotations

from fungrad.jit.registers import DOUBLE, SINGLE, Number
from fungrad.jit.vectorexp import exp_of_moderate_sum

_LARGE = {DOUBLE: 6.0, SINGLE: 4.0}  # beyond this erf is 1

# erf(x)/x - 1 in x**2, on |x| <= 1
_NEAR = {
    DOUBLE: (
        5.957176147748911e-11,
        -1.1372848856791674e-09,
        1.4659775274047436e-08,
        -1.6350312701054695e-07,
        1.6461000484121368e-06,
        -1.4925595266831182e-05,
        0.0001205533111164271,
        -0.000854832698083379,
        0.0052239776248180145,
        -0.026866170645076792,
        0.11283791670954879,
        -0.3761263890318375,
        0.1283791670955126,
    ),
    SINGLE: (
        7.875861774664372e-05,
        -0.0008016867213882506,
        0.005189088173210621,
        -0.026854217052459717,
        0.11283594369888306,
        -0.3761262595653534,
        0.12837916612625122,
    ),
}
# Q in t, for x from 1 to 6, in float32 to 4
_FAR = {
    DOUBLE: (
        1.2801900862962662e-06,
        2.023603179641757e-06,
        -8.008021319412685e-06,
        -1.284889451252353e-05,
        6.406182073530546e-05,
        4.525472635483354e-05,
        -0.0005970623517093284,
        0.0007077464443901538,
        0.004269136347508256,
        -0.024392499318273194,
        0.07166583719774874,
        -0.15011593650078744,
        0.24560380171233195,
        -0.32623356004303716,
        0.17900115118138996,
    ),
    SINGLE: (
        0.0015493261768614456,
        0.004665094527335907,
        -0.024337653526757347,
        0.07165749817456664,
        -0.15011811326231994,
        0.24560382210495477,
        -0.3262335449133817,
        0.17900115118131857,
    ),
}


def erf(x: Number) -> Number:
    a, form = x.abs(), x.format
    z, z_low = x.times_exactly(x)
    # -1/4 is about the slope of the polynomial near 1, the only place where the rounding of z matters
    near = x.times_plus(z_low.times_plus(-0.25, z.polynomial(_NEAR[form], last=4)), x)
    c = x.lift(_LARGE[form]).where(a.compare(">", _LARGE[form]), a)
    t = (c - 3.0) / (c + 3.0)
    square, square_low = c.times_exactly(c)
    far = (-exp_of_moderate_sum(-square, -square_low)).times_plus(t.polynomial(_FAR[form], last=1), 1.0)
    return far.with_sign_of(x).where(a.compare(">", 1.0), near)
