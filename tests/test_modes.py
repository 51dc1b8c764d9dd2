"""`debug_nans`, `checking_leaks`, `disable_jit`."""

import threading

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import LeakedTracerError, NanError, TreeError
from fungrad.jitted import Jitted

X = np.array([1.0, 0.0, 4.0])
quiet = pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")


def masked(x):
    return np.sum(np.where(x > 0, np.sqrt(x), 0.0))


def negative(x):
    return np.sum(np.log(x - 2))


def looped(x):
    return np.sum(lax.scan(lambda c, _: (np.log(c), None), x, None, length=4)[0])


NANS = {
    "grad": (fg.grad(masked), "the derivative of sqrt", "np.sqrt(x)"),
    "jit(grad)": (fg.jit(fg.grad(masked)), "div", "np.sqrt(x)"),
    "grad(jit)": (fg.grad(fg.jit(masked)), "div", "np.sqrt(x)"),
    "vmap(grad)": (lambda x: fg.vmap(fg.grad(masked))(x[None]), "div", "np.sqrt(x)"),
    "jvp": (lambda x: fg.jvp(masked, (x,), (0 * x,)), "the derivative of sqrt", "np.sqrt(x)"),
    "forward": (fg.grad(negative), "log", "np.log(x - 2)"),
    "jit": (fg.jit(negative), "log", "np.log(x - 2)"),
    "vmap": (lambda x: fg.vmap(negative)(x[None]), "log", "np.log(x - 2)"),
    "jit(vmap)": (lambda x: fg.jit(fg.vmap(negative))(x[None]), "log", "np.log(x - 2)"),
    "scan": (looped, "log", "np.log(c)"),
    "jit(scan)": (fg.jit(looped), "log", "np.log(c)"),
}


@quiet
@pytest.mark.parametrize("name", NANS)
def test_the_first_nan_is_named(name):
    f, op, line = NANS[name]
    with fg.debug_nans(), pytest.raises(NanError) as caught:
        f(X)
    message = str(caught.value)
    assert f"nan came out of {op} at {__file__}" in message
    assert line in message
    assert "np.where" in message
    f(X)  # again without it, as if nothing had been


@quiet
def test_nan_that_was_given():
    given = np.array([1.0, np.nan])
    with fg.debug_nans():
        with pytest.raises(NanError, match=r"mul at .*first at index \(1,\).* It was given a nan"):
            fg.jit(lambda x: 2 * x)(given)
        with pytest.raises(NanError, match="compiled function lambda_, but no operation of it gives one"):
            fg.jit(lambda x: x)(given)
        assert fg.jit(lambda x: np.where(np.isnan(x), 0.0, x))(given).tolist() == [1.0, 0.0]
        assert fg.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0)))(X).tolist() == [
            0.5,
            0.0,
            0.25,
        ]


@quiet
def test_sums_of_cotangents_are_watched():
    def f(x):
        y = x * 1.0
        return np.sum(np.sqrt(y)) - np.sum(np.sqrt(y))

    with fg.debug_nans(), pytest.raises(NanError, match="the derivative of sqrt"):
        fg.grad(f)(np.array([0.0]))


@quiet
def test_prints_are_not_repeated_by_the_search(capsys):
    def f(x):
        fg.debug.print("once")
        return np.log(x)

    with fg.debug_nans(), pytest.raises(NanError):
        fg.jit(f)(-1.0)
    assert capsys.readouterr().out == "once\n"


@quiet
def test_modes_are_set_by_calls_and_blocks():
    step = fg.jit(fg.grad(masked))
    step(X)
    fg.debug_nans()
    with pytest.raises(NanError):
        step(X)
    with fg.debug_nans(False):
        step(X)
    with pytest.raises(NanError):
        step(X)
    fg.debug_nans(False)
    step(X)
    with fg.debug_nans(), fg.debug_nans():
        pass
    step(X)


@quiet
def test_modes_are_of_one_thread_and_cost_nothing_elsewhere():
    step = fg.jit(fg.grad(masked))
    common = Jitted.__call__
    assert np.isnan(step(X)[1])
    errors = []
    begin, end = threading.Event(), threading.Event()

    def watched():
        with fg.debug_nans(), fg.disable_jit():
            begin.set()
            try:
                fg.grad(masked)(X)
            except NanError as error:
                errors.append(error)
            end.wait()

    thread = threading.Thread(target=watched)
    thread.start()
    begin.wait()
    try:
        assert Jitted.__call__ is not common
        assert np.isnan(step(X)[1])
    finally:
        end.set()
        thread.join()
    assert len(errors) == 1
    assert Jitted.__call__ is common
    calls = []
    step._call_by_types = lambda *given: calls.append(given)
    step(X)
    assert not calls, "the common call guesses again"


# -- leaks ---------------------------------------------------------------------------------------------------------

kept = []


def leaking(x):
    y = np.sin(x)
    kept.append(y)
    return np.sum(y * y)


LEAKS = {
    "grad": fg.grad(leaking),
    "jit": fg.jit(leaking),
    "jvp": lambda x: fg.jvp(leaking, (x,), (x,)),
    "vmap": fg.vmap(leaking),
    "map": lambda x: lax.map(leaking, x),
    "make_graph": fg.make_graph(leaking),
    "hessian": fg.hessian(leaking),
    "checkpoint": fg.grad(lambda x: fg.checkpoint(leaking)(x)),
}


@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_found_at_once(name):
    with fg.checking_leaks(), pytest.raises(LeakedTracerError, match=r"made by sin at .*test_modes\.py:\d+\. Somebody"):
        LEAKS[name](X)
    kept.clear()


def test_a_leaked_argument_and_a_shared_one():
    with fg.checking_leaks():
        with pytest.raises(LeakedTracerError, match=r"outlive grad: f64\[3\], an argument of the function"):
            fg.grad(lambda x: kept.append(x) or np.sum(x))(X)
        kept.clear()
        with pytest.raises(LeakedTracerError, match="outlive vmap"):
            fg.vmap(lambda x, table: kept.append(table) or x, (0, None))(X, X)
    kept.clear()


@fg.custom_jvp
def by_jvp(x):
    return np.sin(x)


by_jvp.defjvp(lambda primals, tangents: (by_jvp(primals[0]), np.cos(primals[0]) * tangents[0]))


@fg.custom_vjp
def by_vjp(x):
    return np.sin(x)


by_vjp.defvjp(lambda x: (by_vjp(x), x), lambda x, ct: (np.cos(x) * ct,))


def everything(x):
    return np.sum(
        by_jvp(x)
        + by_vjp(x)
        + fg.checkpoint(lambda x: np.sin(x) * x)(x)
        + lax.scan(lambda c, _: (np.sin(c), c), x, None, length=3)[0]
        + lax.while_loop(lambda c: np.max(c) < 2, lambda c: c * 1.5 + 0.1, x)
        + lax.cond(x[0] > 0, lambda x: x, lambda x: -x, x)
        + fg.jit(lambda x: x * x)(x)
    )


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        fg.grad,
        fg.jit,
        lambda f: fg.jit(fg.grad(f)),
        lambda f: fg.grad(fg.jit(f)),
        lambda f: lambda x: fg.jit(fg.vmap(fg.grad(f)))(x[None]),
        lambda f: lambda x: fg.vmap(f)(x[None]),
    ],
)
def test_what_does_not_leak_is_not_reported(transform):
    with fg.checking_leaks():
        transform(everything)(X)


# -- without jit -----------------------------------------------------------------------------------------------------


def program(x):
    def step(carry, row):
        total, count = carry
        return (total + row * np.sin(total), count + 1), {"row": row * total, "count": count}

    (total, count), ys = lax.scan(step, (0.5, 0), x, reverse=True)
    power = lax.fori_loop(0, 3, lambda i, y: y * total + i, x)
    root = lax.while_loop(lambda y: np.abs(y * y - 2) > 1e-9, lambda y: 0.5 * (y + 2 / y), 1.0 + total * total)
    chosen = lax.cond(total > 0, lambda x: x * 2, lambda x: x, x)
    picked = lax.switch(count - 2, [np.sin, np.cos, np.exp], x)
    each = lax.map(lambda row: row * root, x)
    blocks = lax.scan(lambda c, row: (c + row, c), 0.0, x, unroll=2)[1]
    return np.sum(power * chosen * picked + each * ys["row"] + blocks) + root


@pytest.mark.parametrize("transform", [lambda f: f, fg.jit, fg.grad, lambda f: fg.jit(fg.grad(f)), fg.hessian])
def test_the_same_numbers_step_by_step(transform):
    expected = transform(program)(X)
    with fg.disable_jit():
        found = transform(program)(X)
    assert type(found) is type(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_under_vmap_loops_are_run_step_by_step_as_far_as_numbers_are_known():
    rows = np.stack([X, X + 0.5])
    expected = fg.vmap(program)(rows)
    with fg.disable_jit():
        np.testing.assert_allclose(fg.vmap(program)(rows), expected, rtol=1e-12)


def test_python_sees_numbers():
    seen = []

    def step(carry, row):
        if carry > 1:  # Python's own if, on a number
            seen.append(float(row))
        return carry * 2, carry

    f = fg.jit(lambda x: lax.scan(step, x, np.arange(3.0)))
    with fg.disable_jit():
        last, ys = f(1.0)
        assert type(last) is np.float64
        assert ys.tolist() == [1.0, 2.0, 4.0]
        fg.grad(lambda x: f(x)[0])(1.0)
    assert seen == [1.0, 2.0] * 2
    with pytest.raises(fg.errors.ConcretizationError):
        f(1.0)


def test_types_of_results_are_those_of_compiled_loops():
    cases = [
        lambda x: lax.scan(lambda c, r: (c + r, c), 0, x),
        lambda x: lax.scan(lambda c, r: (0.0, r), np.float32(1), x),
        lambda x: lax.fori_loop(0, 3, lambda i, c: c + i, 1.5),
        lambda x: lax.while_loop(lambda c: c < 3, lambda c: c + 1, 0),
        lambda x: lax.cond(True, lambda: 1, lambda: 2),
    ]
    for f in cases:
        expected = f(X)
        with fg.disable_jit():
            found = f(X)
        for a, b in zip(fg.tree.leaves(found), fg.tree.leaves(expected), strict=True):
            assert type(a) is type(b)
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "f",
    [
        lambda: lax.scan(lambda c, r: c, 0.0, X),
        lambda: lax.scan(lambda c, r: ((c, c), None), 0.0, X),
        lambda: lax.scan(lambda c, r: (X, None), 0.0, X),
        lambda: lax.while_loop(lambda c: True, lambda c: X, 0.0),
        lambda: lax.fori_loop(0, 2, lambda i, c: c.astype(np.float32), X),
    ],
)
def test_mistakes_are_named_as_in_compiled_loops(f):
    with pytest.raises(TreeError) as expected:
        f()
    with fg.disable_jit(), pytest.raises(TreeError) as found:
        f()
    assert str(found.value).split(",")[0] == str(expected.value).split(",")[0]
