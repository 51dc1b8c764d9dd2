"""The public tester: what is right passes, what is wrong is caught, and the message says where."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import nn
from fungrad.errors import ArgumentError
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.testing import (
    check_batch,
    check_compositions,
    check_grads,
    check_jvp,
    check_primitive,
    check_vjp,
    strategies,
)
from fungrad.testing.differences import slope
from fungrad.trace import bind

X = np.array([0.5, -1.0, 2.0])
PARAMS = {"w": np.full((3, 2), 0.3), "b": np.zeros(2)}


def model(params, x, power):
    return {"y": np.tanh(x @ params["w"] + params["b"]) ** power, "n": power, "norm": np.sum(x * x)}


# -- differences -------------------------------------------------------------------------------------------------------


@given(st.floats(-3, 3), st.sampled_from([np.sin, np.exp, np.cosh, np.arctan, lambda x: x**5]))
def test_the_error_of_differences_is_below_its_estimate(x, f):
    found = slope(lambda s: np.atleast_1d(f(x + s)), lambda value: 1e-9)
    exact = fg.grad(f)(x)
    assert abs(found.value[0] - exact) <= found.error[0] + 1e-15
    assert found.error[0] < 1e-6 * max(1, abs(exact))


def test_the_step_is_reduced_before_a_kink_and_at_the_border_of_a_domain():
    check_grads(np.abs, (np.array([1e-3, -2e-4]),))
    check_grads(np.sqrt, (np.array([1e-3, 1.0, 1e6]),), order=2)


# -- functions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", ["fwd", "rev", ("fwd", "rev")])
def test_right_derivatives_pass(modes):
    check_grads(model, (PARAMS, X, 3), order=3, modes=modes)
    narrow = fg.tree.map(np.float32, PARAMS)
    check_grads(model, (narrow, X.astype(np.float32), 3), order=2, modes=modes)


def wrong_at(place, factor=1.001):
    """sin with a rule that is wrong at one element."""

    @fg.custom_jvp
    def f(x):
        return np.sin(x)

    f.defjvp(lambda primals, tangents: (np.sin(*primals), np.cos(*primals) * tangents[0] * scale))
    scale = np.ones(3)
    scale[place] = factor
    return f


@pytest.mark.parametrize("place", range(3))
def test_the_message_says_which_element_is_wrong(place):
    with pytest.raises(
        AssertionError, match=rf"jvp of f, along .* of x: the tangent of the result\[{place}\] is .*step"
    ):
        check_grads(wrong_at(place), (X,), modes="fwd")
    with pytest.raises(AssertionError, match=rf"vjp of f: the cotangent of x\[{place}\] is .* expected .*step") as info:
        check_grads(wrong_at(place), (X,), modes="rev")
    found, expected = (float(str(info.value).split(word)[1].split()[0].rstrip(",")) for word in (" is ", "expected "))
    assert found / expected == pytest.approx(1.001, rel=1e-6)
    assert 0.5 <= abs(expected / np.cos(X[place])) <= 1.5  # the random cotangent there


def test_a_second_derivative_that_is_wrong_is_found_there():
    @fg.custom_jvp
    def f(x):
        return x**3

    @f.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return x**3, 3 * fg.stop_gradient(x) * x * t

    check_grads(f, (X,))
    with pytest.raises(AssertionError, match="jvp of jvp of f"):
        check_grads(f, (X,), order=2)


def test_a_wrong_leaf_of_a_pytree_is_named():
    def f_vjp(params):
        out, pullback = fg.vjp(lambda p: p["w"] @ p["b"], params)
        return out, lambda ct: ({**pullback(ct)[0], "w": 2 * pullback(ct)[0]["w"]},)

    with pytest.raises(AssertionError, match=r"cotangent of params\['w'\]\[0, 1\]"):
        check_vjp(lambda params: params["w"] @ params["b"], f_vjp, ({"w": np.ones((1, 2)), "b": np.array([0.0, 1.0])},))


WRONG_VJPS = {
    "another shape": (lambda x: (np.sin(x), lambda ct: (ct[:2],)), r"f64\[2\]"),
    "no cotangent": (lambda x: (np.sin(x), lambda ct: ()), "structure"),
    "no pair": (lambda x: np.sin(x), "pair"),
    "another result": (lambda x: (np.cos(x), lambda ct: (ct * np.cos(x),)), r"the result\[\d\] is"),
    "a constant more": (lambda x: (np.sin(x), lambda ct: (ct * np.cos(x) + 1e-3,)), r"the cotangent of x\[0\] is"),
}


@pytest.mark.parametrize("name", WRONG_VJPS)
def test_wrong_pullbacks_are_caught(name):
    f_vjp, message = WRONG_VJPS[name]
    with pytest.raises(AssertionError, match=message):
        check_vjp(np.sin, f_vjp, (X,))


def test_a_wrong_pushforward_is_caught():
    with pytest.raises(AssertionError, match=r"of y: the tangent of the result\[2\]"):
        check_jvp(
            lambda x, y: x * y,
            lambda ps, ts: (ps[0] * ps[1], ts[0] * ps[1] + ts[1] * ps[0] * np.array([1, 1, 1.1])),
            (X, X),
        )
    check_jvp(np.multiply, partial(fg.jvp, np.multiply), (X, X))


def test_a_kink_is_not_passed():
    with pytest.raises(AssertionError, match=r"the tangent of the result\[0\]"):
        check_grads(nn.relu, (np.array([0.0, 1.0]),), modes="fwd")
    with pytest.raises(AssertionError, match="do not settle"):
        check_grads(np.floor, (np.array([1.0, 1.5]),))


def test_a_function_that_changes_its_argument_is_caught():
    kept = X.copy()

    def f(x):
        if isinstance(x, np.ndarray):
            x[0] += 1e-12
        return x * 2

    with pytest.raises(AssertionError, match="changed in place"):
        check_grads(f, (kept,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_grads(np.sin, 3.0), r"check_grads\(f, \(x,\)\)"),
        (lambda: check_grads(3, (1.0,)), "takes a function"),
        (lambda: check_grads(np.sin, (1,)), "no argument of sin is a float"),
        (lambda: check_grads(np.sin, (1.0,), order=0), "order must be at least 1"),
        (lambda: check_grads(np.sin, (1.0,), modes="forward"), "modes must be"),
        (lambda: check_batch(np.sin, 1.0), r"check_batch\(f, \(x,\)\)"),
        (lambda: check_batch(np.sin, (X,), [(X[:2],)]), r"examples\[0\]: .* is f64\[2\], expected f64\[3\]"),
        (lambda: check_compositions(np.sin, []), "give examples"),
        (lambda: check_compositions(np.sin, [(X,), (X[:2],)]), "example 1"),
        (lambda: check_primitive(ELEMENTWISE["sin"]), "give example operands"),
        (lambda: check_primitive(ELEMENTWISE["sin"], X), r"check_primitive\(op, \(x,\)\)"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


# -- batches, compositions, primitives ---------------------------------------------------------------------------------


def test_right_batches_pass():
    check_batch(model, (PARAMS, X, np.int64(2)))
    check_batch(lambda x, i: x[i], (X, np.int64(0)), [(X + 1, np.int64(2)), (X - 1, np.int64(-1))])


def test_a_wrong_batch_rule_is_caught():
    class Leaky(type(ELEMENTWISE["sin"])):
        def batch(self, size, inputs, batched):
            return bind(ELEMENTWISE["sin"], np.flip(inputs[0], 0))

    with pytest.raises(AssertionError, match=r"vmap over .*: .* of 3 examples.*the result\["):
        check_batch(lambda x: bind(Leaky("sin"), x), (X,))


def test_compositions_find_a_wrong_second_derivative_and_name_the_composition():
    @fg.custom_jvp
    def f(x):
        return x**3

    f.defjvp(lambda primals, tangents: (primals[0] ** 3, 3 * fg.stop_gradient(primals[0]) * primals[0] * tangents[0]))
    with pytest.raises(AssertionError, match=r"^jvp\(vjp\), example 0"):
        check_compositions(f, [(X,)])


def test_compositions_of_a_function_of_pytrees():
    check_compositions(lambda p, n: {"y": np.sin(p["a"]) * n, "n": n}, [({"a": X}, 2), ({"a": X + 1}, 3)])


def test_bad_operands_that_are_taken_are_caught():
    sin = ELEMENTWISE["sin"]
    check_primitive(sin, (X,), bad=[(np.arange(3),), (X, X)], compiled=False)
    with pytest.raises(AssertionError, match="should refuse"):
        check_primitive(sin, bad=[(X,)])


# -- strategies --------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.data(), strategies.dtypes())
def test_arrays_are_what_was_asked_for(data, dtype):
    shape = data.draw(strategies.shapes(max_dims=2))
    x = data.draw(strategies.arrays(dtype, shape, low=1, high=5, layouts=True))
    assert x.shape == shape
    assert x.dtype == dtype
    assert isinstance(x, np.ndarray) == bool(shape)
    assert dtype.kind == "b" or (np.all(x >= 1) and np.all(x <= 5))


@settings(max_examples=30)
@given(strategies.pytrees(max_leaves=5))
def test_pytrees_are_pytrees(t):
    leaves, structure = fg.tree.flatten(t)
    assert all(isinstance(x, np.ndarray | np.float64) for x in leaves)
    assert fg.tree.structure(fg.tree.unflatten(structure, leaves)) == structure


@given(strategies.array_types(dtype=np.float32))
def test_array_types(type):
    assert type.dtype == np.float32


def test_without_hypothesis_the_checks_work_and_strategies_say_what_is_missing():
    program = """
import sys
sys.modules["hypothesis"] = None
import fungrad as fg
import numpy as np
fg.testing.check_grads(np.sin, (1.0,))
try:
    fg.testing.strategies
except fg.errors.MissingPackageError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install hypothesis" in found.stdout
