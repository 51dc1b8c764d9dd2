"""Activations against mpmath, at moderate and at extreme arguments, with their derivatives."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fungrad import grad, make_graph, nn
from fungrad.errors import AxisError, DtypeError, ShapeError


def exact(name):
    one = mpmath.mpf(1)
    return {
        "relu": lambda x: max(x, 0 * x),
        "leaky_relu": lambda x: x if x >= 0 else x * mpmath.mpf(0.01),
        "elu": lambda x: x if x >= 0 else mpmath.expm1(x),
        "tanh": mpmath.tanh,
        "sigmoid": lambda x: one / (1 + mpmath.exp(-x)),
        "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
        "silu": lambda x: x / (1 + mpmath.exp(-x)),
        "gelu": lambda x: x * mpmath.ncdf(x),
        "gelu_tanh": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * one * x**3))),
    }[name]


FUNCTIONS = {
    "relu": nn.relu,
    "leaky_relu": nn.leaky_relu,
    "elu": nn.elu,
    "tanh": nn.tanh,
    "sigmoid": nn.sigmoid,
    "softplus": nn.softplus,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
}
names = pytest.mark.parametrize("name", FUNCTIONS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EXTREMES = [-1e4, -1e3, -100.0, -20.0, -1e-8, 1e-8, 20.0, 100.0, 1e3, 1e4]


@names
@dtypes
def test_values_and_derivatives_are_exact(name, dtype):
    x = np.concatenate([np.linspace(-6, 6, 41), EXTREMES]).astype(dtype)
    x = x[x != 0]
    with mpmath.workdps(50):
        values = [float(exact(name)(mpmath.mpf(float(v)))) for v in x]
        slopes = [float(mpmath.diff(exact(name), mpmath.mpf(float(v)), h=mpmath.mpf(10) ** -15)) for v in x]
    tolerance = 60 * np.finfo(dtype).eps
    found = FUNCTIONS[name](x)
    slope = grad(lambda x: np.sum(FUNCTIONS[name](x)))(x)
    assert found.dtype == slope.dtype == dtype
    # far in the tail gelu is a product with 1 + erf, exact relative to x and not to the tiny result
    assert np.all(np.abs(found - values) <= tolerance * np.maximum(np.abs(values), np.minimum(np.abs(x), 1)))
    np.testing.assert_allclose(slope, slopes, rtol=tolerance, atol=tolerance)


@names
@dtypes
def test_no_floating_point_error_anywhere(name, dtype):
    x = np.array([*EXTREMES, 0.0, -0.0], dtype)
    with np.errstate(all="raise", under="ignore"):
        assert np.all(np.isfinite(FUNCTIONS[name](x)))
        assert np.all(np.isfinite(grad(lambda x: np.sum(FUNCTIONS[name](x)))(x)))


@names
def test_second_derivative_matches_differences_of_the_first(name):
    first = grad(FUNCTIONS[name])
    for x in (-2.3, -0.7, 0.4, 1.9):
        difference = (first(x + 1e-5) - first(x - 1e-5)) / 2e-5
        np.testing.assert_allclose(grad(first)(x), difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "second"), [("softplus", 0.25), ("sigmoid", 0.0), ("tanh", 0.0), ("silu", 0.5)])
def test_second_derivative_at_zero(name, second):
    assert grad(grad(FUNCTIONS[name]))(0.0) == pytest.approx(second, abs=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_derivative_at_zero_is_one(name):
    assert grad(FUNCTIONS[name])(0.0) == 1.0
    assert grad(FUNCTIONS[name])(np.float32(-0.0)) == 1.0


@names
def test_nan_stays_nan(name):
    with np.errstate(invalid="ignore"):
        assert np.isnan(FUNCTIONS[name](np.array([np.nan]))[0])


def test_numbers_integers_and_lists_are_accepted():
    assert nn.sigmoid(0) == 0.5
    assert nn.sigmoid(np.array([0, 0], np.int32)).dtype == np.float64
    assert np.array_equal(nn.relu([-1, 2]), [0.0, 2.0])


def test_parameters_of_elu_and_leaky_relu():
    assert nn.elu(-1.0, alpha=2.0) == pytest.approx(2 * np.expm1(-1.0))
    assert nn.leaky_relu(-2.0, slope=0.3) == -0.6
    assert nn.leaky_relu(np.float32(-2.0), slope=0.3).dtype == np.float32


def test_text_is_refused():
    with pytest.raises(DtypeError, match="relu: x"):
        nn.relu(np.array(["a"]))


# -- softmax ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8))
def test_softmax_is_a_distribution_and_agrees_with_its_logarithm(values):
    x = np.array(values)
    p = nn.softmax(x)
    assert np.all(p >= 0)
    assert abs(np.sum(p) - 1) < 1e-14
    np.testing.assert_allclose(np.exp(nn.log_softmax(x)), p, rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(nn.log_softmax(x + 7.0), nn.log_softmax(x), atol=1e-11)


@pytest.mark.parametrize("f", [nn.softmax, nn.log_softmax])
@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), None])
def test_softmax_axis_and_gradient(f, axis):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    e = np.exp(x)
    p = e / e.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(f(x, axis), p if f is nn.softmax else np.log(p), rtol=1e-12)
    found = grad(lambda x: np.sum(w * f(x, axis)))(x)
    if f is nn.softmax:  # J^T w = p (w - sum(p w))
        expected = p * (w - np.sum(p * w, axis=axis, keepdims=True))
    else:
        expected = w - p * np.sum(w, axis=axis, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@dtypes
def test_softmax_is_finite_and_keeps_its_dtype(dtype):
    x = np.array([[-1e4, 0, 1e4], [1e4, 1e4, 1e4]], dtype)
    w = np.array([1, 2, 3], dtype)
    for f in (nn.softmax, nn.log_softmax):
        gradient = grad(lambda x, f=f: np.sum(w * f(x)))(x)
        assert f(x).dtype == gradient.dtype == dtype
        assert np.all(np.isfinite(f(x)))
        assert np.all(np.isfinite(gradient))


def test_masked_logits_get_no_probability():
    x = np.array([0.0, -np.inf, 0.0])
    assert np.array_equal(nn.softmax(x), [0.5, 0.0, 0.5])
    assert np.all(np.isfinite(grad(lambda x: nn.softmax(x)[0])(x)))


def test_softmax_axis_mistakes():
    with pytest.raises(AxisError, match="axis=2"):
        nn.softmax(np.ones((2, 3)), axis=2)
    with pytest.raises(AxisError, match="twice"):
        nn.log_softmax(np.ones((2, 3)), axis=(1, -1))
    with pytest.raises(ShapeError, match="no elements"):
        nn.softmax(np.ones((2, 0)))


def test_graph_has_no_dead_derivative_of_the_maximum():
    graph = str(make_graph(grad(lambda x: nn.softmax(x)[0]))(np.ones(3)))
    assert "stop_gradient" in graph
