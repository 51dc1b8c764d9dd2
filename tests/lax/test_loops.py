"""Loops give what the same loops in Python give: values, derivatives of every pairing, interpreted and compiled."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import ArgumentError, ShapeError, TreeError
from tests.support.compositions import check_same
from tests.support.python_loops import python_fori, python_scan, python_while

RNG = np.random.default_rng(0)
W = 0.5 * RNG.normal(size=(3, 3))
XS = RNG.normal(size=(5, 3))
H = RNG.normal(size=3)


# -- scan --------------------------------------------------------------------------------------------------------------


def rnn(scan, **options):
    def f(W, xs, h):
        def step(h, x):
            h = np.tanh(W @ h + x)
            return h, (np.sum(h), h * x)

        return scan(step, h, xs, **options)

    return f


def rk4(scan):
    """A pendulum; the carry is a dict, and there are no xs."""

    def f(g, theta, omega):
        def slope(s):
            return {"theta": s["omega"], "omega": -g * np.sin(s["theta"])}

        def moved(s, k, h):
            return fg.tree.map(lambda a, b: a + h * b, s, k)

        def step(s, _):
            k1 = slope(s)
            k2 = slope(moved(s, k1, 0.05))
            k3 = slope(moved(s, k2, 0.05))
            k4 = slope(moved(s, k3, 0.1))
            total = fg.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, k1, k2, k3, k4)
            return moved(s, total, 0.1), None

        last, _ = scan(step, {"theta": theta, "omega": omega}, None, length=6)
        return last

    return f


def counted(scan):
    """A carry of several dtypes, one of which no derivative reaches, and a table that the body closes over."""
    table = np.array([0.5, 1.5, -0.5])

    def f(x, ys):
        def step(carry, y):
            i, total = carry
            return (i + 1, total * fg.numpy.take(table, i % 3) + y * x), i

        return scan(step, (0, x), ys)

    return f


def nested(scan):
    def f(W, xs, h):
        def inner(c, x):
            return np.sin(c * x) + np.sum(W), c

        def outer(h, x):
            last, cs = scan(inner, np.sum(h), x)
            return np.tanh(h + last), np.sum(cs)

        return scan(outer, h, xs)

    return f


def unused(scan):
    """Parts of the carry and of the results that nothing depends on."""

    def f(a, xs):
        def step(carry, x):
            kept, dropped, fixed = carry
            return (kept * np.cos(x) + fixed, dropped + kept, fixed), (kept, dropped)

        (kept, _, fixed), (some, _) = scan(step, (a, a * 2, a * 3), xs)
        return kept + fixed, some

    return f


LOOPS = {
    "rnn": (rnn, (W, XS, H)),
    "rnn, reversed": (lambda scan: rnn(scan, reverse=True), (W, XS, H)),
    "rnn, one step": (rnn, (W, XS[:1], H)),
    "rnn, unrolled": (lambda scan: rnn(scan, unroll=2), (W, XS, H)),
    "rnn, unrolled and reversed": (lambda scan: rnn(scan, unroll=2, reverse=True), (W, XS, H)),
    "rnn, unrolled without rest": (lambda scan: rnn(scan, unroll=5), (W, XS, H)),
    "rk4": (rk4, (9.8, 0.5, 0.1)),
    "counted": (counted, (1.2, XS[:, 0])),
    "nested": (nested, (W, XS, H)),
    "unused": (unused, (0.7, XS[:, 1])),
}


@pytest.mark.parametrize("name", LOOPS)
def test_scan_is_the_loop_in_python(name):
    make, args = LOOPS[name]
    check_same(make(lax.scan), make(python_scan), args)


def test_scan_over_large_carries():
    """More than a cache line or a copy: the compiled loop alternates between two places."""

    def f(scan):
        def loss(W, xs):
            def step(W, x):
                return W - 0.1 * np.outer(x, x @ W), np.sum(W * W)

            return scan(step, W, xs)

        return loss

    rng = np.random.default_rng(1)
    args = (rng.normal(size=(16, 16)), 0.3 * rng.normal(size=(7, 16)))
    check_same(f(lax.scan), f(python_scan), args, order=1)


def test_scan_of_no_steps():
    f = rnn(lax.scan)
    for run in (f, fg.jit(f)):
        h, (sums, products) = run(W, XS[:0], H)
        np.testing.assert_array_equal(h, H)
        assert h is not H
        assert sums.shape == (0,)
        assert products.shape == (0, 3)
    gradients = fg.grad(lambda W, h: np.sum(f(W, XS[:0], h)[0] ** 2), (0, 1))(W, H)
    np.testing.assert_array_equal(gradients[0], 0 * W)
    np.testing.assert_array_equal(gradients[1], 2 * H)


def test_python_numbers_that_start_a_loop_take_its_dtype():
    xs = np.ones(4, np.float32)
    total, _ = lax.scan(lambda c, x: (c + x, None), 0.0, xs)
    assert total == 4
    assert total.dtype == np.float32
    total, _ = lax.scan(lambda c, x: (c + 0.5, None), 0, xs)
    assert total == 2.0
    assert total.dtype == np.float64
    reset, _ = lax.scan(lambda c, x: (0, None), np.float32(3), xs)
    assert reset == 0
    assert reset.dtype == np.float32


def test_training_in_one_call():
    """A whole epoch of SGD is one native function."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(50, 8, 3)), rng.normal(size=3)
    y = x @ w

    def loss(params, x, y):
        return np.mean((x @ params["w"] + params["b"] - y) ** 2)

    def epoch(params, x, y):
        def step(params, batch):
            value, gradient = fg.value_and_grad(loss)(params, *batch)
            return fg.tree.map(lambda p, g: p - 0.1 * g, params, gradient), value

        return lax.scan(step, params, (x, y))

    start = {"w": np.zeros(3), "b": 0.0}
    params, losses = fg.jit(epoch)(start, x, y)
    expected, expected_losses = epoch(start, x, y)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(params["w"], expected["w"], rtol=1e-12)
    np.testing.assert_allclose(params["w"], w, atol=1e-3)


def test_compiled_size_does_not_depend_on_the_length():
    f = lambda n: lambda x: lax.scan(lambda c, _: (np.sin(c) * x, None), x, None, length=n)[0]  # noqa: E731
    sizes = {len(fg.jit(fg.grad(f(n))).source(1.0)) for n in (111, 555)}
    assert len(sizes) == 1


def test_carries_are_kept_only_for_derivatives():
    f = rnn(lax.scan)
    assert "history" not in str(fg.jit(f).graph(W, XS, H))
    assert "history" in str(fg.jit(fg.grad(lambda W: np.sum(f(W, XS, H)[0]))).graph(W))


def test_backward_pass_of_an_rnn_does_not_repeat_the_forward_pass():
    """tanh's derivative needs the carry after the step, which is kept."""
    graph = fg.jit(fg.grad(lambda W: np.sum(rnn(lax.scan)(W, XS, H)[0]))).graph(W)
    (back,) = [eqn.op.body for eqn in graph.equations if eqn.op.name == "scan" and eqn.op.reverse]
    assert "tanh" not in str(back)


# -- map, fori_loop ----------------------------------------------------------------------------------------------------


def test_map():
    check_same(
        lambda W, xs: lax.map(lambda x: np.tanh(W @ x), xs),
        lambda W, xs: np.stack([np.tanh(W @ x) for x in xs]),
        (W, XS),
    )


@pytest.mark.parametrize("bounds", [(0, 4), (2, 5), (3, 3), (5, 2)])
@pytest.mark.parametrize("traced", [False, True])
def test_fori_loop(bounds, traced):
    def power(loop):
        return lambda x, h: loop(*bounds, lambda i, v: v * x + i * np.sin(h), h)

    def dynamic(lower, upper, body, value):
        a, b = (np.sum(np.full(1, n)) for n in (lower, upper))  # arrays, to be traced below
        return fg.jit(lambda a, b, value: lax.fori_loop(a, b, body, value))(a, b, value)

    check_same(power(dynamic if traced else lax.fori_loop), power(python_fori), (1.3, H), order=1)


def test_fori_loop_with_traced_bounds_is_differentiable():
    f = lambda x, n: lax.fori_loop(0, n, lambda i, v: v * x, 1.0)  # noqa: E731
    for gradient in (fg.grad(f), fg.jit(fg.grad(f))):
        assert gradient(2.0, 5) == 80.0
        assert gradient(2.0, 1) == 1.0
        assert gradient(2.0, 0) == 0.0
    for second in (fg.grad(fg.grad(f)), fg.jit(fg.grad(fg.grad(f)))):
        assert second(2.0, 5) == 160.0


# -- while_loop --------------------------------------------------------------------------------------------------------


def newton(while_loop):
    return lambda a: while_loop(lambda x: np.abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a)


def power_iteration(while_loop):
    """A vector, a count that has no derivative, and a matrix that the body closes over."""

    def f(A, x):
        def go_on(state):
            _, _, count = state
            return count < 8

        def step(state):
            x, _, count = state
            y = A @ x
            norm = np.sqrt(np.sum(y * y))
            return y / norm, norm, count + 1

        x, norm, _ = while_loop(go_on, step, (x, 1.0, 0))
        return x, norm

    return f


def collatz(while_loop):
    def f(x, n):
        def step(state):
            x, n = state
            even = n % 2 == 0
            return np.where(even, x * 1.1, np.sin(x)), np.where(even, n // 2, 3 * n + 1)

        return while_loop(lambda state: state[1] != 1, step, (x, n))[0]

    return lambda x: f(x, np.int64(27))


def never(while_loop):
    return lambda x: while_loop(lambda s: np.sum(s) > 1e9, lambda s: s * 2, x)


def in_a_scan(while_loop):
    def f(a, xs):
        def step(carry, x):
            grown = while_loop(lambda s: np.sum(s * s) < 40.0, lambda s: s * a + 1.0, carry + x)
            return np.tanh(grown), grown

        scan = lax.scan if while_loop is lax.while_loop else python_scan
        return scan(step, H, xs)

    return f


WHILES = {
    "newton": (newton, (2.0,)),
    "power iteration": (power_iteration, (W + np.eye(3), H)),
    "collatz": (collatz, (0.4,)),
    "never": (never, (H,)),
    "in a scan": (in_a_scan, (1.7, XS)),
}


@pytest.mark.parametrize("name", WHILES)
def test_while_loop_is_the_loop_in_python(name):
    make, args = WHILES[name]
    check_same(make(lax.while_loop), make(python_while), args)


def test_derivatives_of_newtons_square_root_of_every_order():
    root = newton(lax.while_loop)
    coefficient = 1.0
    for order in range(5):
        expected = coefficient * 3.0 ** (0.5 - order)
        for f in (root, fg.jit(root)):
            np.testing.assert_allclose(f(3.0), expected, rtol=1e-9)
        coefficient *= 0.5 - order
        root = fg.grad(root)


def test_newtons_square_root_in_every_composition():
    """Also of several numbers at once, each of which takes its own number of steps."""
    root, several = newton(lax.while_loop), np.array([1e-3, 0.5, 3.0, 100.0])
    for derivative in (fg.grad(root), fg.jit(fg.grad(root)), fg.grad(fg.jit(root)), fg.jacfwd(root)):
        np.testing.assert_allclose(derivative(3.0), 0.5 * 3.0**-0.5, rtol=1e-9)
        for mapped in (fg.vmap(derivative), fg.jit(fg.vmap(derivative))):
            np.testing.assert_allclose(mapped(several), 0.5 * several**-0.5, rtol=1e-9)
    for second in (fg.hessian(root), fg.jit(fg.hessian(root)), fg.hessian(fg.jit(root))):
        np.testing.assert_allclose(second(3.0), -0.25 * 3.0**-1.5, rtol=1e-9)
        np.testing.assert_allclose(fg.vmap(second)(several), -0.25 * several**-1.5, rtol=1e-9)


def test_a_tape_of_many_steps():
    """The tape grows; nothing of it is left after the call."""
    f = fg.jit(fg.grad(lambda x: lax.while_loop(lambda s: s[1] < 100_000, lambda s: (s[0] * x, s[1] + 1), (x, 0))[0]))
    assert f(1.0) == 100_001.0
    assert f(-1.0) == 100_001.0


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: lax.scan(lambda c, x: c, 0.0, XS), TreeError, r"must return a pair \(carry, y\), but returned \*"),
        (
            lambda: lax.scan(lambda c, x: ((c, c), x), 0.0, XS),
            TreeError,
            r"structure \*, but <lambda> returned \(\*, \*\)",
        ),
        (lambda: lax.scan(lambda c, x: (c + x, x), 0.0, XS), TreeError, r"carry is f64\[\] and becomes f64\[3\]"),
        (
            lambda: lax.scan(lambda c, x: (c.astype(int), x), H, XS),
            TreeError,
            r"carry is f64\[3\] and becomes i64\[3\]",
        ),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0), ArgumentError, "pass length"),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0, 3.0), ShapeError, "xs is a single number"),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0, (XS, H)), ShapeError, r"xs\[0\]: 5, xs\[1\]: 3"),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0, XS, length=4), ShapeError, "xs: 5, length: 4"),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0, None, length=2.5), ArgumentError, "length must be an integer"),
        (lambda: lax.scan(lambda c, x: (c, x), 0.0, XS, unroll=0), ArgumentError, "unroll must be a positive int"),
        (lambda: lax.scan(3, 0.0, XS), ArgumentError, "scan: f must be a function, got int"),
        (lambda: lax.while_loop(lambda x: x, lambda x: x, 1.0), TreeError, r"one boolean, but returned f64\[\]"),
        (lambda: lax.while_loop(lambda x: x > 0, lambda x: x, H), TreeError, "np.all or np.any"),
        (lambda: lax.while_loop(lambda x: x > 0, lambda x: (x, x), 1.0), TreeError, r"structure \*"),
        (lambda: lax.fori_loop(0, 2.5, lambda i, x: x, 1.0), ArgumentError, "upper must be an integer"),
        (lambda: lax.fori_loop(0, 3, lambda i, x: "a", 1.0), TreeError, "str"),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_python_control_flow_on_a_carry_is_refused():
    with pytest.raises(fg.errors.ConcretizationError, match="under scan"):
        lax.scan(lambda c, x: (c if c > 0 else -c, x), 1.0, XS)
