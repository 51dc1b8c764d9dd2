"""Equal stages of a program are compiled once, and only equal ones."""

import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import OutOfBoundsError
from fungrad.jit.stages import stages
from fungrad.primitives.sort import ArgSort
from fungrad.trace import bind


def kinds(f, *arguments):
    found = stages(fg.jit(f)._compiled(arguments, {}).program)
    return len(found), len({stage.key for stage in found})


def network(depth):
    def f(weights, x):
        for w in weights:
            x = np.tanh(x @ w)
        return np.sum(x)

    return fg.grad(f), [np.eye(5) * (i + 1) for i in range(depth)], np.ones((3, 5))


def test_layers_of_a_network_are_shared():
    few, few_kinds = kinds(*network(4))
    many, many_kinds = kinds(*network(12))
    assert many > few + 16
    assert many_kinds == few_kinds


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_shared_stages_compute_the_same(depth):
    gradient, weights, x = network(depth)
    for found, expected in zip(fg.jit(gradient)(weights, x), gradient(weights, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_stages_that_differ_in_a_constant_are_not_shared():
    x = np.array([0.5, -0.25, 0.0])
    f = lambda x: [np.cumsum(np.copysign(x, s) * k) for s in (0.0, -0.0) for k in (1.0, 2.0, np.nan)]  # noqa: E731
    for found, expected in zip(fg.jit(f)(x), f(x), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert kinds(f, x)[1] >= 4


def test_order_of_memory_is_part_of_a_stage():
    x, y = np.array([1.0, 2.0]), np.array([5.0, 7.0])

    def f(x, y):
        return x - y, y - x, x - x * 2

    for found, expected in zip(fg.jit(f)(x, y), f(x, y), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_host_calls_of_different_primitives_in_shared_stages():
    x = np.array([3.0, 1.0, 2.0, 0.5])

    def f(x):
        first = bind(ArgSort(0), x)
        return first, bind(ArgSort(0), -x), bind(ArgSort(0), x * x)

    for found, expected in zip(fg.jit(f)(x), f(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_failure_in_any_stage_is_reported():
    f = fg.jit(lambda x, i, j: np.cos(np.sin(x)[i]) + np.sum(x[j]))
    x = np.array([0.3, -0.7, 1.1])
    good, bad = np.array([1]), np.array([7])
    with pytest.raises(OutOfBoundsError):
        f(x, bad, good)
    with pytest.raises(OutOfBoundsError):
        f(x, good, bad)
    np.testing.assert_allclose(f(x, good, good), np.cos(np.sin(x[good])) + x[1], rtol=1e-15)
