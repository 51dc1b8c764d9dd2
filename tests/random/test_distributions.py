"""Real random numbers: beside jax.random's, against their distribution functions, and exact where that is promised."""

import mpmath
import numpy as np
import pytest
from scipy import stats

import fungrad as fg
from fungrad import random
from fungrad.primitives.elementwise import erf_inv

FLOATS = [np.float32, np.float64]
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=["f32", "f64"])
KEY = random.key(2024)
COUNT = 200_000

DISTRIBUTIONS = {
    "uniform": stats.uniform,
    "normal": stats.norm,
    "exponential": stats.expon,
    "laplace": stats.laplace,
    "logistic": stats.logistic,
    "gumbel": stats.gumbel_r,
    "cauchy": stats.cauchy,
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@each_float
def test_distribution(name, dtype):
    x = getattr(random, name)(KEY, (COUNT,), dtype)
    assert x.dtype == dtype
    assert stats.kstest(x.astype(np.float64), DISTRIBUTIONS[name].cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("lower", "upper"), [(-1.0, 2.0), (-np.inf, 0.5), (1.5, np.inf), (-np.inf, np.inf), (2.0, 2.1)]
)
@each_float
def test_truncated_normal(lower, upper, dtype):
    x = random.truncated_normal(KEY, lower, upper, (COUNT,), dtype)
    assert x.dtype == dtype
    assert np.all((x > lower) & (x < upper) & np.isfinite(x))
    assert stats.kstest(x.astype(np.float64), stats.truncnorm(lower, upper).cdf).pvalue > 1e-3


def test_neighbouring_keys_are_independent():
    """Numbers of keys that were split, folded or made from successive seeds."""
    base = random.key(0)
    groups = [
        list(random.split(base, 64)),
        [random.fold_in(random.key(1), i) for i in range(64)],
        [random.key(i) for i in range(64)],
    ]
    for keys in groups:
        x = np.array([random.normal(k, (2000,)) for k in keys])
        assert stats.kstest(x.ravel(), stats.norm.cdf).pvalue > 1e-3
        correlation = np.corrcoef(x)[np.triu_indices(64, 1)] * np.sqrt(2000)
        assert stats.kstest(correlation, stats.norm.cdf).pvalue > 1e-3


def test_weighted_draws():
    p = np.array([0.1, 0.2, 0.3, 0.4])
    for drawn in (
        random.choice(KEY, 4, (COUNT,), p=p),
        random.categorical(KEY, np.log(p), shape=(COUNT,)),
        random.choice(KEY, 4, (COUNT,), p=5 * p),
    ):
        assert stats.chisquare(np.bincount(drawn), p * COUNT).pvalue > 1e-3
    assert stats.binomtest(int(random.bernoulli(KEY, 0.3, (COUNT,)).sum()), COUNT, 0.3).pvalue > 1e-3


def test_every_order_is_equally_likely():
    orders = [tuple(random.permutation(k, 4).tolist()) for k in random.split(KEY, 4800)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


# -- beside JAX ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jr():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.random


@each_float
def test_uniform_has_the_bits_of_jax(jr, dtype):
    np.testing.assert_array_equal(random.uniform(KEY, (1000, 1000), dtype), jr.uniform(KEY, (1000, 1000), dtype))
    np.testing.assert_array_equal(random.uniform(KEY, (), dtype), jr.uniform(KEY, (), dtype))


@each_float
def test_uniform_between_bounds_is_that_of_jax_but_for_a_rounding(jr, dtype):
    """XLA multiplies and adds with one rounding; NumPy, and so compiled code, with two."""
    ours, theirs = (r.uniform(KEY, (COUNT,), dtype, -2.3, np.pi) for r in (random, jr))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=6 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(*(r.uniform(KEY, (COUNT,), dtype, -3.0, 5.0) for r in (random, jr)))


@pytest.mark.parametrize("name", sorted(set(DISTRIBUTIONS) - {"uniform"}))
@each_float
def test_values_are_those_of_jax(jr, name, dtype):
    """The same uniform numbers through other implementations of log and erf_inv.

    JAX's erf_inv loses digits where 1 - x**2 is small, so its normal numbers are off by up to 1e-5 (1e-10 in double);
    its log1p in double is good to 1e-13.
    """
    ours = getattr(random, name)(KEY, (COUNT,), dtype)
    theirs = np.asarray(getattr(jr, name)(KEY, (COUNT,), dtype))
    limits = {np.float32: (2e-5, 1e-6), np.float64: (2e-10, 1e-13)}[dtype]
    rtol = limits[name != "normal"]
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=8 * np.finfo(dtype).eps)


@each_float
def test_truncated_normal_is_that_of_jax(jr, dtype):
    ours, theirs = (r.truncated_normal(KEY, -1.0, 2.0, (COUNT,), dtype) for r in (random, jr))
    np.testing.assert_allclose(ours, theirs, rtol=100 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


@each_float
@pytest.mark.parametrize("shape", [None, (3,), (2000, 3)])
def test_multivariate_normal_is_that_of_jax(jr, dtype, shape):
    mean = np.array([[0.5, -1.0]], dtype)
    cov = np.array([[[2.0, 0.3], [0.3, 1.0]], [[1.0, -0.9], [-0.9, 1.0]], [[3.0, 0.0], [0.0, 0.1]]], dtype)
    ours, theirs = (r.multivariate_normal(KEY, mean, cov, shape, dtype) for r in (random, jr))
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4 if dtype == np.float32 else 1e-9, atol=1e-5)


# -- compiled --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@each_float
def test_compiled(name, dtype):
    """Uniform numbers have the same bits, what is made of them has the accuracy of compiled functions."""
    draw = getattr(random, name)
    eager, compiled = draw(KEY, (COUNT,), dtype), fg.jit(lambda k: draw(k, (COUNT,), dtype))(KEY)
    assert compiled.dtype == dtype
    if name == "uniform":
        np.testing.assert_array_equal(compiled, eager)
    np.testing.assert_allclose(compiled, eager, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


def test_normal_compiles_to_one_loop():
    source = fg.jit(lambda k: random.normal(k, (100,))).source(KEY)
    assert source.count("for ") == 1
    assert "host(" not in source


@each_float
def test_erf_inv_against_mpmath(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.uniform(-1, 1, 800),
            1 - 10 ** rng.uniform(-16, 0, 500),
            10 ** rng.uniform(-8, 0, 200) - 1,
            10 ** rng.uniform(-30, 0, 200),
            rng.uniform(0.74, 0.76, 200),
        ]
    ).astype(dtype)
    x = x[np.abs(x) < 1]
    with mpmath.workprec(200):
        exact = [mpmath.erfinv(mpmath.mpf(float(v))) for v in x]
        for result in (fg.jit(erf_inv)(x), erf_inv(x)):
            ulp = [
                float(abs(mpmath.mpf(float(y)) - e)) / np.spacing(dtype(abs(e)))
                for y, e in zip(result, exact, strict=True)
            ]
            assert max(ulp) < 3.5


@each_float
def test_erf_inv_at_the_edges(dtype):
    x = np.array([0.0, -0.0, 1.0, -1.0, 1.5, -np.inf, np.nan], dtype)
    expected = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.nan, np.nan], dtype)
    for result in (fg.jit(erf_inv)(x), erf_inv(x)):
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(np.signbit(result[:2]), [False, True])
