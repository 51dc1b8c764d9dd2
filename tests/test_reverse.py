"""What `grad`, `value_and_grad` and `vjp` mean: arguments, nesting, control flow, sharing, scale and threads."""

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad import lax
from fungrad.context import STATE
from fungrad.errors import FungradError
from fungrad.transforms.vjp import vjp as flat_vjp

X = np.array([0.3, -0.7, 1.1])
grad = fg.grad


# -- arguments -------------------------------------------------------------------------------------------------------


def three(a, b, c):
    return a**2 * b + np.sum(c)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 12.0),
        (1, 4.0),
        (-3, 12.0),
        (-2, 4.0),
        ((0, 1), (12.0, 4.0)),
        ((1, 0), (4.0, 12.0)),
        ((-2,), (4.0,)),
        ([0], (12.0,)),
    ],
)
def test_argnums(argnums, expected):
    assert grad(three, argnums)(2.0, 3.0, X) == expected
    value, found = fg.value_and_grad(three, argnums)(2.0, 3.0, X)
    assert found == expected
    assert value == three(2.0, 3.0, X)


def test_argnums_of_an_array_and_of_a_tree():
    np.testing.assert_array_equal(grad(three, -1)(2.0, 3.0, X), np.ones(3))
    found = grad(lambda p, x: np.sum(p["w"] * x) + p["b"][0] ** 2)({"w": X, "b": (3.0, None)}, 2.0)
    np.testing.assert_array_equal(found["w"], np.full(3, 2.0))
    assert found["b"] == (6.0, None)


def test_has_aux():
    def f(x):
        y = np.sin(x)
        return np.sum(y), {"y": y, "name": "sine", "n": 3}

    found, aux = grad(f, has_aux=True)(X)
    np.testing.assert_array_equal(found, np.cos(X))
    np.testing.assert_array_equal(aux["y"], np.sin(X))
    assert aux["name"] == "sine"
    assert type(aux["y"]) is np.ndarray
    (value, aux), found = fg.value_and_grad(f, has_aux=True)(X)
    assert value == np.sum(np.sin(X))
    _out, pullback, aux = fg.vjp(lambda x: (x * 2, "aux"), X, has_aux=True)
    assert aux == "aux"
    np.testing.assert_array_equal(pullback(X)[0], 2 * X)


def test_keyword_arguments_are_passed_on():
    f = lambda x, *, power=2: np.sum(x**power)  # noqa: E731
    np.testing.assert_allclose(grad(f)(X, power=3), 3 * X**2, rtol=1e-15)


def test_dtypes_and_shapes_follow_the_primal():
    found = grad(lambda a, b, c: np.sum(a * b) * c, (0, 1, 2))(X.astype(np.float32), X, np.float32(2))
    assert [np.asarray(g).dtype for g in found] == [np.float32, np.float64, np.float32]
    assert type(grad(lambda x: x * x)(3.0)) is np.float64
    assert type(grad(lambda x: x * x)(np.float32(3.0))) is np.float32


def test_unused_arguments_have_zero_gradients():
    found = grad(lambda a, b: np.sum(a), (0, 1))(X, {"u": X, "v": 1.0})
    np.testing.assert_array_equal(found[1]["u"], np.zeros(3))
    assert found[1]["v"] == 0.0
    found[1]["u"][0] = 1.0  # writeable
    assert grad(lambda x: 3.0)(2.0) == 0.0


def test_vjp_of_trees_integers_and_missing_cotangents():
    def f(x):
        return {"a": x * 2, "i": np.argmax(x), "b": (np.sum(x), 5)}

    out, pullback = fg.vjp(f, X)
    assert out["i"] == 2
    assert out["b"][1] == 5
    (found,) = pullback({"a": np.ones(3), "i": None, "b": (10.0, None)})
    np.testing.assert_array_equal(found, np.full(3, 12.0))
    (found,) = pullback({"a": None, "i": None, "b": (1.0, None)})
    np.testing.assert_array_equal(found, np.ones(3))
    (found,) = pullback(None)
    np.testing.assert_array_equal(found, np.zeros(3))


def test_pullback_may_be_called_again_and_survives_changes_of_the_arrays():
    x = X.copy()
    out, pullback = fg.vjp(lambda x: np.exp(x) * x, x)
    expected = np.exp(X) * (1 + X)
    np.testing.assert_allclose(pullback(np.ones(3))[0], expected, rtol=1e-15)
    x[:] = 0.0
    out[:] = 0.0
    np.testing.assert_allclose(pullback(np.ones(3))[0], expected, rtol=1e-15)


def test_result_of_exp_may_be_changed_before_the_pullback():
    out, pullback = fg.vjp(np.exp, X)
    out *= 0
    np.testing.assert_allclose(pullback(np.ones(3))[0], np.exp(X), rtol=1e-15)


# -- nesting ---------------------------------------------------------------------------------------------------------


def nth(f, n):
    for _ in range(n):
        f = grad(f)
    return f


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (np.sin, [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]),
        (np.exp, [np.exp] * 5),
        (
            lambda x: x**5,
            [lambda x: x**5, lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x],
        ),
        (
            lambda x: x * np.log(x),
            [None, lambda x: np.log(x) + 1, lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3],
        ),
    ],
)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_nested_gradients(f, derivatives, depth):
    assert nth(f, depth)(0.7) == pytest.approx(float(derivatives[depth](0.7)), rel=1e-12)


# Each mixes an inner derivative with an outer variable; a system that confuses the two levels gives another number.
CONFUSION = {
    "classic": (lambda x: x * grad(lambda y: x + y)(1.0), 1.0),
    "classic, product": (lambda x: x * grad(lambda y: x * y)(2.0), 2 * 3.0),
    "outer inside power": (lambda x: grad(lambda y: (x * y) ** 2)(x), 6 * 3.0**2),  # 2 x^2 y at y = x: 2 x^3
    "same name": (lambda x: grad(lambda x: x * x)(x) * x, 4 * 3.0),
    "inner ignores outer": (lambda x: x * grad(lambda y: y**3)(2.0), 12.0),
    "outer only in the point": (lambda x: grad(lambda y: y**3)(x), 18.0),
    "outer only in the function": (lambda x: grad(lambda y: x**3 * y)(1.0), 27.0),
    "inner constant": (lambda x: grad(lambda y: x * x)(1.0) + x, 1.0),
    "sum of levels": (lambda x: grad(lambda y: y * grad(lambda z: x * y * z)(x))(x), 12.0),  # 2 x y at y=x
    "three deep": (lambda x: grad(lambda y: grad(lambda z: x * y**2 * z**3)(y))(x), 48 * 3.0**3),  # of 12 x^4
    "branch on the inner": (lambda x: grad(lambda y: x * y if y > 0 else x + y)(1.0) * x, 6.0),
    "through a list": (lambda x: sum(grad(lambda y, v=v: y * v)(1.0) * v for v in [x, 2 * x]), 2 * 3.0 + 8 * 3.0),
    "inner value used outside": (lambda x: x * float(fg.value_and_grad(lambda y: y * y)(3.0)[0]), 9.0),
    "array inside": (lambda x: np.sum(grad(lambda y: np.sum(x * y**2))(X) * X), 2 * np.sum(X * X)),
    "vjp inside": (lambda x: fg.vjp(lambda y: x * y, x)[1](x)[0], 2 * 3.0),
    "stopped outer": (lambda x: x * grad(lambda y: fg.stop_gradient(x) * y)(1.0), 3.0),
}


@pytest.mark.parametrize("case", CONFUSION)
def test_perturbations_are_not_confused(case):
    f, expected = CONFUSION[case]
    assert grad(f)(3.0) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("case", [c for c in CONFUSION if c not in ("branch on the inner", "inner value used outside")])
def test_perturbations_are_not_confused_under_jit(case):
    f, _ = CONFUSION[case]
    assert fg.jit(grad(f))(3.0) == pytest.approx(grad(f)(3.0), rel=1e-13)


def test_closure_over_an_outer_tracer_and_an_array():
    def outer(x):
        def inner(y):
            return np.sum(x * y**2 + X * y)

        return np.sum(grad(inner)(x) * X)  # (2 x^2 + X) . X

    np.testing.assert_allclose(grad(outer)(X + 1), 4 * (X + 1) * X, rtol=1e-14)


def test_hessian_by_rows():
    def f(x):
        return np.sum(np.sin(x) * x[::-1]) + x[0] * x[1] ** 2

    hessian = np.stack([grad(lambda x, i=i: grad(f)(x)[i])(X) for i in range(3)])
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-14, atol=1e-15)
    h = 1e-6
    for i in range(3):
        e = np.eye(3)[i] * h
        np.testing.assert_allclose(hessian[i], (grad(f)(X + e) - grad(f)(X - e)) / (2 * h), rtol=1e-7, atol=1e-8)


# -- the function runs -----------------------------------------------------------------------------------------------


def test_python_control_flow_on_values():
    def f(x):
        total, n = x, 0
        while total < 100:
            total, n = total * x, n + 1
        if n % 2:
            total = -total
        return total

    # 3^5 = 243 after 4 steps
    assert grad(f)(3.0) == pytest.approx(5 * 3.0**4)
    assert grad(lambda x: max(x, 2 * x) + min(x, 3.0) + abs(x))(1.0) == 4.0
    assert grad(lambda x: sum(v * v for v in x))(X) == pytest.approx(2 * X)


def test_fan_out_chain_is_linear():
    def chain(x, depth):
        for _ in range(depth):
            x = x + x
        return x

    assert grad(lambda x: chain(x, 10))(1.0) == 1024.0
    sizes = [len(fg.make_graph(grad(lambda x, d=d: chain(x, d)))(1.0).equations) for d in (10, 20, 40)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
    assert sizes[0] <= 4 * 10


def test_stop_gradient():
    assert grad(lambda x: x * fg.stop_gradient(x))(3.0) == 3.0
    assert grad(lambda x: fg.stop_gradient(x * x))(3.0) == 0.0
    assert grad(lambda x: fg.stop_gradient({"a": x, "i": 3})["a"] * x)(2.0) == 2.0
    assert fg.stop_gradient(3.0) == 3.0
    assert fg.jit(grad(lambda x: x * fg.stop_gradient(x)))(3.0) == 3.0
    assert grad(grad(lambda x: x * x * fg.stop_gradient(x)))(3.0) == 6.0


@pytest.mark.parametrize(
    "f",
    [
        lambda g, x: lax.cond(x > 0, g, g, x),
        lambda g, x: lax.scan(lambda c, _: (g(c), None), x, None, length=1)[0],
        lambda g, x: lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, g(c[1])), (0, x))[1],
        lambda g, x: fg.checkpoint(g)(x),
        lambda g, x: fg.jit(g)(x),
        lambda g, x: fg.vmap(g)(np.stack([x, x]))[0],
    ],
    ids=["cond", "scan", "while_loop", "checkpoint", "jit", "vmap"],
)
def test_stop_gradient_inside_a_graph_that_is_simplified_before_it_is_differentiated(f):
    def stopped(x):
        return f(lambda y: y * y * fg.stop_gradient(y), x)

    for transform in (grad, lambda g: lambda x: fg.jvp(g, (x,), (1.0,))[1]):
        assert transform(stopped)(3.0) == 18.0
        assert fg.jit(transform(stopped))(3.0) == 18.0
        assert transform(grad(stopped))(3.0) == 6.0


def test_a_long_chain_needs_no_recursion():
    """Nor more than linear time, which would be hours."""
    count = 100_000

    def f(x):
        for _ in range(count):
            x = x * 1.00001
        return x

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, 1000))
    try:
        assert grad(f)(1.0) == pytest.approx(1.00001**count, rel=1e-9)
        graph = fg.make_graph(f)(1.0)
        assert len(graph.equations) == count
        assert repr(graph) == f"<Graph f: 1 inputs, {count} equations>"
        assert str(graph).count("\n") == count + 1
    finally:
        sys.setrecursionlimit(limit)


def test_a_wide_graph_needs_no_recursion():
    def f(x):
        terms = [x * k for k in range(2000)]
        while len(terms) > 1:
            terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + (
                [terms[-1]] if len(terms) % 2 else []
            )
        return terms[0]

    assert grad(f)(1.0) == sum(range(2000))


# -- tracing leaves nothing behind -----------------------------------------------------------------------------------


class OopsError(Exception):
    pass


def raises(x):
    raise OopsError


@pytest.mark.parametrize(
    "transform", [grad, fg.jit, fg.make_graph, lambda f: lambda x: fg.vjp(f, x), lambda f: grad(grad(f))]
)
def test_an_exception_inside_leaves_tracing_clean(transform):
    with pytest.raises(OopsError):
        transform(raises)(1.0)
    assert STATE.site is None
    assert grad(lambda x: x * x)(3.0) == 6.0
    assert np.sin(1.0) == math.sin(1.0)


def test_an_exception_in_the_backward_pass_leaves_tracing_clean():
    def f(x):
        def inner(y):
            out, pullback = fg.vjp(lambda z: z * 2, y)
            with pytest.raises(FungradError):
                pullback(np.ones(7))
            return out

        return grad(inner)(x)

    assert f(1.0) == 2.0
    assert STATE.site is None
    assert grad(lambda x: x * x)(3.0) == 6.0


def test_threads_differentiate_independently():
    def work(seed):
        x = np.random.default_rng(seed).normal(size=50)
        f = lambda x: np.sum(np.sin(x) * grad(lambda y: np.sum(y**3))(x))  # noqa: E731
        return x, grad(f)(x)

    with ThreadPoolExecutor(8) as pool:
        for x, found in pool.map(work, range(64)):
            np.testing.assert_allclose(found, np.cos(x) * 3 * x**2 + np.sin(x) * 6 * x, rtol=1e-12)


def test_generator_and_class_instances_as_functions():
    class Loss:
        def __call__(self, x):
            return x * x

        def method(self, x):
            return x**3

    assert grad(Loss())(3.0) == 6.0
    assert grad(Loss().method)(3.0) == 27.0


def test_flat_vjp_counts_outputs_of_other_kinds():
    values, pullback = flat_vjp(lambda x: [x * 2, 7, x], [np.float64(3.0)])
    assert values == [6.0, 7, 3.0]
    assert pullback([1.0, None, 1.0]) == [3.0]


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=5))
def test_polynomials(coefficients):
    """Horner's scheme, differentiated, is the derivative's polynomial."""

    def f(x):
        total = 0.0
        for c in coefficients:
            total = total * x + c
        return total * 1.0 + 0.0 * x

    expected = np.polyval(np.polyder(coefficients), 0.7) if len(coefficients) > 1 else 0.0
    assert grad(f)(0.7) == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


# -- in-place assignment across levels ---------------------------------------------------------------------------------


def changed_after_vjp(x):
    _, pull = fg.vjp(lambda y: y * y, x)
    x *= 10
    return np.sum(pull(np.ones(2))[0]) + 0 * np.sum(x)


def changed_closure(x):
    _, pull = fg.vjp(lambda y: y * x, np.ones(2))
    x *= 10
    return np.sum(pull(np.ones(2))[0])


def changed_output(x):
    out, pull = fg.vjp(lambda y: np.exp(y), x)
    out *= 0
    return np.sum(pull(np.ones(2))[0])


def changed_gradient(x):
    gb, gc = fg.grad(lambda b, c: np.sum((x + b + c) ** 2), argnums=(0, 1))(np.ones(2), np.ones(2))
    gb *= 10
    return np.sum(gc) + 0 * np.sum(gb)


@pytest.mark.parametrize("f", [changed_after_vjp, changed_closure, changed_output, changed_gradient])
def test_what_a_tape_remembers_does_not_change_in_place(f):
    expected = f(np.ones(2))
    slope = (f(np.full(2, 1.0 + 1e-6)) - f(np.full(2, 1.0 - 1e-6))) / 2e-6
    value, gradient = fg.value_and_grad(f)(np.ones(2))
    np.testing.assert_allclose([value, fg.jit(f)(np.ones(2))], expected)
    np.testing.assert_allclose(np.sum(gradient), slope, rtol=1e-6)
    np.testing.assert_allclose(fg.jit(fg.grad(f))(np.ones(2)), gradient)


def test_nested_gradients_in_another_thread():
    import threading

    def in_thread(f):
        found = []
        thread = threading.Thread(target=lambda: found.append(f()))
        thread.start()
        thread.join()
        return found[0]

    def inner(x):
        return in_thread(lambda: fg.grad(lambda y: x * y)(3.0)) * 1.0

    assert fg.grad(inner)(2.0) == 1.0
