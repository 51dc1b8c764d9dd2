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
        found = fg.hessian(special.log_ndtr)(x)
        with mpmath.workprec(200):
            h = mpmath.npdf(x) / mpmath.ncdf(x)
            expected = float(-h * (mpmath.mpf(x) + h))
        np.testing.assert_allclose(found, expected, rtol=3e-11)
    for dtype, rtol in ((np.float32, 1e-5), (np.float64, 1e-12)):
        x = np.array([-1e4, -1e6, -1e15], dtype)  # -1 + 1/x^2
        found = fg.jit(fg.vmap(fg.grad(fg.grad(special.log_ndtr))))(x)
        np.testing.assert_allclose(found, -1 + 1 / x.astype(np.float64) ** 2, rtol=rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slope_of_erfcx(dtype):
    x = np.array([-3.0, 0.0, 1.0, 7.9, 8.1, 19.9, 20.1, 300.0, 1e4, 1e8]).astype(dtype)
    with mpmath.workprec(600):
        exact = [_slope(mpmath.mpf(float(v))) for v in x]
    found = fg.jit(fg.vmap(fg.grad(special.erfcx)))(x)
    np.testing.assert_allclose(found, exact, rtol=1e-4 if dtype == np.float32 else 1e-12)
    assert fg.jit(fg.grad(special.erfcx))(dtype(np.inf)) == 0


def _slope(x):
    if x > 1e3:
        return float(-1 / (mpmath.sqrt(mpmath.pi) * x * x) * (1 - 3 / (2 * x * x)))
    return float(2 * x * mpmath.exp(x * x) * mpmath.erfc(x) - 2 / mpmath.sqrt(mpmath.pi))
