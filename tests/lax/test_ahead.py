"""Products of rows that scans compute ahead: which they are, and that results and derivatives are those of the loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad import lax
from fungrad.lax.ahead import GROWTH, MOST_ROWS
from fungrad.primitives.contract import Dot
from fungrad.regions.scan import Scan

RNG = np.random.default_rng(0)
STEPS, SIZE = 5, 3
W, U = RNG.normal(size=(2, SIZE, SIZE))
XS = RNG.normal(size=(STEPS, SIZE))
MATRICES = RNG.normal(size=(STEPS, 2, SIZE))


def products(f, *args):
    """How many products a function computes outside, and inside of its scan."""
    equations = fg.make_graph(f)(*args).equations
    (loop,) = [eqn.op for eqn in equations if isinstance(eqn.op, Scan)]
    return tuple(sum(isinstance(eqn.op, Dot) for eqn in some) for some in (equations, loop.body.equations))


def network(product, scan=lax.scan, **options):
    """tanh(product(x, W) + h U), with all states."""

    def f(w, u, xs, h):
        def step(h, x):
            h = np.tanh(product(x, w) + h @ u)
            return h, h * 2

        return scan(step, h, xs, **options)

    return f


def in_python(f, h, xs, reverse=False):
    steps, ys = range(len(xs)), {}
    for i in reversed(steps) if reverse else steps:
        h, ys[i] = f(h, xs[i])
    return h, np.stack([ys[i] for i in steps])


FORMS = {
    "x W": (lambda x, w: x @ w, XS),
    "W x": (lambda x, w: w @ x, XS),
    "W^T x": (lambda x, w: w.T @ x, XS),
    "x W for a matrix": (lambda x, w: x @ w, MATRICES),
    "of a slice": (lambda x, w: x[1:] @ w[1:], XS),
    "of a part": (lambda x, w: x[0] @ w, MATRICES),
    "of a reshaped row": (lambda x, w: x.reshape(SIZE, 2).T @ w, MATRICES.reshape(STEPS, 2 * SIZE)),
    "with a constant": (lambda x, w: x @ U * w[0], XS),
    "and of the row itself": (lambda x, w: x @ w + x, XS),
    "twice": (lambda x, w: (x @ w) * (x @ U), XS),
    "of products": (lambda x, w: (x @ w) @ w, XS),
    "einsum": (lambda x, w: np.einsum("bi,ij->bj", x, w), MATRICES),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_results_and_derivatives_are_those_of_the_loop(form, reverse):
    product, xs = FORMS[form]
    h = np.broadcast_to(np.array([0.1, 0.2, 0.3]), np.shape(product(xs[0], W))) + 0.0
    ours, plain = network(product, reverse=reverse), network(product, in_python, reverse=reverse)
    assert products(ours, W, U, xs, h)[0] >= 1
    for f in (ours, fg.jit(ours)):
        for found, expected in zip(f(W, U, xs, h), plain(W, U, xs, h), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)

    def total(f):
        return lambda *args: sum(np.sum(np.sin(x)) for x in f(*args))

    expected = fg.grad(total(plain), (0, 1, 2, 3))(W, U, xs, h)
    for gradient in (fg.grad(total(ours), (0, 1, 2, 3)), fg.jit(fg.grad(total(ours), (0, 1, 2, 3)))):
        for a, b in zip(gradient(W, U, xs, h), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    second, expected = (fg.hvp(lambda w, f=f: total(f)(w, U, xs, h), (W,), (np.cos(W),)) for f in (ours, plain))
    np.testing.assert_allclose(second, expected, rtol=1e-10, atol=1e-12)


def test_each_example_may_have_its_own_factor():
    f, plain = network(FORMS["x W"][0]), network(FORMS["x W"][0], in_python)
    ws, h = RNG.normal(size=(4, SIZE, SIZE)), np.zeros(SIZE)
    for a, b in zip(
        fg.jit(fg.vmap(f, (0, None, None, None)))(ws, U, XS, h),
        fg.vmap(plain, (0, None, None, None))(ws, U, XS, h),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@given(st.integers(1, 3 * MOST_ROWS), st.integers(1, 4), st.integers(1, 20))
def test_few_rows_and_little_memory(rows, inner, columns):
    xs, w = np.ones((STEPS, rows, inner)), np.ones((inner, columns))
    few = rows <= MOST_ROWS and columns <= GROWTH * inner
    f = lambda w, xs: lax.scan(lambda h, x: (h + np.sum(x @ w), None), 0.0, xs)[0]  # noqa: E731
    assert products(f, w, xs)[0] == few
    np.testing.assert_allclose(f(w, xs), STEPS * rows * inner * columns)


def test_all_products_together_need_little_memory():
    f = lambda w, xs: lax.scan(lambda h, x: (h + sum(np.sin(x @ (w * i)) for i in range(7)), None), XS[0], xs)[0]  # noqa: E731
    assert products(f, W, XS)[0] == GROWTH
    bytes_to_floats = lambda w, xs: lax.scan(lambda h, x: (h + x @ w, None), XS[0], xs)[0]  # noqa: E731
    assert products(bytes_to_floats, W, np.ones((STEPS, SIZE), np.uint8))[0] == 0, "the rows would be converted"


def test_what_is_written_twice_is_computed_once_and_what_nobody_reads_never():
    def f(w, u, xs):
        def step(h, x):
            unused = x @ u  # noqa: F841
            return h + np.tanh(x @ w) * np.tanh(x @ w), None

        return lax.scan(step, XS[0], xs)[0]

    assert products(f, W, U, XS)[0] == 1
    (loop,) = [eqn.op for eqn in fg.make_graph(f)(W, U, XS).equations if isinstance(eqn.op, Scan)]
    assert sum(eqn.op.name == "tanh" for eqn in loop.body.equations) == 1


def test_what_stays_in_the_loop():
    h = np.zeros(SIZE)
    computed = network(lambda x, w: np.sin(x) @ w)
    assert products(computed, W, U, XS, h)[0] == 0, "it would be computed twice or need more memory"
    kept = lambda w, xs: lax.scan(fg.checkpoint(lambda h, x: (h + x @ w, None)), h, xs)  # noqa: E731
    assert products(kept, W, XS)[0] == 0, "what is checkpointed is computed again"
    mapped = lambda w, xs: lax.map(lambda x: x @ w, xs)  # noqa: E731
    assert products(mapped, W, XS)[0] == 0, "map needs memory for one row"
    carried = lambda w, xs: lax.scan(lambda w, x: (w + x @ w, None), w, xs)  # noqa: E731
    assert products(carried, W, XS)[0] == 0, "what changes from step to step is not shared"
    outer = lambda w, xs: lax.scan(lambda h, x: (h + np.sum(np.tensordot(x, w, 0)), None), 0.0, xs)  # noqa: E731
    assert products(outer, W[0], XS)[0] == 0, "nothing is summed"
    squares = lambda xs: lax.scan(lambda h, x: (h + x @ x.T, None), np.zeros((2, 2)), xs)  # noqa: E731
    assert products(squares, MATRICES)[0] == 0, "both factors are rows"


def test_no_steps():
    last, states = fg.jit(network(FORMS["x W"][0]))(W, U, XS[:0], np.ones(SIZE))
    np.testing.assert_array_equal(last, np.ones(SIZE))
    assert states.shape == (0, SIZE)


def test_rows_that_only_products_need_are_not_read():
    loop = fg.jit(network(FORMS["x W"][0]))
    graph = loop._compiled((W, U, XS, np.zeros(SIZE)), {}).graph
    (scan,) = [eqn for eqn in graph.equations if isinstance(eqn.op, Scan)]
    assert len(scan.inputs) == 3, "U, h and the products"
