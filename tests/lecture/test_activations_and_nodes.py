"""Rows S34-S41 of docs/lecture.md: activations, the classes of nodes."""

import contextlib
import io
import runpy
from pathlib import Path

import numpy as np
import pytest

from fungrad import grad, nn, optim

POINTS = [-30.0, -2.0, -0.3, 0.0, 0.4, 3.0, 30.0]
LECTURE = Path(__file__).parents[2] / "examples" / "lecture"


@pytest.fixture(scope="module")
def nodes():
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(str(LECTURE / "05_computational_graph.py"))


@pytest.mark.parametrize("x", POINTS)
def test_s34_relu(x):
    assert nn.relu(x) == (x if x >= 0 else 0)
    assert grad(nn.relu)(x) == (1 if x >= 0 else 0)


@pytest.mark.parametrize("x", POINTS)
def test_s35_elu(x):
    assert nn.elu(x) == (x if x >= 0 else np.expm1(x))
    assert grad(nn.elu)(x) == pytest.approx(1 if x >= 0 else np.exp(x), rel=1e-14)


@pytest.mark.parametrize("x", POINTS)
def test_s36_tanh(x):
    s = nn.tanh(x)
    assert grad(nn.tanh)(x) == pytest.approx(1 - s * s, abs=1e-15)
    assert nn.tanh(720.0) == 1  # E29: the quotient of exponentials is nan here


@pytest.mark.parametrize("x", POINTS)
def test_s37_sigmoid(x):
    s = nn.sigmoid(x)
    assert 0 < s < 1  # E30: not -1
    assert s == pytest.approx(1 / (1 + np.exp(-x)), rel=1e-14)
    assert grad(nn.sigmoid)(x) == pytest.approx(s * (1 - s), rel=1e-14)
    assert nn.sigmoid(-1000.0) == 0


def test_s38_node_has_value_gradient_operation_and_inputs(nodes):
    A, x = nodes["ParameterNode"](np.eye(2)), nodes["ComputationalGraphNode"]([1.0, 2.0])
    z = nodes["linear"](A, x)
    assert np.array_equal(z.value, [1.0, 2.0])
    assert z.input_nodes == (A, x)
    assert z.grad_operation is nodes["linear_gradient"]
    assert np.array_equal(z.gradient, [0.0, 0.0])
    A.gradient = A.gradient + 1
    A.zero_grad()
    assert not A.gradient.any()
    assert np.array_equal(A.value, np.eye(2))


def test_s39_linear_forward_and_s40_backward(nodes):
    """E32: the value of a node is A.value @ x.value."""
    rng = np.random.default_rng(0)
    A, x, y = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=3)
    a, b = nodes["ParameterNode"](A), nodes["ComputationalGraphNode"](x)
    last = nodes["squared_distance"](nodes["tanh"](nodes["linear"](a, b)), nodes["ComputationalGraphNode"](y))
    assert nodes["backward"](last) == 3
    dA, dx = grad(nodes["loss"], argnums=(0, 1))(A, x, y)
    np.testing.assert_allclose(a.gradient, dA, rtol=1e-12)
    np.testing.assert_allclose(b.gradient, dx, rtol=1e-12)
    assert last.gradient == 1  # the seed


def test_s40_a_shared_node_accumulates_and_is_visited_after_all_its_uses(nodes):
    """E23, with two paths of different length to the shared node."""
    first = nodes["ParameterNode"](2.0)
    near = nodes["add"](first, first)
    far = nodes["add"](nodes["add"](near, near), near)  # 3 near = 6 first
    assert nodes["backward"](far) == 3
    assert first.gradient == 6
    assert grad(lambda x: (x + x) + (x + x) + (x + x))(2.0) == 6


def test_s40_depth_is_no_limit(nodes):
    first = z = nodes["ParameterNode"](1.0)
    zero = nodes["ComputationalGraphNode"](0.0)
    for _ in range(5000):
        z = nodes["add"](z, zero)
    nodes["backward"](z)
    assert first.gradient == 1


def test_s41_labs_momentum_and_regularization():
    p, g = np.array([1.0]), np.array([0.5])
    optimizer = optim.sgd(0.1, momentum=0.9, weight_decay=0.2)
    first, state = optimizer.update(g, optimizer.init(p), p)
    second, _ = optimizer.update(g, state, p + first)
    velocity = 0.5 + 0.2 * 1.0
    assert first == pytest.approx(-0.1 * velocity)
    assert second == pytest.approx(-0.1 * (0.9 * velocity + 0.5 + 0.2 * (1 - 0.1 * velocity)))
