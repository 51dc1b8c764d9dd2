"""Gamma numbers and what is made of them: distributions, derivatives, jax.random's values."""

import mpmath
import numpy as np
import pytest
from scipy import special, stats

import fungrad as fg
from fungrad import random
from fungrad.random.gamma_slope import LARGE, digamma, gamma_slope

FLOATS = [np.float32, np.float64]
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=["f32", "f64"])
each_way = pytest.mark.parametrize("wrap", [lambda f: f, fg.jit], ids=["eager", "jit"])
KEY = random.key(2025)
COUNT = 20_000


# -- distributions -----------------------------------------------------------------------------------------------------

CASES = {
    "gamma small": (lambda r, k, n, d: r.gamma(k, 0.3, n, d), stats.gamma(0.3)),
    "gamma one": (lambda r, k, n, d: r.gamma(k, 1.0, n, d), stats.expon),
    "gamma": (lambda r, k, n, d: r.gamma(k, 2.5, n, d), stats.gamma(2.5)),
    "gamma large": (lambda r, k, n, d: r.gamma(k, 1e4, n, d), stats.gamma(1e4)),
    "loggamma": (lambda r, k, n, d: r.loggamma(k, 0.7, n, d), stats.loggamma(0.7)),
    "beta": (lambda r, k, n, d: r.beta(k, 2.0, 0.3, n, d), stats.beta(2.0, 0.3)),
    "chisquare": (lambda r, k, n, d: r.chisquare(k, 3.0, n, d), stats.chi2(3.0)),
    "t": (lambda r, k, n, d: r.t(k, 2.5, n, d), stats.t(2.5)),
    "dirichlet": (lambda r, k, n, d: r.dirichlet(k, np.array([0.2, 1.0, 5.0]), n, d)[..., 2], stats.beta(5.0, 1.2)),
    "generalized_normal": (lambda r, k, n, d: r.generalized_normal(k, 1.5, n, d), stats.gennorm(1.5)),
    "ball": (lambda r, k, n, d: np.sum(np.asarray(r.ball(k, 3, 2.0, n, d)) ** 2, axis=-1), stats.beta(1.5, 1.0)),
    "ball of the 1-norm": (lambda r, k, n, d: np.asarray(r.ball(k, 2, 1.0, n, d)).sum(-1), stats.uniform(-1, 2)),
}


@pytest.mark.parametrize("name", CASES)
@each_float
def test_distribution(name, dtype):
    draw, distribution = CASES[name]
    x = np.asarray(draw(random, KEY, (COUNT,), dtype))
    assert x.dtype == dtype
    assert x.shape == (COUNT,)
    if name == "beta" and dtype == np.float32:
        x = x[x < 1]  # the density has a pole there, and float32 a coarse grid
        distribution = stats.beta(2.0, 0.3)
        cut = distribution.cdf(1 - np.finfo(dtype).epsneg / 2)
        assert stats.kstest(x.astype(np.float64), lambda v: distribution.cdf(v) / cut).pvalue > 1e-3
        return
    assert stats.kstest(x.astype(np.float64), distribution.cdf).pvalue > 1e-3


def test_dirichlet_vectors_sum_to_one():
    x = random.dirichlet(KEY, np.array([[1e-3, 1e-3, 1e-3], [0.5, 1.0, 3.0]]), (500, 2))
    assert x.shape == (500, 2, 3)
    np.testing.assert_allclose(np.sum(x, axis=-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(x.mean(axis=0)[1], np.array([0.5, 1.0, 3.0]) / 4.5, atol=0.05)


def test_small_parameters_do_not_underflow_in_logarithms():
    log_x = random.loggamma(random.key(1), 1e-4, (COUNT,))
    assert np.all(np.isfinite(log_x))
    assert stats.kstest(1e-4 * log_x, lambda v: np.exp(v) / special.gamma(1 + 1e-4)).pvalue > 1e-3  # x**a is uniform
    assert np.mean(random.gamma(KEY, 1e-4, (1000,)) == 0) > 0.9


def test_elements_are_independent_of_each_other_and_of_their_number():
    x = random.gamma(KEY, np.full(64, 0.8), (2000, 64))
    correlation = np.corrcoef(x.T)[np.triu_indices(64, 1)] * np.sqrt(2000)
    assert stats.kstest(correlation, stats.norm.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(random.gamma(KEY, 0.8, (10,)), x[0, :10])


# -- transformations ---------------------------------------------------------------------------------------------------


@each_float
def test_compiled(dtype):
    """The numbers are the same up to a few ulp, unless rounding decides an acceptance."""
    a = np.array([0.1, 0.9, 1.0, 3.0, 200.0])
    for draw in (random.gamma, random.loggamma):
        compiled = fg.jit(lambda k, a, draw=draw: draw(k, a, (500, 5), dtype))
        source = compiled.source(KEY, a)
        assert "host(" not in source
        np.testing.assert_allclose(
            compiled(KEY, a),
            draw(KEY, a, (500, 5), dtype),
            rtol=200 * np.finfo(dtype).eps,
            atol=20 * np.finfo(dtype).eps,
        )


@each_way
def test_mapped_over_keys_and_parameters(wrap):
    keys, a = random.split(KEY, 4), np.array([0.2, 1.5, 30.0])
    found = wrap(fg.vmap(lambda k: random.gamma(k, a)))(keys)
    np.testing.assert_allclose(found, [random.gamma(k, a) for k in keys], rtol=1e-12)
    found = wrap(fg.vmap(lambda a: random.beta(KEY, a, 2 * a, (3,))))(a)
    np.testing.assert_allclose(found, [random.beta(KEY, x, 2 * x, (3,)) for x in a], rtol=1e-12)


def test_shapes():
    assert random.gamma(KEY, 2.0).shape == ()
    assert isinstance(random.gamma(KEY, 2.0), np.generic)
    assert random.gamma(KEY, np.ones((2, 1)), (3, 2, 4)).shape == (3, 2, 4)
    assert random.gamma(KEY, np.ones(0)).shape == (0,)
    assert random.beta(KEY, np.ones((2, 1)), np.ones(3)).shape == (2, 3)
    assert random.dirichlet(KEY, np.ones((4, 3)), (2, 4)).shape == (2, 4, 3)
    assert random.ball(KEY, 3, shape=(2,)).shape == (2, 3)


def test_parameters_that_are_not_positive_give_nan_where_they_are_traced():
    f = fg.jit(lambda a: random.gamma(KEY, a))
    assert np.all(np.isnan(f(np.array([-0.3, -1.0, -2.5, np.nan]))))


# -- derivatives -------------------------------------------------------------------------------------------------------


def quantile_slope(a, x):
    """dx/da where P(a, x) stays the same, to the accuracy of differences in 40 digits."""
    with mpmath.workdps(40):
        a, x, h = mpmath.mpf(float(a)), mpmath.mpf(float(x)), mpmath.mpf(10) ** -12
        ends = (0, x) if x < a + 1 else (x, mpmath.inf)
        below, above = (mpmath.gammainc(b, *ends, regularized=True) for b in (a - h, a + h))
        change = (above - below) / (2 * h) * (1 if ends[0] == 0 else -1)
        return float(-change * mpmath.gamma(a) * mpmath.exp(x) / x ** (a - 1))


@each_way
def test_slope_against_mpmath(wrap):
    a, q = (
        x.ravel()
        for x in np.meshgrid(
            [1e-3, 0.1, 0.7, 0.99, 1.0, 1.01, 2.0, 10.0, 333.0, 1e4], [1e-8, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-4, 1 - 1e-10]
        )
    )
    x = special.gammaincinv(a, q)
    a, x = a[x > 1e-280], x[x > 1e-280]
    expected = [quantile_slope(*pair) for pair in zip(a, x, strict=True)]
    np.testing.assert_allclose(x * wrap(gamma_slope)(a, np.log(x)), expected, rtol=1e-12)


def test_slope_of_large_parameters():
    """Where the cube root of gamma numbers counts as normal, and just before."""
    slope = fg.jit(gamma_slope)
    for a, rtol in ((0.99 * LARGE, 1e-9), (1.01 * LARGE, 5e-9), (1e9, 1e-9)):
        x = special.gammaincinv(a, special.ndtr(np.linspace(-4, 4, 5)))
        z = (x - a) / np.sqrt(a)  # Cornish and Fisher: x = a + z sqrt(a) + ..., with z the normal quantile
        normal = np.linspace(-4, 4, 5)
        expected = 1 + normal / (2 * np.sqrt(a)) - (normal**3 - 7 * normal) / (72 * a**1.5)
        assert np.all(np.abs(z - normal) < 0.1)
        np.testing.assert_allclose(x * slope(np.full(5, a), np.log(x)), expected, rtol=rtol)


@each_way
def test_gradients_follow_the_quantile(wrap):
    a = np.array([0.2, 1.0, 2.5, 60.0])
    x = random.gamma(KEY, a)
    q = special.gammainc(a, x)

    def quantile(a):
        return special.gammaincinv(a, q)

    h = 1e-5 * a
    first = (quantile(a + h) - quantile(a - h)) / (2 * h)
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    found = wrap(fg.grad(lambda a: np.sum(weights * random.gamma(KEY, a))))(a)
    np.testing.assert_allclose(found, weights * first, rtol=1e-7)
    if wrap is fg.jit:
        return
    found = fg.grad(lambda a: np.sum(weights * random.loggamma(KEY, a)))(a)
    np.testing.assert_allclose(found, weights * first / x, rtol=1e-7)
    found = fg.jacfwd(lambda a: random.loggamma(KEY, a))(a)
    np.testing.assert_allclose(found, np.diag(first / x), rtol=1e-7, atol=1e-12)
    h = 1e-3 * a
    second = (quantile(a + h) - 2 * quantile(a) + quantile(a - h)) / (h * h)
    found = fg.hessian(lambda a: np.sum(random.gamma(KEY, a)))(a)
    np.testing.assert_allclose(found, np.diag(second), rtol=1e-4, atol=1e-9)


@pytest.mark.fuzz
def test_compiled_derivatives_of_higher_order():
    a = np.array([0.2, 1.0, 2.5, 60.0])
    for f in (random.gamma, random.loggamma):
        hessian = fg.hessian(lambda a, f=f: np.sum(np.sin(f(KEY, a))))
        np.testing.assert_allclose(fg.jit(hessian)(a), hessian(a), rtol=1e-9, atol=1e-12)


def test_gradients_of_expectations():
    """E x**2 of chi-square numbers is df (df + 2); the mean of beta numbers a / (a + b)."""
    found = fg.grad(lambda df: np.mean(random.chisquare(KEY, df, (COUNT,)) ** 2))(3.0)
    np.testing.assert_allclose(found, 2 * 3.0 + 2, rtol=0.05)
    found = fg.grad(lambda a, b: np.mean(random.beta(KEY, a, b, (COUNT,))), (0, 1))(2.0, 3.0)
    np.testing.assert_allclose(found, [3 / 25, -2 / 25], rtol=0.05)


def test_underflowed_numbers_have_no_slope_but_their_logarithms_do():
    found = fg.grad(lambda a: np.sum(random.gamma(KEY, a, (50,))))(1e-6)
    assert found == 0
    found = fg.grad(lambda a: np.mean(random.loggamma(KEY, a, (2000,))))(1e-3)
    np.testing.assert_allclose(found, 1e6, rtol=0.1)  # E log x = psi(a), whose derivative is 1 / a**2


def test_digamma():
    a = 10 ** np.random.default_rng(0).uniform(-6, 8, 500)
    np.testing.assert_allclose(digamma(a), special.digamma(a), rtol=1e-14, atol=1e-14)


# -- beside JAX --------------------------------------------------------------------------------------------------------


def test_golden_values():
    """Written by jax 0.10.2 with jax_enable_x64: `jax.random.<name>(jax.random.PRNGKey(42), ...)`."""
    key = random.key(42)
    for name, arguments, expected in [
        ("gamma", ([0.3, 2.5, 40.0],), [0.04064462722988022, 1.8851142907505218, 51.368778055422666]),
        ("loggamma", ([0.001, 0.3, 2.5],), [-1075.138230732641, -7.2377671274946245, 1.7504333689015956]),
        ("beta", (2.0, 0.3, (2,)), [0.9158311443266186, 0.9820006526703698]),
        ("chisquare", (4.0, (2,)), [4.596036684816625, 2.8426371224644464]),
        ("t", (3.0, (2,)), [-0.6930095592523876, -0.5820081154139338]),
        ("dirichlet", ([0.2, 1.0, 5.0],), [0.000626071715392042, 0.05208524403789126, 0.9472886842467168]),
        ("generalized_normal", (1.5, (2,)), [-0.4028062414861481, -0.09948843483645729]),
        ("ball", (3,), [-0.04422263011031423, -0.26116012882271694, -0.49768540810316086]),
        ("ball", (2, 1.0), [-0.22950591730198683, -0.2676039447044714]),
    ]:
        found = getattr(random, name)(key, *(np.array(x) if isinstance(x, list) else x for x in arguments))
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=name)


@pytest.fixture(scope="module")
def jax():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


PARAMETERS = np.array([0.05, 0.9, 1.0, 2.5, 30.0, 1e3])


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.fuzz), np.float64], ids=["f32", "f64"])
def test_values_are_those_of_jax(jax, dtype):
    """The same uniform numbers and decisions; JAX's normal numbers are good to 2e-5 in float32."""
    ours, theirs = (np.asarray(r.gamma(KEY, PARAMETERS, (2000, 6), dtype)) for r in (random, jax.random))
    rtol = {np.float32: 2e-4, np.float64: 2e-12}[dtype]
    wrong = np.abs(ours - theirs) > rtol * theirs + np.finfo(dtype).tiny  # XLA flushes subnormal numbers
    assert np.count_nonzero(wrong) <= (1 if dtype == np.float32 else 0)  # rounding may decide an acceptance


def test_derivatives_are_those_of_jax(jax):
    x = random.gamma(KEY, PARAMETERS)
    expected = np.asarray(jax.lax.random_gamma_grad(PARAMETERS, x))
    np.testing.assert_allclose(fg.grad(lambda a: np.sum(random.gamma(KEY, a)))(PARAMETERS), expected, rtol=1e-11)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [name for name in CASES if name != "gamma one"])
@each_float
def test_all_values_are_those_of_jax(jax, name, dtype):
    draw, _ = CASES[name]
    ours, theirs = (np.asarray(draw(r, KEY, (2000,), dtype)) for r in (random, jax.random))
    np.testing.assert_allclose(ours, theirs, rtol=3e-4 if dtype == np.float32 else 3e-12, atol=1e-30)
