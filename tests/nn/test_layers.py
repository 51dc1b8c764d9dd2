"""Linear layers in both conventions, and the perceptron."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fungrad import grad, jit, nn, tree, vjp
from fungrad.errors import ArgumentError, DtypeError, ShapeError

extents = st.integers(1, 5)


@given(extents, extents, extents, st.sampled_from([np.float32, np.float64]))
def test_gradients_of_linear_over_a_batch(batch, m, n, dtype):
    rng = np.random.default_rng([batch, m, n])
    X, A, b, G = (rng.normal(size=s).astype(dtype) for s in ((batch, m), (m, n), (n,), (batch, n)))
    Z, pullback = vjp(nn.linear, X, A, b)
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
    np.testing.assert_allclose(Z, X @ A + b, **tolerance)
    for found, expected in zip(pullback(G), (G @ A.T, X.T @ G, G.sum(axis=0)), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **tolerance)


@given(extents, extents, extents)
def test_gradients_of_linear_ax_over_a_batch(batch, m, n):
    rng = np.random.default_rng([batch, m, n])
    X, A, b, G = (rng.normal(size=s) for s in ((batch, m), (n, m), (n,), (batch, n)))
    Z, pullback = vjp(nn.linear_ax, X, A, b)
    np.testing.assert_allclose(Z, X @ A.T + b, rtol=1e-12, atol=1e-12)
    for found, expected in zip(pullback(G), (G @ A, G.T @ X, G.sum(axis=0)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_one_example_and_more_axes():
    rng = np.random.default_rng(0)
    x, A, b = rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=2)
    np.testing.assert_allclose(nn.linear(x, A, b), A.T @ x + b)
    np.testing.assert_allclose(nn.linear_ax(x, A.T, b), A.T @ x + b)
    np.testing.assert_allclose(nn.linear(x, A), A.T @ x)
    X = rng.normal(size=(4, 5, 3))
    np.testing.assert_allclose(nn.linear(X, A, b), X @ A + b)
    np.testing.assert_allclose(nn.linear_ax(X, A.T, b), X @ A + b)


def test_shape_mistakes_name_both_sides():
    x, A = np.ones((5, 3)), np.ones((4, 2))
    with pytest.raises(ShapeError, match=r"linear: x is f64\[5,3\], but A f64\[4,2\] takes inputs of 4 features"):
        nn.linear(x, A)
    with pytest.raises(ShapeError, match="Is A meant for linear_ax"):
        nn.linear(x, np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"Is A meant for linear\?"):
        nn.linear_ax(x, np.ones((3, 2)))
    with pytest.raises(ShapeError, match=r"b is f64\[3\], expected shape \(2,\)"):
        nn.linear(x, np.ones((3, 2)), np.ones(3))
    with pytest.raises(ShapeError, match="A must be a matrix"):
        nn.linear(x, np.ones(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("scaling", "variance"), [("he", 2 / 400), ("glorot", 2 / (400 + 300))])
def test_initial_scale(dtype, scaling, variance):
    A, b = nn.init_linear(0, 400, 300, dtype=dtype, scaling=scaling)
    assert A.shape == (400, 300)
    assert A.dtype == b.dtype == dtype
    assert not b.any()
    assert abs(A.mean()) < 5 * np.sqrt(variance / A.size)
    assert np.var(A) == pytest.approx(variance, rel=0.02)


def test_he_scaling_keeps_the_size_of_activations():
    x = np.random.default_rng(0).normal(size=(100, 256))
    hidden = x
    for A, b in nn.init_mlp(1, [256] * 11):
        hidden = nn.relu(nn.linear(hidden, A, b))
    assert 0.5 < np.mean(hidden**2) / np.mean(x**2) < 2


def test_seeds():
    first, again, other = (nn.init_mlp(seed, [3, 4, 2]) for seed in (0, 0, 1))
    assert all(np.array_equal(p, q) for p, q in zip(tree.leaves(first), tree.leaves(again), strict=True))
    assert not np.array_equal(first[0][0], other[0][0])
    drawn = nn.init_mlp(np.random.default_rng(0), [3, 4, 2])
    assert np.array_equal(drawn[1][0], first[1][0])
    assert not np.array_equal(first[0][0].ravel()[:8], first[1][0].ravel())  # layers are not copies of each other


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [nn.relu, nn.tanh, nn.gelu])
def test_mlp_gradient_against_differences(dtype, activation):
    params = nn.init_mlp(0, [4, 5, 3], dtype=dtype)
    x, y = np.random.default_rng(1).normal(size=(6, 4)).astype(dtype), np.array([0, 1, 2, 0, 1, 2])

    def loss(params, x):
        return np.mean(nn.softmax_cross_entropy(nn.mlp(params, x, activation), y))

    gradient = grad(loss)(params, x)
    rng = np.random.default_rng(2)
    direction = tree.map(lambda p: rng.normal(size=p.shape), params)
    slope = sum(np.sum(g * d) for g, d in zip(tree.leaves(gradient), tree.leaves(direction), strict=True))
    wide = tree.map(lambda p: p.astype(np.float64), params)
    e = 1e-6
    ahead, behind = (tree.map(lambda p, d, s=s: p + s * e * d, wide, direction) for s in (1, -1))
    difference = (loss(ahead, x.astype(float)) - loss(behind, x.astype(float))) / (2 * e)
    assert all(g.dtype == dtype for g in tree.leaves(gradient))
    np.testing.assert_allclose(slope, difference, rtol=1e-4 if dtype == np.float32 else 1e-7)
    compiled = jit(grad(loss))(params, x)
    for a, b in zip(tree.leaves(compiled), tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=200 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


def test_mlp_of_one_layer_is_linear():
    params = nn.init_mlp(0, [3, 2])
    x = np.ones((2, 3))
    assert np.array_equal(nn.mlp(params, x), nn.linear(x, *params[0]))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.init_linear(0, 0, 2), ArgumentError, "n_in"),
        (lambda: nn.init_linear(0, 2, 2.5), ArgumentError, "n_out"),
        (lambda: nn.init_linear(-1, 2, 2), ArgumentError, "seed"),
        (lambda: nn.init_linear("a", 2, 2), ArgumentError, "seed"),
        (lambda: nn.init_linear(0, 2, 2, dtype=np.int64), DtypeError, "float32 or float64"),
        (lambda: nn.init_linear(0, 2, 2, scaling="small"), ArgumentError, "'he' or 'glorot'"),
        (lambda: nn.init_mlp(0, [3]), ArgumentError, "sizes"),
        (lambda: nn.init_mlp(0, 3), ArgumentError, "sizes"),
        (lambda: nn.mlp([], np.ones(3)), ArgumentError, "params"),
    ],
)
def test_mistakes(call, error, text):
    with pytest.raises(error, match=text):
        call()
