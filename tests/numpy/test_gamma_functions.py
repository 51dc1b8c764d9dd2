"""`gammaln`, `psi` and their kin on traced arrays, against mpmath and SciPy; derivatives of any order."""

import mpmath
import numpy as np
import pytest
from scipy import special

import fungrad as fg

X = np.concatenate(
    [
        [
            1e-9,
            0.1,
            0.4999,
            0.5,
            0.5001,
            1.0,
            1.4616321449683622,
            2.0,
            3.0,
            7.999,
            8.0,
            8.001,
            50.0,
            1e4,
            1e300,
        ],
        [-1e-9, -0.5, -1.3, -2.9999, -10.5, -100.2],
    ]
)


def derivative(f, order):
    if not order:
        return f
    return derivative(lambda x: fg.jvp(f, (x,), (np.ones_like(x),))[1], order - 1)


@pytest.mark.parametrize("way", [fg.jit, fg.vmap], ids=["compiled", "interpreted"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["gammaln", "psi"])
def test_values_and_derivatives(name, order, way):
    f = derivative(getattr(special, name), order)
    x = X[np.abs(X) < 1e5] if order else X
    with np.errstate(all="ignore"):
        found = way(f)(x)
    total = order + (name == "psi")
    with mpmath.workdps(400):
        exact = [float(mpmath.loggamma(v).real if total == 0 else mpmath.psi(total - 1, v)) for v in map(mpmath.mpf, x)]
    np.testing.assert_allclose(found, exact, rtol=2e-14 * 8**order, atol=5e-15)


def test_poles_and_infinities_are_scipys():
    x = np.array([0.0, -1.0, -7.0, np.inf, np.nan, 1e-300, -1e-300])
    np.testing.assert_allclose(fg.jit(special.gammaln)(x), special.gammaln(x), rtol=1e-14)
    np.testing.assert_allclose(fg.jit(special.psi)(x[1:]), special.psi(x[1:]), rtol=1e-14)
    for order in (1, 2):
        assert np.isnan(fg.jit(derivative(special.psi, order))(np.array([0.0, -1.0, -7.0]))).all()
    x = np.array([0.3, 5.0, -0.5, -2.0, np.nan])
    np.testing.assert_allclose(fg.jit(special.loggamma)(x), special.loggamma(x), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_dtypes(dtype):
    x = np.array([1, 2, 3, 30]).astype(dtype)
    for f in (special.gammaln, special.psi):
        found, expected = fg.jit(f)(x), f(x)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-14, atol=2e-15)


def test_functions_of_two():
    a = np.array([0.5, 2.0, 30.0, 1e15, 0.5, 1e300, 8.0, 9.0, 0.0, 0.0])
    b = np.array([1.5, 0.3, 40.0, 2.0, 1e15, 2.0, 0.1, 9.0, 0.0, 3.0])
    np.testing.assert_allclose(fg.jit(special.betaln)(a, b), special.betaln(a, b), rtol=1e-13)
    a, b = np.array([0.5, 2.0, 30.0, 9.0, 5.0]), np.array([1.5, 0.3, 40.0, 9.0, 5.0])
    np.testing.assert_allclose(fg.jit(special.betaln)(a, b), special.betaln(a, b), rtol=1e-13)
    slope = fg.grad(lambda a, b: np.sum(special.betaln(a, b)))(a, b)
    np.testing.assert_allclose(slope, special.psi(a) - special.psi(a + b), rtol=1e-12)
    p = np.array([0.0, 0.2, 0.5, 0.0, -1.0, 1e6 * (1 + 1e-12), 1e300, 1.7e308, 1.7e308, np.inf, -0.5, 1e-310])
    q = np.array([0.5, 0.4, 0.0, 0.0, 1.0, 1e6, 1.00000001e300, 1.7e308, 3.5, 1.0, np.nan, 1e300])
    np.testing.assert_allclose(fg.jit(special.rel_entr)(p, q), special.rel_entr(p, q), rtol=1e-14)
    np.testing.assert_allclose(fg.grad(special.rel_entr)(0.2, 0.4), np.log(0.5) + 1, rtol=1e-14)
    np.testing.assert_allclose(fg.grad(special.rel_entr, 1)(0.2, 0.4), -0.5, rtol=1e-14)


def test_a_likelihood():
    """Of the negative binomial distribution, whose slope is known."""
    counts = np.array([0, 3, 7, 1])

    def log_likelihood(r, p):
        k = counts
        return np.sum(special.gammaln(k + r) - special.gammaln(k + 1.0) - special.gammaln(r) + r * np.log(p)) + np.sum(
            k * np.log1p(-p)
        )

    found = fg.jit(fg.grad(log_likelihood))(2.5, 0.3)
    expected = np.sum(special.psi(counts + 2.5) - special.psi(2.5) + np.log(0.3))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
