"""Forward mode: jvp, linearize, linear_transpose; nested with themselves and with reverse mode."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad.errors import ArgumentError, NotDifferentiableError, ShapeError, TreeError
from fungrad.evaluate import evaluate
from tests.support.compositions import check_same
from tests.support.programs import programs

X = np.array([0.3, -0.7, 1.1])
T = np.array([1.0, 2.0, -0.5])


def same(found, expected):
    assert fg.tree.structure(found) == fg.tree.structure(expected)
    for a, b in zip(fg.tree.leaves(found), fg.tree.leaves(expected), strict=True):
        assert type(a) is type(b)
        np.testing.assert_allclose(a, b, rtol=1e-12)


# -- jvp -------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(programs(), st.integers(0, 2**32 - 1))
def test_forward_and_reverse_mode_are_transposes(program, seed):
    """<ct, J t> = <J^T ct, t> for random programs."""
    graph, arrays = program
    rng = np.random.default_rng(seed)
    floats = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]

    def f(*chosen):
        full = list(arrays)
        for i, x in zip(floats, chosen, strict=True):
            full[i] = x
        return [x for x in evaluate(graph, *full) if x.dtype.kind == "f"]

    def like(x):
        return np.asarray(rng.normal(size=x.shape), x.dtype)[()]

    with np.errstate(all="ignore"):
        primals = tuple(arrays[i] for i in floats)
        tangents = tuple(map(like, primals))
        outs, out_tangents = fg.jvp(f, primals, tangents)
        linear_outs, pushforward = fg.linearize(f, *primals)
        linear_tangents = pushforward(*tangents)
        _, pullback = fg.vjp(f, *primals)
        cts = list(map(like, outs))
        pulled = pullback(cts)
        left = [np.sum(np.float64(c) * t) for c, t in zip(cts, out_tangents, strict=True)]
        right = [np.sum(np.float64(c) * t) for c, t in zip(pulled, tangents, strict=True)]
        scale = sum(np.sum(np.abs(np.float64(c) * t)) for c, t in zip(cts, out_tangents, strict=True))
        scale += sum(np.sum(np.abs(np.float64(c) * t)) for c, t in zip(pulled, tangents, strict=True))
    for a, b in zip((outs, out_tangents), (linear_outs, linear_tangents), strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    if np.isfinite(scale):
        single = any(x.dtype == np.float32 for x in (*primals, *outs))
        assert abs(sum(left) - sum(right)) <= (1e-3 if single else 1e-9) * (1 + scale)


def test_results_have_the_structure_of_the_function():
    f = lambda p, n: {"y": p["x"] * n, "first": p["x"][0], "at": np.argmax(p["x"])}  # noqa: E731
    out, tangent = fg.jvp(f, ({"x": X}, 3), ({"x": T}, None))
    same(out, {"y": 3 * X, "first": X[0], "at": np.int64(2)})
    same(tangent, {"y": 3 * T, "first": T[0], "at": np.int64(0)})


def test_missing_tangents_are_zero():
    f = lambda a, b: a * b  # noqa: E731
    same(fg.jvp(f, (X, T), (None, X)), (X * T, X * X))
    same(fg.jvp(f, (X, T), (None, None)), (X * T, 0 * X))
    same(fg.jvp(lambda a: (a, np.ones(2)), (X,), (T,))[1], (T, np.zeros(2)))


def test_aux():
    out, tangent, aux = fg.jvp(lambda x: (x**2, {"x": x, "kind": 3}), (X,), (T,), has_aux=True)
    same((out, tangent), (X**2, 2 * X * T))
    np.testing.assert_array_equal(aux["x"], X)
    assert aux["kind"] == 3
    out, pushforward, aux = fg.linearize(lambda x: (x**2, x + 1), X, has_aux=True)
    same((out, pushforward(T), aux), (X**2, 2 * X * T, X + 1))


def test_results_are_the_users_own():
    x, t = X.copy(), T.copy()
    out, tangent = fg.jvp(lambda x: x, (x,), (t,))
    out[:] = 9
    tangent[:] = 9
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, T)
    _, pushforward = fg.linearize(np.sin, x)
    x[:] = 0
    np.testing.assert_allclose(pushforward(t), np.cos(X) * T)


def test_python_control_flow_and_mutation():
    def f(x):
        y = x * 2
        y[0] = np.sin(x[0]) if x[0] > 0 else 0.0
        y += x
        return y

    expected = T * 3
    expected[0] = (np.cos(X[0]) + 1) * T[0]
    same(fg.jvp(f, (X,), (T,))[1], expected)


def test_a_linearized_function_is_linear_and_reusable():
    _, pushforward = fg.linearize(lambda x, y: np.sin(x) * y, X, T)
    a, b = pushforward(T, X), pushforward(X, T)
    np.testing.assert_allclose(pushforward(2 * T - 3 * X, 2 * X - 3 * T), 2 * a - 3 * b, rtol=1e-12)
    np.testing.assert_array_equal(pushforward(T, X), a)


def test_jit_under_forward_mode():
    f = fg.jit(lambda x, n: np.sin(x) * n)
    same(fg.jvp(lambda x: f(x, 2), (X,), (T,)), (2 * np.sin(X), 2 * np.cos(X) * T))
    same(fg.jvp(fg.grad(fg.jit(lambda x: np.sum(x**3))), (X,), (T,))[1], 6 * X * T)


def test_every_pairing_of_modes():
    def f(x, A):
        return np.tanh(A @ x) * np.max(x), {"norm": np.linalg.norm(x)}

    def plain(x, A):  # the same, written otherwise
        y = np.einsum("ij,j->i", A, x)
        return np.sinh(y) / np.cosh(y) * x[2], {"norm": np.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)}

    check_same(f, plain, (X, np.outer(T, X) + np.eye(3)))


# -- levels do not mix -----------------------------------------------------------------------------------------------


def forward(f):
    return lambda x: fg.jvp(f, (x,), (1.0,))[1]


def linear(f):
    return lambda x: fg.linearize(f, x)[1](1.0)


MODES = {"forward": forward, "linearize": linear, "reverse": fg.grad, "compiled": lambda f: fg.jit(fg.grad(f))}
INNER = {  # p(x, y), also for mpmath's numbers
    "x + y": lambda x, y: x + y,
    "x y**2": lambda x, y: x * y**2,
    "(x + y)**3 - x": lambda x, y: (x + y) ** 3 - x,
    "1 / (x y)": lambda x, y: 1 / (x * y),
    "x**2 y + y**2": lambda x, y: x**2 * y + y**2,
}
AT = {"1": lambda x: 1.0 + 0 * x, "x": lambda x: x, "x**2": lambda x: x**2, "1 / x": lambda x: 1 / x}


@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("modes", list(itertools.product(MODES, repeat=2)), ids="-".join)
def test_no_perturbation_confusion(modes, inner, at):
    """d/dx x d/dy p(x, y) at y = q(x), where the inner derivative closes over the outer variable."""
    outer, within = (MODES[mode] for mode in modes)
    p, q = INNER[inner], AT[at]
    found = outer(lambda x: x * within(lambda y: p(x, y))(q(x)))(1.5)
    with mpmath.workdps(40):
        expected = mpmath.diff(lambda x: x * mpmath.diff(lambda y: p(x, y), q(x)), mpmath.mpf(1.5))
    np.testing.assert_allclose(found, float(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("modes", list(itertools.product(["forward", "reverse"], repeat=3)), ids="-".join)
def test_three_levels(modes):
    a, b, c = (MODES[mode] for mode in modes)
    found = a(lambda x: x * b(lambda y: y * c(lambda z: x * y * z**2 + x * z)(y))(x))(0.7)
    # c: 2 x y z + x at z = y; times y: 2 x y**3 + x y; b: 6 x y**2 + x at y = x; times x: 6 x**4 + x**2
    np.testing.assert_allclose(found, 24 * 0.7**3 + 2 * 0.7, rtol=1e-12)


# -- linear_transpose ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: 3 * x,
        lambda x: -x[::-1] + x,
        lambda x: np.concatenate([x[:2], np.cumsum(x)]),
        lambda x: np.outer(T, x) @ T,
        lambda x: np.where(T > 0, x, x / 2),
        lambda x: fg.numpy.at(x)[0].set(0.0),
        lambda x: x.astype(np.float32),
        lambda x: np.pad(x, 1),
        lambda x: (np.sum(x), x[[0, 0, 2]]),
    ],
)
def test_transposes(f):
    shape = np.broadcast_to(np.float64(0), (3,))
    transposed = fg.linear_transpose(f, shape)
    out, pullback = fg.vjp(f, X)
    ct = fg.tree.map(lambda x: np.asarray(np.cos(np.arange(x.size)).reshape(x.shape), x.dtype)[()], out)
    same(transposed(ct), pullback(ct))
    same(fg.jit(transposed)(ct), pullback(ct))
    twice = fg.linear_transpose(lambda ct: transposed(ct)[0], ct)
    for a, b in zip(fg.tree.leaves(twice(X)[0]), fg.tree.leaves(out), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (np.sin, "sin at"),
        (lambda x: x * x, "mul at"),
        (lambda x: 1 / x, "div at"),
        (np.max, "reduce_max"),
        (lambda x: np.where(x > 0, x, 0), "greater|select"),
    ],
)
def test_transposing_what_is_not_linear(f, said):
    with pytest.raises(NotDifferentiableError, match=f"is not linear: {said}"):
        fg.linear_transpose(f, X)


def test_transposing_what_adds_a_constant():
    with pytest.raises(NotDifferentiableError, match="adds a constant"):
        fg.linear_transpose(lambda x: x + 1, X)(X)


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: fg.jvp(np.sin, X, X), ArgumentError, r"primals must be a tuple or list .* jvp\(f, \(x,\), \(t,\)\)"),
        (lambda: fg.jvp(np.sin, (X,), X), ArgumentError, "tangents must be a tuple"),
        (lambda: fg.jvp(np.sin, (X,), (X, X)), ArgumentError, "1 primals and 2 tangents"),
        (lambda: fg.jvp(np.sin, (X,), (X[:2],)), ShapeError, r"tangents\[0\] is f64\[2\], .* f64\[3\]"),
        (lambda: fg.jvp(np.sin, (X,), (X.astype("f4"),)), ShapeError, r"f32\[3\].*f64\[3\]"),
        (lambda: fg.jvp(np.sin, (X,), ([X],)), TreeError, r"tangents has the structure \(\[\*\],\)"),
        (lambda: fg.jvp(lambda x: x * 1.0, (3,), (1.0,)), NotDifferentiableError, r"tangents\[0\] is given for i64"),
        (lambda: fg.jvp(np.sin(X), (X,), (X,)), ArgumentError, "jvp takes a function"),
        (lambda: fg.linearize(np.sin, X)[1](X, X), ArgumentError, "2 tangents for 1 primals"),
        (lambda: fg.linearize(np.sin, X)[1](X[:1]), ShapeError, r"f64\[1\]"),
        (lambda: fg.linear_transpose(lambda x: 2 * x, X)(X[:1]), ShapeError, r"ct is f64\[1\]"),
        (lambda: fg.jvp(lambda x: (x, "a"), (X,), (X,)), TreeError, "the result.*str"),
        (lambda: fg.jvp(lambda x: x, (X,), (X,), has_aux=True), ArgumentError, "must return a pair"),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()
