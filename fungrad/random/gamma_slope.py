"""The derivative of gamma numbers in their parameter.

A number x drawn for the parameter a moves with a so that the distribution function P(a, x) keeps its value:
dx/da = -(dP/da) / (dP/dx). (Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients", NeurIPS 2018.)
The density is x**(a - 1) exp(-x) / Gamma(a) = w / x, and of P = w S / a with

    S = sum of c_n,  c_n = x**n / ((a + 1) ... (a + n))

follows d log x / da = ((psi(a + 1) - log x) S - dS/da) / a; of 1 - P = w F with Legendre's continued fraction

    F = 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ...)))

follows d log x / da = (log x - psi(a)) F + dF/da. (DLMF 8.7.1, 8.9.2.) The first is used for x up to max(1, a), the
second above, where all terms have one sign, so that no digits are lost. Both take some sqrt(a) steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fungrad import lax
from fungrad.regions.each import each

LARGE = 1e6  # from here on (x / a)**(1/3) is normal but for an error of order a**-1.5 (Wilson and Hilferty, 1931)


def gamma_slope(a: Any, log_x: Any) -> Any:
    """d log x / da of gamma numbers x with the parameters `a`, both of shape (n,); computed in double precision."""
    (found,) = each(_slope, a.astype(np.float64), log_x.astype(np.float64))
    return found.astype(a.dtype)


def _slope(a: Any, log_x: Any) -> list[Any]:
    x = np.exp(log_x)
    which = np.where(a >= LARGE, 2, np.where(x <= np.maximum(1.0, a), 0, 1))
    return [lax.switch(which, [_by_series, _by_fraction, _by_normal], a, x, log_x)]


def _by_series(a: Any, x: Any, log_x: Any) -> Any:
    def more(state: Any) -> Any:
        _, c, h, total, slope = state
        return (c > _EPS * total) | (c * h > _EPS * slope)

    def add(state: Any) -> Any:
        n, c, h, total, slope = state
        n = n + 1
        c, h = c * x / (a + n), h + 1 / (a + n)
        return n, c, h, total + c, slope + c * h

    _, _, _, total, slope = lax.while_loop(more, add, (0.0, 1.0, 0.0, 1.0, 0.0))
    return ((digamma(a) + 1 / a - log_x) * total + slope) / a


def _by_fraction(a: Any, x: Any, log_x: Any) -> Any:
    """Lentz's method: F is a product of ratios C D of successive numerators and denominators."""

    def more(state: Any) -> Any:
        _, _, _, _, _, f, df, step, dstep = state
        return (np.abs(step) > _EPS * np.abs(f)) | (np.abs(dstep) > _EPS * np.abs(df))

    def multiply(state: Any) -> Any:
        i, c, dc, d, dd, f, df, _, _ = state
        i = i + 1
        p, b = -i * (i - a), x + 2 * i + 1 - a
        d, dd_old = 1 / (p * d + b), p * dd + i * d - 1
        dd = -d * d * dd_old
        c, dc = b + p / c, -1 + (i - p * dc / c) / c
        new, dnew = f * (c * d), df * (c * d) + f * (dc * d + c * dd)
        return i, c, dc, d, dd, new, dnew, new - f, dnew - df

    b = x + 1 - a
    first, dfirst = 1 / b, 1 / (b * b)
    start = (0.0, np.inf, 0.0, first, dfirst, first, dfirst, 1.0, 1.0)
    _, _, _, _, _, f, df, _, _ = lax.while_loop(more, multiply, start)
    return (log_x - digamma(a)) * f + df


def _by_normal(a: Any, x: Any, log_x: Any) -> Any:
    """With w = (x / a)**(1/3), (w - 1 + 1 / (9 a)) sqrt(a) keeps its value."""
    w = np.exp((log_x - np.log(a)) / 3)
    return 1 / a + 3 * (1 / (9 * a * a) - (w - 1 + 1 / (9 * a)) / (2 * a)) / w


def digamma(a: Any) -> Any:
    """The derivative of log Gamma(a) for a > 0: its asymptotic series (DLMF 5.11.2) at a + 10, and back."""
    z = a + 10
    s = 1 / (z * z)
    series = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * (691 / 32760))))))
    return np.log(z) - 0.5 / z - series - sum(1 / (a + k) for k in range(10))


_EPS = 2.0**-53
