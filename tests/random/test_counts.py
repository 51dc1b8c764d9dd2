"""Poisson and binomial numbers: beside their distributions and, where few events are expected, beside jax.random."""

import numpy as np
import pytest
from scipy import special, stats

import fungrad as fg
from fungrad import random
from fungrad.random.counts import _stirling_rest

KEY = random.key(77)
COUNT = 40_000


def fits(drawn, distribution):
    """The p-value of the chi-square test, with cells of at least some ten expected counts."""
    least, most = (int(x) for x in distribution.ppf([1e-12, 1 - 1e-12]))
    cells = np.unique(np.round(np.linspace(least, most, min(most - least, 4000) + 1)))
    expected = np.diff(distribution.cdf(cells), prepend=0.0) * drawn.size
    observed = np.histogram(drawn, np.concatenate([[-np.inf], cells + 0.5]))[0]
    group = np.minimum(np.cumsum(expected) // 12, (expected.sum() - 12) // 12).astype(int)
    expected, observed = (np.bincount(group, x) for x in (expected, observed))
    kept = expected > 0
    expected, observed = expected[kept], observed[kept]
    if len(expected) == 1:
        return 1.0
    return stats.chisquare(observed, expected * (observed.sum() / expected.sum())).pvalue


@pytest.mark.parametrize("lam", [0.02, 0.7, 4.0, 9.99, 10.0, 12.5, 60.0, 3e3, 1e7])
def test_poisson(lam):
    x = random.poisson(KEY, lam, (COUNT,))
    assert x.dtype == np.int64
    assert fits(x, stats.poisson(lam)) > 1e-3


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (10, 0.5), (15, 0.9), (1000, 0.009), (40, 0.5), (25, 0.45), (300, 0.93), (10_000, 0.3), (10**8, 0.2)],
)
def test_binomial(n, p):
    x = random.binomial(KEY, n, p, (COUNT,))
    assert x.dtype == np.float64
    assert np.all((x >= 0) & (x <= n) & (x == np.floor(x)))
    assert fits(x, stats.binom(n, p)) > 1e-3


@pytest.mark.parametrize("expected", [1e10, 1e12, 1e15])
def test_large_counts_are_normal(expected):
    """Distribution functions of such counts are no longer computed well; their normal approximation is good."""
    x = random.poisson(KEY, expected, (COUNT,))
    assert stats.kstest((x - expected) / np.sqrt(expected), stats.norm.cdf).pvalue > 1e-3
    x = random.binomial(KEY, expected, 0.3, (COUNT,))
    assert stats.kstest((x - 0.3 * expected) / np.sqrt(0.21 * expected), stats.norm.cdf).pvalue > 1e-3


def test_what_is_certain():
    assert np.all(random.poisson(KEY, 0.0, (20,)) == 0)
    assert np.all(random.binomial(KEY, 5, np.array([0.0, 1.0]), (20, 2)) == [0, 5])
    assert np.all(random.binomial(KEY, 0, 0.5, (20,)) == 0)
    assert np.all(random.binomial(KEY, 1e9, np.array([0.0, 1.0]), (20, 2)) == [0, 1e9])


def test_shapes_and_types():
    assert random.poisson(KEY, 3.0).shape == ()
    assert random.poisson(KEY, np.ones((2, 1)), (3, 2, 4), np.uint8).dtype == np.uint8
    assert random.poisson(KEY, np.ones((2, 1)), (3, 2, 4)).shape == (3, 2, 4)
    assert random.binomial(KEY, np.full((2, 1), 9), np.full(3, 0.5), dtype=np.float32).shape == (2, 3)
    assert random.binomial(KEY, 9, 0.5, (4,), np.float32).dtype == np.float32
    assert np.all(random.poisson(KEY, 1e4, (9,), np.int8) == 127)
    assert random.poisson(KEY, np.ones(0)).shape == (0,)


def test_compiled_and_mapped():
    lam, n, p = np.array([0.5, 8.0, 20.0, 1e4]), np.array([3, 20, 50, 10**6]), np.array([0.5, 0.9, 0.6, 0.3])
    poisson = fg.jit(lambda k, lam: random.poisson(k, lam, (300, 4)))
    binomial = fg.jit(lambda k, n, p: random.binomial(k, n, p, (300, 4)))
    np.testing.assert_array_equal(poisson(KEY, lam), random.poisson(KEY, lam, (300, 4)))
    np.testing.assert_array_equal(binomial(KEY, n, p), random.binomial(KEY, n, p, (300, 4)))
    assert "host(" not in poisson.source(KEY, lam) + binomial.source(KEY, n, p)
    keys = random.split(KEY, 3)
    for wrap in (lambda f: f, fg.jit):
        found = wrap(fg.vmap(lambda k: random.poisson(k, lam)))(keys)
        np.testing.assert_array_equal(found, [random.poisson(k, lam) for k in keys])
        found = wrap(fg.vmap(lambda p: random.binomial(KEY, 30, p, (5,))))(p)
        np.testing.assert_array_equal(found, [random.binomial(KEY, 30, x, (5,)) for x in p])


def test_traced_parameters_out_of_range():
    wrong = np.array([-1.0, np.nan, 1e16, np.inf])
    assert np.all(fg.jit(lambda lam: random.poisson(KEY, lam))(wrong) == -1)
    assert np.all(np.isnan(fg.jit(lambda n: random.binomial(KEY, n, 0.5))(wrong)))
    assert np.all(np.isnan(fg.jit(lambda p: random.binomial(KEY, 30, p))(np.array([-0.1, 1.1, np.nan]))))


def test_counts_have_no_derivative():
    assert fg.grad(lambda p: np.sum(random.binomial(KEY, 30, p, (5,))))(0.4) == 0
    assert fg.grad(lambda lam: 1.0 * np.sum(random.poisson(KEY, lam, (5,))) + lam)(0.4) == 1


def test_stirling():
    k = np.concatenate([np.arange(60.0), [1e3, 1e6]])
    z = k + 1
    exact = special.gammaln(z) - ((k + 0.5) * np.log(z) - z + 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(_stirling_rest(k)[:60], exact[:60], rtol=0, atol=2e-13)
    np.testing.assert_allclose(_stirling_rest(k)[60:], 1 / (12 * z[60:]), rtol=1e-6)


# -- beside JAX --------------------------------------------------------------------------------------------------------


def test_golden_values():
    """Written by jax 0.10.2 with jax_enable_x64: `jax.random.<name>(jax.random.PRNGKey(42), ...)`."""
    key = random.key(42)
    assert random.poisson(key, np.array([0.5, 3.0, 9.5])).tolist() == [1, 2, 13]
    assert random.binomial(key, np.array([3, 20, 50]), np.array([0.5, 0.9, 0.1])).tolist() == [2, 19, 7]


@pytest.fixture(scope="module")
def jr():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.random


def test_few_poisson_events_are_those_of_jax(jr):
    """JAX's uniform numbers have 23 bits here, fungrad's the same and more: one in a million decides otherwise."""
    lam = np.array([0.1, 1.0, 5.0, 9.9])
    ours, theirs = (np.asarray(r.poisson(KEY, lam, (2000, 4))) for r in (random, jr))
    assert ours.dtype == theirs.dtype
    assert np.count_nonzero(ours != theirs) <= 1


@pytest.mark.fuzz
def test_few_successes_are_those_of_jax(jr):
    n, p = np.array([3.0, 20.0, 90.0]), np.array([0.4, 0.8, 0.1])
    ours, theirs = (np.asarray(r.binomial(KEY, n, p, (2000, 3))) for r in (random, jr))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)
