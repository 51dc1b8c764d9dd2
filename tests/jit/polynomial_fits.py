"""How the coefficients of compiled functions were found: `python -m tests.jit.polynomial_fits` prints them.

Each polynomial interpolates its function at the Chebyshev nodes of the interval, which is within a small factor of the
best approximation, in 300 bits, and is then rounded to doubles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath
from mpmath import mp

from fungrad.jit import vectorarc, vectorerf, vectorexp, vectorlog, vectorpow, vectortrig
from fungrad.jit.registers import DOUBLE, SINGLE, Format

BITS = 300


class Fit(NamedTuple):
    """A polynomial of the compiler and what it stands for."""

    coefficients: dict[Format, Sequence[float]]  # highest power first
    function: Callable[[Any], Any]
    interval: Callable[[Format], tuple[Any, Any]]
    share: Callable[[Any], Any]  # relative to the result of the whole, by what an error of the polynomial is multiplied


def _of_square(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """As a function of z = x**2, which must not be 0 since most are quotients."""
    return lambda z: f(mpmath.sqrt(max(z, mpmath.mpf(10) ** -25)))


def _tables(name: str) -> dict[Format, Sequence[float]]:
    return {DOUBLE: getattr(vectorexp._DOUBLE, name), SINGLE: getattr(vectorexp._SINGLE, name)}


def _erfcx(t: Any) -> Any:
    x = 3 * (1 + t) / (1 - t)
    return mpmath.erfc(x) * mpmath.exp(x * x)


def _away(x: Any) -> Any:
    return x if abs(x) > mpmath.mpf(10) ** -25 else mpmath.mpf(10) ** -25


def fits() -> dict[str, Fit]:
    """All of them."""
    half_log = mp.log(2) / 2
    square_of_s = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
    series = _of_square(lambda s: (2 * mpmath.atanh(s) / s - 2) / s**2)
    return {
        "exp": Fit(
            _tables("exp"),
            lambda r: (mpmath.exp(_away(r)) - 1 - _away(r)) / _away(r) ** 2,
            lambda _: (-half_log, half_log),
            lambda r: r * r,
        ),
        "tanh": Fit(
            _tables("tanh"),
            _of_square(lambda x: (mpmath.tanh(x) / x - 1) / x**2),
            lambda _: (0, (half_log / 2 + vectorexp._SHIFT) ** 2),
            lambda z: z,
        ),
        "log": Fit(vectorlog._SERIES, series, lambda _: (0, square_of_s), lambda z: z / 2),
        "pow": Fit(
            vectorpow._SERIES,
            lambda z: (series(z) - mpmath.mpf(2) / 3) / max(z, mpmath.mpf(10) ** -25),
            lambda _: (0, square_of_s),
            lambda z: z * z / 2,
        ),
        "cbrt": Fit(vectorpow._INVERSE_ROOT, lambda m: m ** (-mpmath.mpf(1) / 3), lambda _: (1, 2), lambda m: 1),
        "arctan": Fit(
            vectorarc._ARCTAN,
            _of_square(lambda x: (mpmath.atan(x) / x - 1) / x**2),
            lambda _: (0, mp.tan(mp.pi / 8) ** 2),
            lambda z: z,
        ),
        "arcsin": Fit(
            vectorarc._ARCSIN,
            _of_square(lambda x: (mpmath.asin(x) / x - 1) / x**2),
            lambda _: (0, mpmath.mpf(1) / 4),
            lambda z: z,
        ),
        "erf": Fit(vectorerf._NEAR, _of_square(lambda x: mpmath.erf(x) / x - 1), lambda _: (0, 1), lambda z: 1),
        "erfc": Fit(
            vectorerf._FAR,
            _erfcx,
            lambda form: (-mpmath.mpf(1) / 2, mpmath.mpf(1) / (3 if form is DOUBLE else 7)),
            lambda t: mpmath.exp(-((3 * (1 + t) / (1 - t)) ** 2)),
        ),
        "sin": Fit(
            vectortrig._SINE,
            _of_square(lambda x: (mpmath.sin(x) / x - 1) / x**2),
            lambda _: (0, (mp.pi / 4) ** 2),
            lambda z: z,
        ),
        "cos": Fit(
            vectortrig._COSINE,
            _of_square(lambda x: (mpmath.cos(x) - 1 + x**2 / 2) / x**4),
            lambda _: (0, (mp.pi / 4) ** 2),
            lambda z: z * z,
        ),
    }


def interpolant(f: Callable[[Any], Any], low: Any, high: Any, count: int) -> list[Any]:
    """The polynomial of `count` coefficients through f at Chebyshev nodes, highest power first."""
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    powers = mp.matrix([[x ** (count - 1 - j) for j in range(count)] for x in nodes])
    return list(mp.lu_solve(powers, mp.matrix([f(x) for x in nodes])))


def error(fit: Fit, form: Format, coefficients: Sequence[Any], points: int = 200) -> float:
    """The largest relative error a polynomial causes in the result of its function."""
    low, high = (mpmath.mpf(x) for x in fit.interval(form))
    xs = [low + (high - low) * i / points for i in range(points + 1)]
    return float(max(abs((_value(coefficients, x) - fit.function(x)) * fit.share(x)) for x in xs))


def _value(coefficients: Sequence[Any], x: Any) -> Any:
    return functools.reduce(lambda total, c: total * x + c, coefficients, mpmath.mpf(0))


def main() -> None:
    with mpmath.workprec(BITS):
        for name, fit in fits().items():
            for form, ours in fit.coefficients.items():
                found = interpolant(fit.function, *fit.interval(form), len(ours))
                print(
                    name, f"float{form.bits}", f"error {error(fit, form, found):.1e}", *map(float, found), sep="\n    "
                )


if __name__ == "__main__":
    main()
