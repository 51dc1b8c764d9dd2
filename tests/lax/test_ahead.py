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
from tests.support.python_loops import python_scan

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
    ours, plain = network(product, reverse=reverse), network(product, python_scan, reverse=reverse)
    assert products(ours, W, U, xs, h)[0] >= 1
    for f in (ours, fg.jit(ours)):
        for found, expected in zip(f(W, U, xs, h), plain(W, U, xs, h), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)

    def loss(f):
        return lambda *args: sum(np.sum(np.sin(x)) for x in f(*args))

    expected = fg.grad(loss(plain), (0, 1, 2, 3))(W, U, xs, h)
    for gradient in (fg.grad(loss(ours), (0, 1, 2, 3)), fg.jit(fg.grad(loss(ours), (0, 1, 2, 3)))):
        for a, b in zip(gradient(W, U, xs, h), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    second, expected = (fg.hvp(lambda w, f=f: loss(f)(w, U, xs, h), (W,), (np.cos(W),)) for f in (ours, plain))
    np.testing.assert_allclose(second, expected, rtol=1e-10, atol=1e-12)


def test_each_example_may_have_its_own_factor():
    f, plain = network(FORMS["x W"][0]), network(FORMS["x W"][0], python_scan)
    ws, h = RNG.normal(size=(4, SIZE, SIZE)), np.zeros(SIZE)
    for a, b in zip(
        fg.jit(fg.vmap(f, (0, None, None, None)))(ws, U, XS, h),
        fg.vmap(plain, (0, None, None, None))(ws, U, XS, h),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def total(product, start=0.0, scan=lax.scan):
    """The sum of product(x, w) over the rows of xs."""

    def f(w, xs):
        return scan(lambda h, x: (h + product(x, w), None), start, xs)

    return f


@given(st.integers(1, 3 * MOST_ROWS), st.integers(1, 4), st.integers(1, 20))
def test_few_rows_and_little_memory(rows, inner, columns):
    xs, w = np.ones((STEPS, rows, inner)), np.ones((inner, columns))
    few = rows <= MOST_ROWS and columns <= GROWTH * inner
    f = total(lambda x, w: np.sum(x @ w))
    assert products(f, w, xs)[0] == few
    np.testing.assert_allclose(f(w, xs)[0], STEPS * rows * inner * columns)


def test_all_products_together_need_little_memory():
    many = total(lambda x, w: sum(np.sin(x @ (w * i)) for i in range(7)), XS[0])
    assert products(many, W, XS)[0] == GROWTH
    small = np.ones((STEPS, SIZE), np.uint8)
    assert products(total(lambda x, w: x @ w, XS[0]), W, small)[0] == 0, "the rows would be converted"


def test_what_is_written_twice_is_computed_once_and_what_nobody_reads_never():
    def product(x, factors):
        w, u = factors
        x @ u
        return np.tanh(x @ w) * np.tanh(x @ w)

    f = total(product, XS[0])
    assert products(f, (W, U), XS)[0] == 1
    (loop,) = [eqn.op for eqn in fg.make_graph(f)((W, U), XS).equations if isinstance(eqn.op, Scan)]
    assert sum(eqn.op.name == "tanh" for eqn in loop.body.equations) == 1


def carried(w, xs):
    return lax.scan(lambda w, x: (w + x @ w, None), w, xs)


def checkpointed(f, start, xs):
    return lax.scan(fg.checkpoint(f), start, xs)


STAYING = {
    "it would be computed twice or need more memory": (total(lambda x, w: np.sin(x) @ w, XS[0]), W, XS),
    "what is checkpointed is computed again": (total(lambda x, w: x @ w, XS[0], checkpointed), W, XS),
    "map needs memory for one row": (lambda w, xs: lax.map(lambda x: x @ w, xs), W, XS),
    "what changes from step to step is not shared": (carried, W, XS),
    "nothing is summed": (total(lambda x, w: np.sum(np.tensordot(x, w, 0))), W[0], XS),
    "both factors are rows": (total(lambda x, w: x @ x.T, np.zeros((2, 2))), W, MATRICES),
}


@pytest.mark.parametrize("why", STAYING)
def test_what_stays_in_the_loop(why):
    f, w, xs = STAYING[why]
    assert products(f, w, xs)[0] == 0


def test_no_steps():
    last, states = fg.jit(network(FORMS["x W"][0]))(W, U, XS[:0], np.ones(SIZE))
    np.testing.assert_array_equal(last, np.ones(SIZE))
    assert states.shape == (0, SIZE)


def test_rows_that_only_products_need_are_not_read():
    loop = fg.jit(network(FORMS["x W"][0]))
    graph = loop._compiled((W, U, XS, np.zeros(SIZE)), {}).graph
    (scan,) = [eqn for eqn in graph.equations if isinstance(eqn.op, Scan)]
    assert len(scan.inputs) == 3, "U, h and the products"
