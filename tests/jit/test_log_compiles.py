"""What the log says of each compilation, and why it says it happened."""

import functools
import logging
import re

import numpy as np
import pytest

import fungrad as fg
from fungrad import tree

X = np.ones(3)


@pytest.fixture
def said(caplog):
    """A function that runs another and returns the reasons of the compilations it logged."""

    def run(f):
        caplog.clear()
        with fg.log_compiles():
            f()
        return [record.getMessage().rpartition("): ")[2] for record in caplog.records]

    return run


def test_message(caplog, monkeypatch):
    monkeypatch.setenv("FUNGRAD_CACHE", "0")

    def scaled(x, params):
        return x * params["a"]

    f = fg.jit(scaled)
    with fg.log_compiles():
        f(X, {"a": 2.0})
        f(X, {"a": 3.0})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fungrad", "WARNING")
    pattern = (
        r"compiled scaled \(test_log_compiles\.py:\d+\) for \(x: f64\[3\], params_a: f64\[\]\) in [\d.]+ ms "
        r"\(tracing [\d.]+, passes [\d.]+, lowering [\d.]+, cache look-up [\d.]+, writing LLVM [\d.]+, LLVM [\d.]+, "
        r"linking [\d.]+\): first call"
    )
    assert re.fullmatch(pattern, record.getMessage()), record.getMessage()


def test_what_comes_from_the_cache_says_so(caplog):
    number = float(np.random.default_rng().normal())

    def compile_it():
        fg.jit(lambda x: x * number)(X)

    with fg.log_compiles():
        compile_it()
        compile_it()
    first, second = [record.getMessage() for record in caplog.records]
    assert first.startswith("compiled <lambda>")
    assert second.startswith("found in the disk cache <lambda>")


def test_many_arguments_are_not_all_shown(caplog):
    with fg.log_compiles():
        fg.jit(lambda *xs: sum(xs))(*[X] * 20)
    assert "xs_5: f64[3], and 14 more)" in caplog.records[0].getMessage()


def test_new_types(said):
    f = fg.jit(lambda x: x + 1)
    assert said(lambda: f(np.ones(3))) == ["first call"]
    assert said(lambda: f(np.ones(3))) == []
    assert said(lambda: f(np.ones(4))) == ["new shape of x: f64[3] -> f64[4]"]
    assert said(lambda: f(np.ones(4, np.float32))) == ["new dtype of x: f64[4] -> f32[4]"]
    assert said(lambda: f(np.ones((2, 2), np.int64))) == [
        "new shape of x: f32[4] -> i64[2,2]; new dtype of x: f32[4] -> i64[2,2]"
    ]
    assert said(lambda: f(np.float64(1))) == ["new shape of x: f64[4] -> f64[]"], "the nearest, not the last"
    assert said(lambda: f(1.0)) == ["new kind of x: an array -> a Python number"]


def test_new_structures_and_arguments(said):
    f = fg.jit(lambda p, y=0.0: sum(tree.leaves(p)) + y)
    assert said(lambda: f({"a": X, "b": (X, X)})) == ["first call"]
    assert said(lambda: f({"a": X, "b": (X, np.ones((1, 3)))})) == ["new shape of p['b'][1]: f64[3] -> f64[1,3]"]
    assert said(lambda: f({"a": X})) == ["new tree structure of p: {'a': *, 'b': (*, *)} -> {'a': *}"]
    assert said(lambda: f({"a": X}, 2.0)) == ["new arguments: 1 by position -> 2 by position"]
    assert said(lambda: f({"a": X}, y=2.0)) == ["new arguments: 2 by position -> 1 by position, y"]


def test_several_differences(said):
    f = fg.jit(lambda *xs: [x + 1 for x in xs])
    f(*[np.ones(2)] * 5)
    assert said(lambda: f(*[np.ones(3)] * 5)) == [
        "new shape of xs[0]: f64[2] -> f64[3]; new shape of xs[1]: f64[2] -> f64[3]; "
        "new shape of xs[2]: f64[2] -> f64[3]; and 2 more"
    ]


def test_new_static_values(said):
    f = fg.jit(lambda x, n=1: x * n, static_argnames="n")
    assert said(lambda: f(X)) == ["first call"]
    assert said(lambda: f(X, n=2)) == ["new value of static argument n: the default -> 2"]
    assert said(lambda: f(X, n=3)) == ["new value of static argument n: 2 -> 3"]
    assert said(lambda: f(X, n=3.0)) == ["new value of static argument n: 3 -> 3.0"]
    g = fg.jit(lambda n, x: x * n, static_argnums=0)
    g(1, X)
    assert said(lambda: g(2, X)) == ["new value of static argument 0: 1 -> 2"]


AGAIN = "jit was applied to this function again; keep what it returned, which knows what is compiled"
ANOTHER = (
    "another function object of code that was compiled before; if it computes the same, make it and its jit once, "
    "outside the loop"
)


def test_functions_made_in_a_loop(said):
    def loop():
        for c in range(3):
            fg.jit(lambda x: x * c)(X)  # noqa: B023

    assert said(loop) == ["first call", ANOTHER, ANOTHER]


def test_jit_applied_in_a_loop(said):
    def f(x):
        return x + 3

    def loop():
        for _ in range(2):
            fg.jit(f)(X)

    assert said(loop) == ["first call", AGAIN]


def test_gradients_made_in_a_loop(said):
    def f(x, y):
        return np.sum(x * y)

    def loop():
        for _ in range(2):
            fg.jit(fg.grad(f))(X, X)

    assert said(loop) == ["first call", ANOTHER]
    assert said(lambda: fg.jit(f)(X, X)) == ["first call"], "the function itself is other code"
    assert said(lambda: fg.jit(fg.grad(f, 1))(X, X)) == ["first call"], "so is the gradient of another argument"
    assert said(lambda: fg.jit(fg.grad(lambda x: np.sum(x * x)))(X)) == ["first call"]


def test_methods_and_callable_objects(said):
    class Model:
        def __call__(self, x):
            return x * 2

        def apply(self, x):
            return x * 3

    for make in (Model, lambda: Model().apply):
        assert said(lambda make=make: fg.jit(make())(X)) == ["first call"]
        assert said(lambda make=make: fg.jit(make())(X)) == [ANOTHER]
    assert said(lambda: fg.jit(functools.partial(Model().apply))(X)) == ["first call"]
    assert said(lambda: fg.jit(np.arctan)(X)) == ["first call"]
    assert said(lambda: fg.jit(np.arctan)(X)) == [AGAIN]


def test_derivatives_of_compiled_functions(said):
    f = fg.jit(lambda x: np.sum(x**3))
    derived = "first use of this derivative or batch of a compiled function"
    assert said(lambda: fg.grad(f)(X)) == ["first call", derived]
    assert said(lambda: fg.grad(f)(X)) == []
    assert said(lambda: fg.vmap(f)(np.ones((2, 3)))) == [derived]


def test_the_switch(caplog):
    def compile_something(n):
        caplog.clear()
        fg.jit(lambda x: x + n)(X)
        return len(caplog.records)

    assert compile_something(0.1) == 0
    assert repr(fg.log_compiles()) == "<log_compiles: on>"
    try:
        assert compile_something(0.2) == 1
        with fg.log_compiles(False):
            assert compile_something(0.3) == 0
            with fg.log_compiles():
                assert compile_something(0.4) == 1
            assert compile_something(0.5) == 0
        assert compile_something(0.6) == 1
    finally:
        fg.log_compiles(False)
    assert compile_something(0.7) == 0
    with caplog.at_level(logging.DEBUG, logger="fungrad"):
        assert compile_something(0.8) == 1
        assert caplog.records[0].levelname == "DEBUG"
