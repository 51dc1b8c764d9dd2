"""Rows S23-S33 of docs/lecture.md, and row X: gradients, Jacobians, the linear layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fungrad import grad, make_graph, nn, vjp
from fungrad.errors import NonScalarError

extents = st.integers(1, 4)
close = {"rtol": 1e-10, "atol": 1e-12}


def draw(*shapes):
    rng = np.random.default_rng([len(shapes), *(n for shape in shapes for n in shape)])
    return [rng.normal(size=shape) for shape in shapes]


def h(z):
    """Some scalar function of a vector, with its gradient below."""
    return np.sum(np.sin(z) * z)


def grad_h(z):
    return np.cos(z) * z + np.sin(z)


def jacobian(f, x):
    """Entry (j, i) is dy_j/dx_i: rows by pullbacks of basis vectors, x flattened row by row."""
    out, pullback = vjp(f, x)
    return np.stack([pullback(e.reshape(out.shape))[0].ravel() for e in np.eye(out.size)])


def test_s23_gradient_is_the_vector_of_partial_derivatives():
    (x,) = draw((3,))

    def f(x):
        return x[0] ** 2 * x[1] + np.exp(x[2])

    np.testing.assert_allclose(grad(f)(x), [2 * x[0] * x[1], x[0] ** 2, np.exp(x[2])], **close)


@given(extents)
def test_s24_dot_product(m):
    a, x = draw((m,), (m,))
    assert np.array_equal(grad(lambda x: np.sum(x * a))(x), a)
    assert np.array_equal(grad(lambda x: x @ a)(x), a)


@given(extents, extents)
def test_s25_linear_map(n, m):
    """E19: dz/dx_j is column j of A; A^T 1 is the gradient of the sum of A x."""
    A, x = draw((n, m), (m,))
    J = jacobian(lambda x: A @ x, x)
    for j in range(m):
        np.testing.assert_allclose(J[:, j], A[:, j], **close)
    np.testing.assert_allclose(grad(lambda x: np.sum(A @ x))(x), A.T @ np.ones(n), **close)


def test_s25_a_vector_has_no_gradient():
    with pytest.raises(NonScalarError, match=r"f64\[2\]"):
        grad(lambda x: np.ones((2, 3)) @ x)(np.ones(3))


@given(extents, extents)
def test_s26_vector_chain_rule(n, m):
    x, B = draw((m,), (n, m))

    def g(x):
        return np.tanh(B @ x)

    J, outer = jacobian(g, x), grad(h)(g(x))
    partials = [sum(outer[j] * J[j, i] for j in range(n)) for i in range(m)]
    np.testing.assert_allclose(grad(lambda x: h(g(x)))(x), partials, **close)


@given(extents, extents)
def test_s27_gradient_of_a_function_of_a_linear_map_by_sums(n, m):
    A, x = draw((n, m), (m,))
    outer = grad_h(A @ x)
    expected = [sum(outer[j] * A[j, i] for j in range(n)) for i in range(m)]
    np.testing.assert_allclose(grad(lambda x: h(A @ x))(x), expected, **close)


@given(extents, extents)
def test_s28_jacobian_has_a_row_for_each_output(n, m):
    B, x = draw((n, m), (m,))

    def f(x):
        return np.sin(B @ x)

    J, e = jacobian(f, x), 1e-6
    assert J.shape == (n, m)
    columns = [(f(x + e * d) - f(x - e * d)) / (2 * e) for d in np.eye(m)]
    np.testing.assert_allclose(J, np.stack(columns, axis=1), atol=1e-8)


@given(extents, extents)
def test_s29_chain_rule_with_jacobians(n, m):
    B, x = draw((n, m), (m,))

    def g(x):
        return np.exp(np.sin(B @ x))

    np.testing.assert_allclose(grad(lambda x: h(g(x)))(x), jacobian(g, x).T @ grad(h)(g(x)), **close)


@given(extents, extents)
def test_s30_gradient_of_a_function_of_a_linear_map(n, m):
    A, x = draw((n, m), (m,))
    np.testing.assert_allclose(grad(lambda x: h(A @ x))(x), A.T @ grad_h(A @ x), **close)


@given(extents, extents)
def test_s31_gradient_with_respect_to_the_matrix(n, m):
    """E22: dz_j/da_ik = delta_ij x_k, so the gradient is g x^T."""
    A, x = draw((n, m), (m,))
    np.testing.assert_allclose(grad(lambda A: h(A @ x))(A), np.outer(grad_h(A @ x), x), **close)


@given(extents, extents)
def test_s32_explicit_jacobian_with_respect_to_the_matrix(n, m):
    """E24, E25: J_A z = I_n (x) x^T has size n x nm."""
    A, x, g = draw((n, m), (m,), (n,))
    J = jacobian(lambda A: nn.linear_ax(x, A), A)
    assert J.shape == (n, n * m)
    np.testing.assert_allclose(J, np.kron(np.eye(n), x[None, :]), **close)
    np.testing.assert_allclose(J.T, np.kron(np.eye(n), x[:, None]), **close)
    np.testing.assert_allclose(J.T @ g, np.outer(g, x).ravel(), **close)
    _, pullback = vjp(lambda A: nn.linear_ax(x, A), A)
    np.testing.assert_allclose(pullback(g)[0].ravel(), J.T @ g, **close)


def test_s32_the_jacobian_is_never_formed():
    A, x = np.ones((30, 20)), np.ones(20)
    graph = make_graph(grad(lambda A: np.sum(np.tanh(A @ x))))(A)
    assert max(out.type.size for eqn in graph.equations for out in eqn.outputs) == 30 * 20


def test_s33_general_pass():
    """E26: the recursion over layers, started from the loss, gives every gradient."""
    params = nn.init_mlp(0, [3, 5, 4, 4, 3, 2])
    x, y = draw((3,), (2,))

    def layer(p, z):
        A, b = p
        return np.tanh(A.T @ z + b)

    def loss(params, x):
        z = x
        for p in params:
            z = layer(p, z)
        return np.sum((z - y) ** 2)

    z, pullbacks = x, []
    for p in params:
        z, pullback = vjp(layer, p, z)
        pullbacks.append(pullback)
    g, by_layer = 2 * (z - y), []
    for pullback in reversed(pullbacks):
        grad_p, g = pullback(g)
        by_layer.insert(0, grad_p)
    grad_params, grad_x = grad(loss, argnums=(0, 1))(params, x)
    np.testing.assert_allclose(g, grad_x, **close)
    assert len(by_layer) == 5
    for (dA, db), (dA2, db2) in zip(by_layer, grad_params, strict=True):
        np.testing.assert_allclose(dA, dA2, **close)
        np.testing.assert_allclose(db, db2, **close)


@given(extents, extents, extents)
def test_x_both_conventions_over_a_batch_and_their_biases(batch, n, m):
    """E33: Z = X A^T + b and Z = X A + b, with every gradient."""
    X, A, b, G = draw((batch, m), (n, m), (n,), (batch, n))
    for found, expected in zip(vjp(nn.linear_ax, X, A, b)[1](G), (G @ A, G.T @ X, G.sum(axis=0)), strict=True):
        np.testing.assert_allclose(found, expected, **close)
    for found, expected in zip(vjp(nn.linear, X, A.T, b)[1](G), (G @ A, X.T @ G, G.sum(axis=0)), strict=True):
        np.testing.assert_allclose(found, expected, **close)


@given(extents, extents)
def test_x_transposed_form_for_one_example(n, m):
    W, x, g = draw((m, n), (m,), (n,))
    _, pullback = vjp(lambda W, x: W.T @ x, W, x)
    dW, dx = pullback(g)
    np.testing.assert_allclose(dW, np.outer(x, g), **close)
    np.testing.assert_allclose(dx, W @ g, **close)


def test_x_cross_entropy_is_the_loss_of_classification():
    (logits,) = draw((4, 3))
    labels = np.array([0, 2, 1, 1])
    gradient = grad(lambda z: np.mean(nn.softmax_cross_entropy(z, labels)))(logits)
    np.testing.assert_allclose(gradient, (nn.softmax(logits) - nn.one_hot(labels, 3)) / 4, **close)
