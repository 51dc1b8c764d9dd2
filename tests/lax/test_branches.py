"""`cond` and `switch` give what `if` gives, with derivatives, interpreted and compiled."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import ArgumentError, TreeError
from tests.support.compositions import check_same

X = np.array([0.3, -0.7, 1.1])


def python_cond(pred, true_fun, false_fun, *operands):
    return true_fun(*operands) if pred else false_fun(*operands)


def python_switch(index, branches, *operands):
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


@pytest.mark.parametrize("a", [2.0, -2.0])
def test_cond_is_if(a):
    def f(cond):
        return lambda a, x: cond(
            a > 0,
            lambda x: {"y": np.sin(x) * a, "z": np.sum(x)},
            lambda x: {"y": x * x, "z": 0.0},  # one branch closes over a, the other does not
            x,
        )

    check_same(f(lax.cond), f(python_cond), (a, X))


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 7])
def test_switch_clamps_its_index(index):
    def f(switch):
        branches = [np.sin, lambda x: x[::-1] ** 3, lambda x: np.ones(3)]
        return lambda x: switch(np.int64(index), branches, x)

    check_same(f(lax.switch), f(python_switch), (X,))


def test_traced_index():
    f = lambda x, i: lax.switch(i, [np.sum, np.prod, np.max], x)  # noqa: E731
    expected = [np.ones(3), np.prod(X) / X, np.array([0.0, 0.0, 1.0])]
    for gradient in (fg.grad(f), fg.jit(fg.grad(f))):
        for i, wanted in enumerate(expected):
            np.testing.assert_allclose(gradient(X, i), wanted)


def test_only_the_chosen_branch_runs():
    """The other one would fail: its index is out of bounds."""
    f = lambda x, i: lax.cond(i < 3, lambda x, i: x[i], lambda x, i: 0.0, x, i)  # noqa: E731
    for run in (f, fg.jit(f)):
        assert run(X, 1) == -0.7
        assert run(X, 5) == 0.0


def test_branches_in_loops_and_loops_in_branches():
    def f(cond, scan):
        def step(c, x):
            c = cond(x > 0, lambda c: np.sin(c) * x, lambda c: c + x, c)
            return c, cond(c < 0.5, lambda: c * c, lambda: c)

        return lambda c, xs: cond(c > 0, lambda: scan(step, c, xs), lambda: (c, xs))

    def python_scan(step, c, xs):
        ys = []
        for x in xs:
            c, y = step(c, x)
            ys.append(y)
        return c, np.stack(ys)

    check_same(f(lax.cond, lax.scan), f(python_cond, python_scan), (0.4, X))
    check_same(f(lax.cond, lax.scan), f(python_cond, python_scan), (-0.4, X))


def test_python_numbers_take_the_dtype_of_the_other_branch():
    for pred in (True, False):
        assert lax.cond(pred, lambda: 0.0, lambda: np.float32(1)).dtype == np.float32
        assert lax.cond(pred, lambda: np.float32(1), lambda: 0).dtype == np.float32
        assert lax.cond(pred, lambda: 1, lambda: 2.5).dtype == np.float64


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: lax.cond(X > 0, np.sin, np.cos, X), ArgumentError, r"one boolean, got bool\[3\].*np.where"),
        (lambda: lax.cond(True, lambda: 1.0, lambda: (1.0,)), TreeError, r"different structures: .*\(\*,\), .*\*"),
        (lambda: lax.cond(True, lambda: X, lambda: X[:2]), TreeError, r"f64\[2\].*f64\[3\]|f64\[3\].*f64\[2\]"),
        (lambda: lax.cond(True, lambda: X, lambda: X.astype("f4")), TreeError, "f64.*f32|f32.*f64"),
        (lambda: lax.switch(1.5, [np.sin], X), ArgumentError, "index must be one integer"),
        (lambda: lax.switch(0, [], X), ArgumentError, "non-empty list"),
        (lambda: lax.switch(0, [3], X), ArgumentError, "switch: a branch must be a function, got int"),
        (lambda: lax.cond("x", np.sin, np.cos, X), TreeError, "str"),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()
