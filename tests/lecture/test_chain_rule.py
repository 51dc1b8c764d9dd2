"""Rows S13-S22 of docs/lecture.md: derivatives of one variable, the scalar network, graphs."""

from fractions import Fraction

import numpy as np
import pytest

from fungrad import grad, jit, make_graph, value_and_grad, vjp


def loss(weights, x, y):
    a1, a2, a3 = weights
    z1 = (a1 * x) ** 2
    z2 = (a2 * z1) ** 2
    return (a3 * z2 - y) ** 2


POINT = ((0.5, 3.0, -1.0), 2.0, 1.0)


@pytest.mark.parametrize("f", [np.sin, np.exp, lambda x: x**3 - 2 * x, np.tanh])
def test_s13_derivative_is_the_limit_of_quotients(f):
    x = 0.7
    errors = [abs((f(x + e) - f(x)) / e - grad(f)(x)) for e in (1e-2, 1e-3, 1e-4)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]  # the error falls with e


def test_s14_chain_rule():
    g, h = np.sin, np.exp
    for x in (-1.3, 0.0, 2.1):
        assert grad(lambda x: h(g(x)))(x) == pytest.approx(grad(h)(g(x)) * grad(g)(x), rel=1e-15)


def test_s14_inner_functions_whose_increments_vanish():
    """E8: the printed proof divides by g(x + e) - g(x), which may be 0 as near to x as you like."""
    assert grad(lambda x: np.exp(0 * x + 2.0))(1.0) == 0

    def wiggle(x):  # x^2 sin(1/x), differentiable at 0 with derivative 0
        safe = np.where(x == 0, 1.0, x)
        return np.where(x == 0, 0.0, x * x * np.sin(1 / safe))

    assert grad(lambda x: np.exp(wiggle(x)))(0.0) == 0


@pytest.mark.parametrize("x", [-2.0, -0.5, 0.0, 3.25])
def test_s15_exercise(x):
    assert grad(lambda x: (2 * x + 1) ** 2)(x) == 8 * x + 4
    assert grad(lambda x: 4 * x**2 + 4 * x + 1)(x) == 8 * x + 4


def test_s16_scalar_network():
    a1, a2, a3 = (Fraction(1, 2), Fraction(3), Fraction(-1))
    z1 = (a1 * 2) ** 2
    z2 = (a2 * z1) ** 2
    assert (z1, z2, a3 * z2, loss((a1, a2, a3), 2, 1)) == (1, 9, -9, 100)
    assert loss(*POINT) == 100.0


WAYS = [grad(loss), jit(grad(loss)), grad(jit(loss))]


@pytest.mark.parametrize("gradient", WAYS, ids=["grad", "jit_grad", "grad_jit"])
@pytest.mark.parametrize("dtype", [float, np.float32, np.float64])
def test_s17_golden_gradient(gradient, dtype):
    (a1, a2, a3), x, y = POINT
    found = gradient((dtype(a1), dtype(a2), dtype(a3)), dtype(x), dtype(y))
    assert tuple(map(float, found)) == (1440.0, 120.0, -180.0)


def test_s17_corrected_formulas():
    """E10-E17: exactly, in rational numbers, at several points, against grad at floats."""
    half = Fraction(1, 2)
    for a1, a2, a3, x, y in [(half, 3, -1, 2, 1), (-3 * half / 2, half, 2, 1, 3), (2, 1, 1, 1, 0)]:
        z1 = (a1 * x) ** 2
        z2 = (a2 * z1) ** 2
        do = 2 * (a3 * z2 - y)
        exact = (do * a3 * 2 * a2**2 * z1 * 2 * a1 * x**2, do * a3 * 2 * a2 * z1 * z1, do * z2)
        found = grad(loss)((float(a1), float(a2), float(a3)), float(x), float(y))
        assert tuple(map(Fraction, map(float, found))) == exact
    printed = (Fraction(120), Fraction(1080))  # what the formulas of the slides give for a1 and a2
    assert printed != (1440, 120)


def test_s18_one_update_of_each_weight():
    weights, x, y = POINT
    value, gradient = value_and_grad(loss)(weights, x, y)
    stepped = tuple(a - 1e-4 * g for a, g in zip(weights, gradient, strict=True))
    assert stepped == pytest.approx((0.5 - 0.144, 3 - 0.012, -1 + 0.018))
    assert loss(stepped, x, y) < value == 100.0


def test_s19_forward_then_backward_in_reverse_order():
    names = [eqn.op.name for eqn in make_graph(grad(lambda x: np.tanh(np.sin(np.exp(x)))))(1.0).equations]
    assert names[:3] == ["exp", "sin", "tanh"]
    assert names.index("cos") > 2  # the derivative of the sine comes after the whole forward pass


def test_s20_backward_needs_only_what_forward_stored():
    calls = []

    def f(x):
        calls.append("forward")
        return np.sin(x)

    out, pullback = vjp(f, 0.5)
    assert pullback(1.0) == pullback(1.0) == (np.cos(0.5),)
    assert calls == ["forward"]
    assert out == np.sin(0.5)


def test_s21_units_are_small_and_a_linear_layer_is_one():
    names = [eqn.op.name for eqn in make_graph(lambda A, x: np.tanh(A @ x))(np.ones((2, 3)), np.ones(3)).equations]
    assert names == ["dot", "tanh"]


def test_s22_a_node_knows_its_function_and_its_inputs():
    first, second = make_graph(lambda x: np.exp(np.sin(x)))(1.0).equations
    assert second.inputs == first.outputs
    np.testing.assert_allclose(second.op.vjp(2.0, [0.3], np.exp(0.3), [True]), [2 * np.exp(0.3)])


@pytest.mark.parametrize("depth", [10, 20])
def test_s40_fan_out_accumulates_in_linear_time(depth):
    """E23: as printed, 2047 calls and gradient 1 for depth 10."""

    def doublings(z):
        for _ in range(depth):
            z = z + z
        return z

    assert grad(doublings)(1.0) == jit(grad(doublings))(1.0) == grad(jit(doublings))(1.0) == 2.0**depth
    assert len(make_graph(grad(doublings))(1.0).equations) <= 2 * depth
