"""The polynomials of compiled functions, rounded as compiled code uses them, are as near as their precision needs."""

import mpmath
import numpy as np
import pytest

from tests.jit.polynomial_fits import BITS, error, fits

FITS = fits()
NEEDED = {"cbrt": 14, "pow": {32: 33, 64: 62}}  # bits; a correction follows cbrt's, pow multiplies its error


@pytest.mark.parametrize("name", FITS)
def test_error_of_the_polynomial(name):
    fit = FITS[name]
    for form, coefficients in fit.coefficients.items():
        needed = NEEDED.get(name, form.mantissa + 1.5)
        bits = needed[form.bits] if isinstance(needed, dict) else needed
        rounded = [float(np.float32(c)) for c in coefficients] if form.bits == 32 else coefficients
        with mpmath.workprec(BITS):
            assert error(fit, form, rounded) < 2.0**-bits
