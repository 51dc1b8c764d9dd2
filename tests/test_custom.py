"""Functions with rules of their own, and checkpoint: under every transformation, of higher order, inside loops."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import ArgumentError, NotDifferentiableError, ShapeError, TreeError
from tests.support.compositions import check_same

X = np.array([0.3, -0.7, 1.1])


def with_jvp():
    @fg.custom_jvp
    def f(x, y):
        return {"s": np.sin(x) * y}

    @f.defjvp
    def rule(primals, tangents):
        (x, y), (t_x, t_y) = primals, tangents
        return f(x, y), {"s": np.cos(x) * y * t_x + np.sin(x) * t_y}

    return f


def with_vjp():
    @fg.custom_vjp
    def f(x, y):
        return {"s": np.sin(x) * y}

    def forward(x, y):
        return plain(x, y), {"cos": np.cos(x), "sin": np.sin(x), "y": y}

    def backward(saved, ct):
        along_y = ct["s"] * saved["sin"]
        return ct["s"] * saved["cos"] * saved["y"], along_y if np.ndim(saved["y"]) else np.sum(along_y)

    f.defvjp(forward, backward)
    return f


def plain(x, y):
    return {"s": np.sin(x) * y}


@pytest.mark.parametrize("y", [2.0, np.array([1.0, 2.0, 3.0])])
def test_custom_jvp_serves_both_modes_and_every_order(y):
    f = with_jvp()
    if np.ndim(y) == 0:
        check_same(lambda x, y: f(x, np.ones(3) * y), lambda x, y: plain(x, np.ones(3) * y), (X, y))
    else:
        check_same(f, plain, (X, y))


@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit, lambda f: fg.jit(fg.jit(f))])
def test_custom_vjp(wrap):
    f = with_vjp()
    check_same(wrap(lambda x, y: f(x, y)), plain, (X, np.ones(3)))
    for g, h in ((f, plain), (wrap(f), plain)):
        total = lambda x, y, g=g: np.sum(g(x, y)["s"] ** 2)  # noqa: E731
        expected = lambda x, y, h=h: np.sum(h(x, y)["s"] ** 2)  # noqa: E731
        for make in (
            lambda f: fg.grad(f, (0, 1)),
            lambda f: fg.jit(fg.grad(f, (0, 1))),
            lambda f: fg.grad(lambda x, y: np.sum(fg.grad(f)(x, y) ** 3), (0, 1)),
            lambda f: fg.jit(fg.grad(lambda x, y: np.sum(fg.grad(f)(x, y) ** 3), (0, 1))),
            lambda f: lambda x, y: fg.jvp(fg.grad(f), (x, y), (X, 2.0))[1],
        ):
            for a, b in zip(make(total)(X, 2.0), make(expected)(X, 2.0), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("kind", [fg.custom_jvp, fg.custom_vjp])
def test_the_rule_is_what_is_used(kind):
    """A rule that is wrong on purpose, to see that it is used wherever a derivative is taken."""
    f = kind(lambda x: x * x)
    if kind is fg.custom_jvp:
        f.defjvp(lambda primals, tangents: (f(*primals), 100 * tangents[0]))
    else:
        f.defvjp(lambda x: (x * x, ()), lambda saved, ct: (100 * ct,))
    assert f(3.0) == 9.0
    for g in (f, fg.jit(f), fg.checkpoint(f), lambda x: lax.cond(x > 0, f, f, x)):
        assert fg.grad(g)(3.0) == 100.0
        assert fg.jit(fg.grad(g))(3.0) == 100.0
        assert fg.jit(fg.value_and_grad(g))(3.0) == (9.0, 100.0)
    twice = lambda x: lax.scan(lambda c, _: (f(c), c), x, None, length=2)[0]  # noqa: E731
    assert twice(3.0) == 81.0
    assert fg.grad(twice)(3.0) == 100.0**2
    assert fg.jit(fg.grad(twice))(3.0) == 100.0**2
    once = lambda x: lax.while_loop(lambda c: c < 5.0, f, x)  # noqa: E731
    assert fg.grad(once)(3.0) == 100.0
    assert fg.jit(fg.grad(once))(3.0) == 100.0


def test_forward_runs_once_and_python_sees_values():
    """As in plain reverse mode, the function really runs, so Python control flow works; and only once."""
    calls = []
    f = fg.custom_vjp(lambda x: np.abs(x))

    def forward(x):
        calls.append("forward")
        return (x, 1.0) if x > 0 else (-x, -1.0)

    f.defvjp(forward, lambda sign, ct: (sign * ct,))
    assert fg.value_and_grad(f)(-2.0) == (2.0, -1.0)
    assert calls == ["forward"]


def test_defjvps():
    f = fg.custom_jvp(lambda x, y: x * y)
    f.defjvps(lambda t, out, x, y: 10 * t * y, None)
    assert fg.grad(f, (0, 1))(2.0, 3.0) == (30.0, 0.0)
    assert fg.jvp(f, (2.0, 3.0), (1.0, 1.0)) == (6.0, 30.0)


@pytest.mark.parametrize("kind", [fg.custom_jvp, fg.custom_vjp])
def test_arguments_that_are_not_differentiated(kind):
    f = kind(lambda g, x, power: g(x) ** power, nondiff_argnums=(0, 2))
    if kind is fg.custom_jvp:
        f.defjvp(lambda g, power, primals, tangents: (f(g, *primals, power), power * tangents[0]))
    else:
        f.defvjp(lambda g, x, power: (f(g, x, power), x), lambda g, power, x, ct: (power * ct,))
    assert f(np.sin, 1.0, 2) == np.sin(1.0) ** 2
    assert fg.grad(lambda x: f(np.sin, x, 2))(1.0) == 2.0
    assert fg.jit(fg.grad(lambda x: f(np.sin, x, 5)))(1.0) == 5.0
    with pytest.raises(ArgumentError, match="argument 2 of <lambda> is in nondiff_argnums but holds a traced value"):
        fg.grad(lambda p: f(np.sin, 1.0, p))(2.0)


def test_missing_cotangents_are_zero_and_residuals_may_be_anything_traced():
    f = fg.custom_vjp(lambda p, n: p["a"] * n + np.sum(p["b"]))
    f.defvjp(lambda p, n: (p["a"] * n, [n, ()]), lambda saved, ct: ({"a": ct * saved[0], "b": None}, None))
    gradient = fg.grad(f)({"a": 2.0, "b": X}, 3)
    assert gradient["a"] == 3.0
    np.testing.assert_array_equal(gradient["b"], np.zeros(3))


def test_methods():
    class Model:
        @fg.custom_jvp
        def f(self, x):
            return x * 2

    with pytest.raises(ArgumentError, match="has no rule yet; set it with defjvp"):
        fg.grad(Model().f)(1.0)


# -- checkpoint --------------------------------------------------------------------------------------------------------


def test_checkpoint_changes_no_derivative():
    f = lambda x, A: (np.tanh(A @ np.sin(x)), np.sum(x))  # noqa: E731
    check_same(fg.checkpoint(f), f, (X, np.outer(X, X)))
    closed = 1.5
    check_same(
        lambda x, c: fg.checkpoint(lambda x: np.sin(x * c) * closed)(x),
        lambda x, c: np.sin(x * c) * closed,
        (X, 0.4),
    )
    assert fg.checkpoint(lambda x, *, n: x * n)(2.0, n=3) == 6.0
    assert fg.grad(lambda x: fg.checkpoint(lambda x, *, n: x * n)(x, n=3))(2.0) == 3.0


def test_checkpoint_keeps_nothing_inside():
    """The tape holds the arguments and the result only, and the backward pass computes the sine again."""
    graph = fg.make_graph(fg.grad(fg.checkpoint(lambda x: np.exp(np.sin(x)))))(1.0)
    names = [eqn.op.name for eqn in graph.equations]
    assert names.count("remat") == 2
    assert not {"sin", "cos", "exp"} & set(names)


def test_a_loop_with_sqrt_memory():
    def step(c, x):
        return np.sin(c * x), None

    xs = np.linspace(0.5, 1.5, 100)
    inner = fg.checkpoint(lambda c, xs: lax.scan(step, c, xs))
    plain = lambda c, xs: lax.scan(step, c, xs)[0]  # noqa: E731
    blocked = lambda c, xs: lax.scan(inner, c, xs.reshape(10, 10))[0]  # noqa: E731
    for a, b in zip(fg.grad(blocked, (0, 1))(0.7, xs), fg.grad(plain, (0, 1))(0.7, xs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    for a, b in zip(fg.jit(fg.grad(blocked, (0, 1)))(0.7, xs), fg.grad(plain, (0, 1))(0.7, xs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    kept = {
        eqn.outputs[-1].type.shape
        for eqn in fg.jit(fg.grad(blocked)).graph(0.7, xs).equations
        if eqn.op.name == "scan" and eqn.op.history
    }
    assert kept == {(11,)}


# -- mistakes ----------------------------------------------------------------------------------------------------------


def _vjp_with(backward, forward=lambda x: (x * 2, ())):
    f = fg.custom_vjp(lambda x: x * 2)
    f.defvjp(forward, backward)
    return fg.grad(lambda x: np.sum(f(x)))


def clipped():
    f = fg.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, ()), lambda _, ct: (np.clip(ct, -1, 1),))
    return f


def _jvp_with(rule):
    f = fg.custom_jvp(lambda x: x * 2)
    f.defjvp(rule)
    return fg.grad(lambda x: np.sum(f(x)))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda: _vjp_with(lambda _, ct: ct)(X),
            TreeError,
            r"backward has the structure \*, .* arguments of .*\(\*,\)",
        ),
        (lambda: _vjp_with(lambda _, ct: (ct, ct))(X), TreeError, r"structure \(\*, \*\).*\(\*,\)"),
        (lambda: _vjp_with(lambda _, ct: (ct[:1],))(X), ShapeError, r"backward\[0\] is f64\[1\].*f64\[3\]"),
        (lambda: _vjp_with(lambda _, ct: (ct,), lambda x: x)(X), ArgumentError, "must return a pair"),
        (lambda: _vjp_with(lambda _, ct: (ct,), lambda x: (x, "s"))(X), TreeError, "the residuals of <lambda>.*str"),
        (lambda: _jvp_with(lambda p, t: t[0])(X), ArgumentError, "must return a pair"),
        (lambda: _jvp_with(lambda p, t: (p[0], t))(X), TreeError, r"out_tangent has the structure \(\*,\)"),
        (lambda: _jvp_with(lambda p, t: (p, t[0]))(X), TreeError, r"out of the structure \(\*,\)"),
        (lambda: _jvp_with(lambda p, t: (p[0], t[0][:1]))(X), ShapeError, r"out_tangent is f64\[1\]"),
        (
            lambda: fg.jvp(clipped(), (X,), (X,)),
            NotDifferentiableError,
            "not linear in the cotangent: clip at .*custom_jvp, which serves both",
        ),
        (lambda: fg.grad(fg.custom_vjp(np.sum))(X), ArgumentError, "sum has no rule yet; set it with defvjp"),
        (lambda: fg.custom_jvp(3), ArgumentError, "custom_jvp takes a function"),
        (lambda: fg.custom_vjp(np.sin).defvjp(np.sin, 3), ArgumentError, "defvjp takes a function"),
        (lambda: fg.checkpoint(3), ArgumentError, "checkpoint takes a function"),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()


@pytest.mark.parametrize("transform", [fg.grad, lambda f: fg.jit(fg.grad(f))])
def test_closing_over_a_traced_value_is_refused(transform):
    def outer(y):
        f = fg.custom_vjp(lambda x: x * y)
        f.defvjp(lambda x: (x * y, ()), lambda _, ct: (ct,))
        return fg.jit(f)(2.0) if transform is not fg.grad else fg.grad(f)(2.0) * f(y)

    def with_rule(y):
        f = fg.custom_jvp(lambda x: x * y)
        f.defjvp(lambda p, t: (f(*p), t[0]))
        return fg.jit(f)(y)

    with pytest.raises(ArgumentError, match="Pass the value as an argument"):
        transform(with_rule)(3.0)
