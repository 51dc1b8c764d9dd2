"""Functions of the normal distribution of traced arrays keep all their digits in the tails."""

import mpmath
import numpy as np
import pytest
from scipy import special

import fungrad as fg


def log_ndtr(x):
    return mpmath.log(mpmath.ncdf(x))


EXACT = {
    "erfc": (mpmath.erfc, lambda x: -2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x)),
    "ndtr": (mpmath.ncdf, mpmath.npdf),
    "log_ndtr": (log_ndtr, lambda x: mpmath.npdf(x) / mpmath.ncdf(x)),
}
WAYS = {
    "traced": lambda f: fg.value_and_grad(f),
    "compiled": lambda f: fg.jit(fg.value_and_grad(f)),
    "batched": lambda f: lambda x: [y[0] for y in fg.vmap(fg.value_and_grad(f))(x[None])],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EXACT)
def test_values_and_slopes(name, way):
    f = WAYS[way](getattr(special, name))
    value, slope = EXACT[name]
    for x in [-26.0, -10.0, -5.0, -1.01, -0.99, -0.5, 0.0, 0.4, 0.99, 1.01, 3.0, 9.0, 26.0]:
        with mpmath.workprec(800):
            expected = [float(value(mpmath.mpf(x))), float(slope(mpmath.mpf(x)))]
        np.testing.assert_allclose(f(np.float64(x)), expected, rtol=3e-13, atol=0, err_msg=str(x))


def test_far_tails():
    x = np.array([-1e3, -1e8, -1e150])
    for f in (fg.vmap(special.log_ndtr), fg.jit(special.log_ndtr)):
        np.testing.assert_allclose(f(x), special.log_ndtr(x), rtol=1e-13)
    np.testing.assert_allclose(fg.jit(fg.grad(lambda x: np.sum(special.log_ndtr(x))))(x), -x, rtol=1e-5)
    np.testing.assert_allclose(fg.jit(special.erfcx)(-x), special.erfcx(-x), rtol=1e-15)
    assert fg.jit(special.erfcx)(np.inf) == 0
    np.testing.assert_array_equal(fg.jit(special.log_ndtr)(np.array([40.0, np.inf, -np.inf])), [0, 0, -np.inf])


def test_second_derivatives():
    """Of log ndtr, h' = -h (x + h), where h = npdf / ncdf."""
    for x in (-30.0, -5.0, -1.0, 0.3, 2.0):
        h = float(mpmath.npdf(x) / mpmath.ncdf(x))
        found = fg.hessian(special.log_ndtr)(x)
        np.testing.assert_allclose(found, float(-h * (mpmath.mpf(x) + h)), rtol=1e-9 * max(1, x * x))
