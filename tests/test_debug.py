"""`debug.print` and `debug.callback`: what happens where, how often and in which order."""

import threading

import numba
import numpy as np
import pytest

import fungrad as fg
from fungrad import debug, lax
from fungrad.errors import ArgumentError
from fungrad.ir.verify import verify
from fungrad.passes import PASSES

X = np.array([1.0, 2.0])


def shout(x):
    y = np.sin(x)
    debug.print("x={} y={y:.2f}", x, y=np.sum(y))
    return np.sum(y * y)


LINE = "x=[1. 2.] y=1.75\n"
ONCE = {
    "f": lambda f: f,
    "grad": fg.grad,
    "jit": fg.jit,
    "jit(grad)": lambda f: fg.jit(fg.grad(f)),
    "grad(jit)": lambda f: fg.grad(fg.jit(f)),
    "jvp": lambda f: lambda x: fg.jvp(f, (x,), (x,)),
    "jit(jvp)": lambda f: fg.jit(lambda x: fg.jvp(f, (x,), (x,))),
    "jvp(jit)": lambda f: lambda x: fg.jvp(fg.jit(f), (x,), (x,)),
    "hessian": fg.hessian,
    "jit(hessian)": lambda f: fg.jit(fg.hessian(f)),
    "jit(grad(checkpoint))": lambda f: fg.jit(fg.grad(fg.checkpoint(f))),
    "linearize": lambda f: lambda x: fg.linearize(f, x)[1](x),
    "disable_jit": lambda f: lambda x: without_jit(fg.jit(f), x),
}


def without_jit(f, x):
    with fg.disable_jit():
        return f(x)


@pytest.mark.parametrize("name", ONCE)
def test_printed_once_a_call(name, capsys):
    f = ONCE[name](shout)
    for _ in range(2):
        f(X)
        assert capsys.readouterr().out == LINE


def looped(x):
    def step(carry, row):
        debug.print("{:.2f}", carry)
        debug.print("-")
        return carry * np.sin(row), None

    return lax.scan(step, x, np.array([1.0, 2.0]))[0]


def whiled(x):
    def body(y):
        debug.print("{:.3f}", y)
        return 0.5 * (y + x / y)

    return lax.while_loop(lambda y: np.abs(y * y - x) > 1e-2, body, x)


def branched(x):
    def low(x):
        debug.print("low {}", x)
        return x

    def high(x):
        debug.print("high {}", x)
        return x * x

    return lax.cond(x > 3, high, low, x)


@pytest.mark.parametrize("name", [name for name in ONCE if name != "jit(grad(checkpoint))"])
@pytest.mark.parametrize(
    ("f", "printed"),
    [(looped, "2.00\n-\n1.68\n-\n"), (whiled, "2.000\n1.500\n"), (branched, "low 2.0\n")],
    ids=["scan", "while", "cond"],
)
def test_in_loops_and_branches(name, f, printed, capsys):
    ONCE[name](f)(2.0)
    assert capsys.readouterr().out == printed


def test_in_functions_with_rules(capsys):
    """The function prints in the forward pass alone, its rule where a derivative is taken."""

    @fg.custom_vjp
    def f(x):
        debug.print("f")
        return np.sin(x)

    def forward(x):
        debug.print("f")
        return np.sin(x), x

    def backward(x, ct):
        debug.print("ct {:.2f}", ct)
        return (np.cos(x) * ct,)

    f.defvjp(forward, backward)

    @fg.custom_jvp
    def g(x):
        debug.print("g")
        return 2 * x

    g.defjvp(lambda primals, tangents: (2 * primals[0], 2 * tangents[0]))

    def loop(x):
        return lax.fori_loop(0, 2, lambda i, y: g(f(y)), x)

    printed = "f\ng\nf\ng\n"
    for transform in (lambda h: h, fg.jit, lambda h: fg.jit(fg.checkpoint(h))):
        transform(loop)(0.0)
        assert capsys.readouterr().out == printed
    for transform in (fg.grad, lambda h: fg.jit(fg.grad(h)), lambda h: fg.grad(fg.jit(h))):
        transform(loop)(0.0)
        assert capsys.readouterr().out == printed + "ct 2.00\nct 4.00\n"


def test_every_example_prints(capsys):
    def f(x, y):
        debug.print("{} {}", x, y)
        debug.print("shared {}", y)
        return x * y

    expected = "0.0 5.0\n1.0 5.0\nshared 5.0\n"
    for transform in (lambda f: f, fg.jit):
        transform(fg.vmap(f, (0, None)))(np.arange(2.0), 5.0)
        assert capsys.readouterr().out == expected
    nested = fg.vmap(fg.vmap(lambda x, y: debug.print("{:.0f}{:.0f}", x, y), (0, None)), (None, 0))
    nested(np.arange(2.0), np.arange(2.0, 4.0))
    assert capsys.readouterr().out == "02\n12\n03\n13\n"
    fg.vmap(fg.grad(looped))(np.array([1.0, 2.0]))
    assert capsys.readouterr().out == "1.00\n2.00\n-\n0.84\n1.68\n-\n"


def test_a_function_without_results_runs(capsys):
    @fg.jit
    def nothing(x):
        debug.print("{}", x)
        debug.print("no operand")

    for x in (1.0, 2.0):
        nothing(x)
        assert capsys.readouterr().out == f"{x}\nno operand\n"
    fg.grad(lambda x: nothing(x) or 2 * x)(3.0)
    assert capsys.readouterr().out == "3.0\nno operand\n"


def test_equal_prints_are_not_merged_and_keep_their_order(capsys):
    def f(x):
        for _ in range(2):
            debug.print("{}", x)
        debug.print("sum {}", np.sum(x))
        debug.print("{}", x)
        return x

    fg.jit(f)(X)
    assert capsys.readouterr().out == "[1. 2.]\n[1. 2.]\nsum 3.0\n[1. 2.]\n"


def test_graph_and_source_show_it():
    step = fg.jit(shout)
    assert "  debug_print x" in str(step.graph(X))
    assert "host(0, x" in step.source(X)
    graph = fg.make_graph(fg.jit(looped))(2.0)
    for transform in PASSES:
        graph = verify(transform(graph))


def test_what_is_printed_besides_arrays(capsys):
    fg.jit(lambda x: debug.print("{0} {name!r} {1[a]} {1[b]}", 3, {"a": x, "b": "text"}, name="n"))(1.5)
    assert capsys.readouterr().out == "3 'n' 1.5 text\n"


def test_callback_receives_arrays_of_its_own():
    seen = []

    def f(x):
        y = x * 2
        debug.callback(lambda a, *, b: seen.append((a, b)), y, b={"z": np.sum(y)})
        return np.sum(y * y)

    for transform in (lambda f: f, fg.jit, lambda f: fg.jit(fg.grad(f)), lambda f: lambda x: fg.vmap(f)(x[None])):
        seen.clear()
        g = transform(f)
        g(X)
        g(3 * X)
        (first, b), (second, _) = seen
        np.testing.assert_array_equal(first, 2 * X)
        np.testing.assert_array_equal(second, 6 * X)
        assert b == {"z": 6.0}
        first[0] = 0.0


def test_an_exception_in_a_callback_ends_the_call():
    def fail(x):
        raise KeyError(f"at {x}")

    def f(x):
        debug.callback(fail, x)
        return x

    for g in (f, fg.jit(f), fg.jit(lambda x: lax.fori_loop(0, 3, lambda i, y: f(y), x))):
        with pytest.raises(KeyError, match=r"at 2\.0"):
            g(2.0)


def test_njit_callers_and_threads():
    seen = []

    def f(x):
        debug.callback(lambda y: seen.append((threading.get_ident(), float(y))), x)
        return x + 1

    kernel = fg.jit(f).dispatcher(1.0)

    @numba.njit
    def twice(x):
        return kernel(kernel(x))

    assert twice(1.0) == 3.0
    assert [y for _, y in seen] == [1.0, 2.0]
    seen.clear()
    compiled = fg.jit(f)
    compiled(0.0)
    threads = [threading.Thread(target=lambda i=i: [compiled(float(i)) for _ in range(20)]) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(y for _, y in seen) == sorted([0.0, *[float(i) for i in range(3) for _ in range(20)]])


def test_a_print_is_linear_enough(capsys):
    def f(x):
        y = 3.0 * x
        debug.print("{}", y)
        return y

    assert fg.linear_transpose(f, 1.0)(2.0) == (6.0,)
    assert fg.jit(lambda ct: fg.linear_transpose(f, 1.0)(ct))(2.0) == (6.0,)


def test_bad_input():
    with pytest.raises(ArgumentError, match="takes a text with fields first, got ndarray"):
        debug.print(X)
    with pytest.raises(ArgumentError, match="has a field that no argument is given for"):
        debug.print("{} {}", X)
    with pytest.raises(ArgumentError, match="has a field that no argument is given for"):
        fg.jit(lambda x: debug.print("{y}", x=x))(1.0)
    with pytest.raises(ArgumentError, match=r"debug.callback takes a function, got float64"):
        debug.callback(np.float64(1.0))
