"""The error function, its complement and the scaled complement erfcx(x) = exp(x**2) erfc(x), without branches.

Up to 1 erf is a polynomial in x**2; beyond, 1 - exp(-x**2) Q(t), where Q = erfcx is smooth enough to be a polynomial in
t = (x - 3)/(x + 3). The others use the first polynomial up to 1, too. Beyond, erfcx(x) (x + 4) is a polynomial in
t = (x - 4)/(x + 4) that reaches from 1 to infinity, after S. G. Johnson's Faddeeva package (2012), which has many.
All are Chebyshev fits; the first was improved in float32 by trying the neighbours of its rounded coefficients.
"""

from __future__ import annotations

from fungrad.jit.registers import DOUBLE, SINGLE, Number
from fungrad.jit.vectorexp import exp_of_moderate_sum, exp_of_sum

_LARGE = {DOUBLE: 6.0, SINGLE: 4.0}  # beyond this erf is 1
_LARGER = {DOUBLE: 28.0, SINGLE: 11.0}  # beyond this erfc is 0, of -x erfcx is infinite

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

# erfcx(x) (x + 4) in t, for x from 1 to infinity
_SCALED = {
    DOUBLE: (
        6.364922344889474e-10,
        1.4680443931811428e-09,
        -1.3937366234421523e-08,
        -3.253815949435606e-09,
        1.2164136952527127e-07,
        -6.996783506563107e-08,
        -8.440225034002458e-07,
        1.4199293229891973e-06,
        4.693294026507247e-06,
        -1.8858857678883083e-05,
        -3.6348094992971973e-06,
        0.00017681220317237512,
        -0.00045505275907432554,
        -0.00028095874767276386,
        0.006112055665678611,
        -0.02637005335397025,
        0.07638151490849378,
        -0.17401093723906136,
        0.3308515878780484,
        -0.5408538313132608,
        0.7732087022652364,
        -0.9765487290808817,
        1.095995661000491,
    ),
    SINGLE: (
        0.00013205216361069415,
        -0.00045156058284763,
        -0.00023593787514954992,
        0.0061069033966304415,
        -0.02639268490634395,
        0.07638354747318776,
        -0.17400524966420447,
        0.330851311893869,
        -0.5408544576810493,
        0.7732087095592269,
        -0.9765487090288933,
        1.0959956610987398,
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


def erfc(x: Number) -> Number:
    a, form = x.abs(), x.format
    c = x.lift(_LARGER[form]).where(a.compare(">", _LARGER[form]), a)
    square, square_low = c.times_exactly(c)
    tail = exp_of_sum(-square, -square_low) * _scaled_tail(c)
    far = (2.0 - tail).where(x.compare("<", 0.0), tail)
    return far.where(a.compare(">", 1.0), _near_complement(x))


def erfcx(x: Number) -> Number:
    a, form = x.abs(), x.format
    c = x.lift(-_LARGER[form]).where(x.compare("<", -_LARGER[form]), x)
    square, square_low = c.times_exactly(c)
    power = exp_of_sum(square, square_low)
    tail = _scaled_tail(a)
    far = (2.0 * power - tail).where(x.compare("<", 0.0), tail)
    return far.where(a.compare(">", 1.0), power * _near_complement(x))


def _near_complement(x: Number) -> Number:
    """1 - erf(x) for x from -1 to 1."""
    z = x * x
    one, lost = x.lift(1.0).add_smaller(-x)
    return one + (-x).times_plus(z.polynomial(_NEAR[x.format]), lost)


def _scaled_tail(x: Number) -> Number:
    """erfcx(x) for x from 1 to infinity."""
    more = x + 4.0
    t = (-8.0 / more) + 1.0
    return t.polynomial(_SCALED[x.format], last=3) / more
