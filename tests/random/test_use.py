"""Random numbers inside transformations, and what the functions refuse."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import random
from fungrad.errors import ArgumentError, AxisError, DtypeError, NotPositiveDefiniteError, ShapeError

KEY = random.key(7)


def test_same_key_same_numbers():
    first, again = random.normal(KEY, (10,)), random.normal(KEY, (10,))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == random.normal(random.key(8), (10,)))
    np.testing.assert_array_equal(random.uniform(KEY, (100,))[:10], random.uniform(KEY, (10,)))


def test_split_is_fold_in():
    np.testing.assert_array_equal(random.split(KEY, 9)[4], random.fold_in(KEY, 4))


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: random.bits(key, (4,)),
        lambda key: random.uniform(key, (2, 3), minval=-1.0),
        lambda key: random.normal(key, (3,), np.float32),
        lambda key: random.randint(key, (5,), 0, 10),
        lambda key: random.permutation(key, 6),
        lambda key: random.categorical(key, np.zeros(4), shape=(3,)),
        lambda key: random.normal(random.split(key, 3)[1], ()),
        lambda key: random.fold_in(key, 5),
    ],
)
def test_mapped_keys_give_what_each_key_gives(draw):
    keys = random.split(KEY, 5)
    expected = np.stack([draw(key) for key in keys])
    np.testing.assert_array_equal(fg.vmap(draw)(keys), expected)
    np.testing.assert_allclose(fg.jit(fg.vmap(draw))(keys), expected, rtol=1e-6)  # erf_inv to a few ulp


def test_a_key_from_a_traced_seed():
    f = fg.jit(lambda seed, step: random.uniform(random.fold_in(random.key(seed), step), (3,)))
    for seed, step in [(3, 4), (-3, 0), (np.int64(2**40), np.uint32(2**32 - 1))]:
        expected = random.uniform(random.fold_in(random.key(seed), step), (3,))
        np.testing.assert_array_equal(f(seed, step), expected)


def test_keys_are_split_inside_compiled_code():
    def walk(key, steps):
        x = 0.0
        for _ in range(steps):
            key, step = random.split(key)
            x = x + random.normal(step)
        return x

    np.testing.assert_allclose(fg.jit(walk, static_argnums=1)(KEY, 5), walk(KEY, 5), rtol=1e-12)


@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_gradient_of_an_expectation(wrap):
    """E (m + s z)**2 = m**2 + s**2; of the sample, the exact gradient is in the sample's moments."""
    z = random.normal(KEY, (100_000,))
    gradient = wrap(fg.grad(lambda m, s, k: np.mean((m + s * random.normal(k, (100_000,))) ** 2), (0, 1)))
    found = gradient(1.0, 2.0, KEY)
    np.testing.assert_allclose(found, [2 * np.mean(1 + 2 * z), 2 * np.mean((1 + 2 * z) * z)], rtol=1e-10)
    np.testing.assert_allclose(found, [2.0, 4.0], rtol=0.03)


def difference(f, x, h=1e-6):
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_bounds_are_differentiable(wrap):
    def width(low, high):
        return np.sum(random.uniform(KEY, (50,), minval=low, maxval=high) ** 2)

    def tail(low, high):
        return np.sum(random.truncated_normal(KEY, low, high, (50,)) ** 2)

    for f in (width, tail):
        found = wrap(fg.grad(f, (0, 1)))(-0.5, 2.0)
        expected = [difference(lambda a, f=f: f(a, 2.0), -0.5), difference(lambda b, f=f: f(-0.5, b), 2.0)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_vectors_are_differentiable_in_mean_and_covariance():
    """Of a function whose expectation is known: E (a x)**2 is (a m)**2 + a C a."""
    a, mean, cov = np.array([1.0, -2.0]), np.array([0.5, 0.25]), np.array([[2.0, 0.3], [0.3, 1.0]])

    def second_moment(mean, cov):
        return np.mean((random.multivariate_normal(KEY, mean, (cov + cov.T) / 2, (200_000,)) @ a) ** 2)

    for gradient in (fg.grad(second_moment, (0, 1)), fg.jit(fg.grad(second_moment, (0, 1)))):
        of_mean, of_cov = gradient(mean, cov)
        np.testing.assert_allclose(of_mean, 2 * (a @ mean) * a, atol=0.05)
        np.testing.assert_allclose(of_cov, np.outer(a, a), atol=0.05)


def test_normal_is_differentiable_through_erf_inv():
    from fungrad.primitives.elementwise import erf_inv

    x = np.linspace(-0.9, 0.9, 7)
    found = fg.grad(lambda x: np.sum(erf_inv(x)))(x)
    np.testing.assert_allclose(found, difference(erf_inv, x), rtol=1e-7)


def test_elements_are_differentiable():
    x = np.arange(6.0)
    weights = np.arange(1.0, 7.0)
    found = fg.grad(lambda x: np.sum(weights * random.permutation(KEY, x)))(x)
    order = random.permutation(KEY, 6)
    np.testing.assert_array_equal(found[order], weights)
    found = fg.grad(lambda x: np.sum(random.choice(KEY, x, (100,))))(x)
    np.testing.assert_array_equal(found, np.bincount(random.choice(KEY, 6, (100,)), minlength=6))


def test_scipy_functions_of_tracers():
    from scipy.special import erfinv

    np.testing.assert_allclose(fg.jit(lambda x: erfinv(x))(np.array([0.5])), erfinv(0.5), rtol=1e-15)


@pytest.mark.parametrize(
    "name", ["normal", "uniform", "exponential", "laplace", "logistic", "gumbel", "cauchy", "bernoulli", "rademacher"]
)
def test_numbers_alone_are_scalars(name):
    x = getattr(random, name)(KEY)
    assert isinstance(x, np.generic)


def test_no_warning_at_the_ends_of_the_range():
    """NumPy warns of scalars that wrap around; here that is meant."""
    for key in (random.key(-1), random.key(2**63 - 1)):
        random.fold_in(key, 2**32 - 1)
        random.randint(key, (), -(2**63), 2**63)
        random.randint(key, (), np.int64(-(2**63)), np.int64(2**63 - 1))
        random.bits(key, (), np.uint32)


# -- mistakes --------------------------------------------------------------------------------------------------------

MISTAKES = {
    "an integer for a key": (lambda: random.normal(5), DtypeError, "the integer 5.*random.key"),
    "a list for a key": (lambda: random.normal([0, 1]), DtypeError, "a list"),
    "a Generator for a key": (lambda: random.normal(np.random.default_rng(0)), DtypeError, "a Generator"),
    "a key of int64": (lambda: random.normal(np.array([0, 1])), DtypeError, "dtype int64"),
    "a key of three words": (lambda: random.bits(np.zeros(3, np.uint32)), ShapeError, r"shape \(3,\).*random.key"),
    "several keys": (lambda: random.uniform(random.split(KEY)), ShapeError, "vmap"),
    "a float seed": (lambda: random.key(1.0), DtypeError, "seed must be an integer, got 1.0"),
    "a boolean seed": (lambda: random.key(True), DtypeError, "seed"),
    "a long seed": (lambda: random.key(2**63), ArgumentError, "64 bits"),
    "several seeds": (lambda: random.key(np.arange(3)), ShapeError, "split"),
    "float data": (lambda: random.fold_in(KEY, 1.5), DtypeError, "data must be an integer"),
    "negative data": (lambda: random.fold_in(KEY, -1), ArgumentError, "data must be from 0"),
    "several data": (lambda: random.fold_in(KEY, np.arange(3)), ShapeError, "data must be one integer"),
    "a negative number of keys": (lambda: random.split(KEY, -1), ShapeError, "negative"),
    "a negative shape": (lambda: random.normal(KEY, (3, -1)), ShapeError, r"negative, got \(3, -1\)"),
    "a float shape": (lambda: random.normal(KEY, 3.0), ShapeError, "integers, got 3.0"),
    "an integer dtype": (lambda: random.normal(KEY, (3,), np.int64), DtypeError, "np.float32 or np.float64"),
    "float16": (lambda: random.uniform(KEY, (3,), np.float16), DtypeError, "np.float32 or np.float64"),
    "no dtype": (lambda: random.uniform(KEY, (3,), "real"), DtypeError, "'real'"),
    "signed bits": (lambda: random.bits(KEY, (3,), np.int32), DtypeError, "unsigned"),
    "float integers": (lambda: random.randint(KEY, (3,), 0, 5, np.float64), DtypeError, "an integer type"),
    "float bounds": (lambda: random.randint(KEY, (3,), 0.0, 5), DtypeError, "minval must be an integer, got 0.0"),
    "equal bounds": (lambda: random.randint(KEY, (3,), 5, 5), ArgumentError, "minval=5 and maxval=5"),
    "a bound that does not fit": (
        lambda: random.randint(KEY, (3,), 0, 300, np.int8),
        ArgumentError,
        "from -128 to 128",
    ),
    "bounds out of order": (lambda: random.uniform(KEY, minval=2.0, maxval=1.0), ArgumentError, "minval"),
    "a nan bound": (lambda: random.uniform(KEY, minval=np.nan), ArgumentError, "minval"),
    "a bound of another shape": (lambda: random.uniform(KEY, (3,), minval=np.zeros(2)), ShapeError, "minval has shape"),
    "a mean of another size": (
        lambda: random.multivariate_normal(KEY, np.zeros(2), np.eye(3)),
        ShapeError,
        r"cov must have the shape \(..., 2, 2\)",
    ),
    "a mean without an axis": (lambda: random.multivariate_normal(KEY, 0.0, np.eye(1)), ShapeError, "mean must be"),
    "a shape for fewer": (
        lambda: random.multivariate_normal(KEY, np.zeros((4, 2)), np.eye(2), (3,)),
        ShapeError,
        "mean has shape",
    ),
    "no covariance": (
        lambda: random.multivariate_normal(KEY, np.zeros(2), -np.eye(2)),
        NotPositiveDefiniteError,
        "not positive definite",
    ),
    "an interval that is empty": (lambda: random.truncated_normal(KEY, 1.0, -1.0), ArgumentError, "lower"),
    "p above 1": (lambda: random.bernoulli(KEY, 1.5), ArgumentError, "p is a probability, from 0 to 1, got 1.5"),
    "p below 0": (lambda: random.bernoulli(KEY, np.array([0.5, -0.1])), ArgumentError, "probability"),
    "p that is nan": (lambda: random.bernoulli(KEY, np.nan), ArgumentError, "probability"),
    "p of another shape": (lambda: random.bernoulli(KEY, np.zeros(3), (2,)), ShapeError, "p has shape"),
    "a boolean p": (lambda: random.bernoulli(KEY, True), DtypeError, "p"),
    "unsigned signs": (lambda: random.rademacher(KEY, (3,), np.uint8), ArgumentError, "signed"),
    "weights that are negative": (lambda: random.choice(KEY, 2, p=[0.5, -0.5]), ArgumentError, "not negative"),
    "weights that are zero": (lambda: random.choice(KEY, 2, p=[0.0, 0.0]), ArgumentError, "p is 0"),
    "weights for others": (lambda: random.choice(KEY, 2, p=[0.2, 0.3, 0.5]), ShapeError, r"expected \(2,\)"),
    "too many": (lambda: random.choice(KEY, 3, (4,), replace=False), ArgumentError, "4 of 3"),
    "too many with weights": (lambda: random.choice(KEY, 3, (2,), False, [0, 0, 1.0]), ArgumentError, "2 different"),
    "from nothing": (lambda: random.choice(KEY, 0, (4,)), ArgumentError, "empty"),
    "an axis": (lambda: random.permutation(KEY, np.zeros((2, 2)), 2), AxisError, "axis=2"),
    "a number that is no count": (lambda: random.permutation(KEY, 2.5), ShapeError, "2.5"),
    "a traced count": (lambda: fg.jit(lambda n: random.permutation(KEY, n))(3), ShapeError, "static"),
    "the axis of categories": (lambda: random.categorical(KEY, np.zeros(3), 1), AxisError, "axis=1"),
    "no categories": (lambda: random.categorical(KEY, np.zeros((3, 0))), ShapeError, "no categories"),
    "the shape of categories": (lambda: random.categorical(KEY, np.zeros((3, 2)), shape=(2,)), ShapeError, "end with"),
    "a zero parameter": (lambda: random.gamma(KEY, 0.0), ArgumentError, "gamma: a must be positive, got 0.0"),
    "a nan parameter": (lambda: random.loggamma(KEY, np.nan), ArgumentError, "a must be positive"),
    "a parameter of another shape": (lambda: random.gamma(KEY, np.ones(3), (2,)), ShapeError, "a has shape"),
    "parameters of two shapes": (lambda: random.beta(KEY, np.ones(3), np.ones(2)), ShapeError, "beta"),
    "a negative parameter": (lambda: random.beta(KEY, 1.0, -1.0), ArgumentError, "b must be positive, got -1.0"),
    "a parameter as text": (lambda: random.chisquare(KEY, "4"), DtypeError, "df"),
    "degrees below zero": (lambda: random.t(KEY, -2.0), ArgumentError, "df must be positive"),
    "one concentration": (lambda: random.dirichlet(KEY, 1.0), ShapeError, "axis of parameters"),
    "concentrations of another shape": (lambda: random.dirichlet(KEY, np.ones((2, 3)), (4,)), ShapeError, "alpha"),
    "half a dimension": (lambda: random.ball(KEY, 2.5), ArgumentError, "d is a number of dimensions"),
    "two exponents": (lambda: random.ball(KEY, 2, np.ones(2)), ShapeError, "p has shape"),
    "a negative rate": (lambda: random.poisson(KEY, -1.0), ArgumentError, "lam must be from 0"),
    "an infinite rate": (lambda: random.poisson(KEY, np.inf), ArgumentError, "lam must be from 0"),
    "counts as floats": (lambda: random.poisson(KEY, 1.0, dtype=np.float64), DtypeError, "an integer type"),
    "negative trials": (lambda: random.binomial(KEY, -1, 0.5), ArgumentError, "n must be from 0"),
    "a success of 1.1": (lambda: random.binomial(KEY, 3, 1.1), ArgumentError, "p must be from 0 to 1, got 1.1"),
    "trials of another shape": (lambda: random.binomial(KEY, np.ones(3), 0.5, (2,)), ShapeError, "n has shape"),
    "too many categories": (
        lambda: random.categorical(KEY, np.zeros(3), shape=(4,), replace=False),
        ArgumentError,
        "4 of 3",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        call()
