"""A float tracer never becomes a plain number or array; the error names the line and the replacement."""

from __future__ import annotations

import copy
import linecache
import math
import operator
from typing import Any

import numba
import numpy as np
import pytest
from scipy import special, stats

import fungrad as fg
from fungrad.errors import (
    ArgumentError,
    ConcretizationError,
    FungradError,
    MutationError,
    UnsupportedError,
)

X = np.array([0.5, -1.0, 2.0])


@numba.njit  # type: ignore[misc, unused-ignore]
def doubled(x: Any) -> Any:
    return 2 * x


def store(x: Any) -> None:
    buffer = np.zeros(3)
    buffer[0] = x[0]


def store_row(x: Any) -> None:
    buffer = np.zeros((2, 3))
    buffer[1] = x


def store_slice(x: Any) -> None:
    buffer = np.zeros(3)
    buffer[:2] = x[:2]


def add_to_buffer(x: Any) -> None:
    buffer = np.zeros(3)
    buffer += x


MISTAKES: list[tuple[Any, type[FungradError], str]] = [
    (lambda x: float(x[0]), ConcretizationError, r"float\(\)"),
    (lambda x: int(x[0]), ConcretizationError, r"int\(\)"),
    (lambda x: complex(x[0]), ConcretizationError, "complex"),
    (lambda x: [1, 2, 3][x[0]], ConcretizationError, "integer"),
    (lambda x: range(x[0]), ConcretizationError, "integer"),
    (lambda x: operator.index(x[0]), ConcretizationError, "integer"),
    (lambda x: math.sin(x[0]), ConcretizationError, r"write np\.sin"),
    (lambda x: 2 * math.exp(x[0] + 1), ConcretizationError, r"write np\.exp"),
    (lambda x: math.pow(x[0], 2), ConcretizationError, r"write np\.power"),
    (lambda x: np.asarray(x), ConcretizationError, "already is an array"),
    (lambda x: np.array(x), ConcretizationError, r"fungrad\.numpy\.array"),
    (lambda x: np.array([x[0], x[1]]), ConcretizationError, r"np\.stack"),
    (lambda x: np.array([[x[0], 1.0], [2.0, x[1]]]), ConcretizationError, r"fungrad\.numpy\.array"),
    (lambda x: np.ascontiguousarray(x), ConcretizationError, r"fungrad\.numpy\.array"),
    (lambda x: np.sum([x[0], x[1]]), ConcretizationError, r"fungrad\.numpy\.array"),
    (lambda x: np.full(3, x[0]), ConcretizationError, "np.full|float"),
    (lambda x: np.random.default_rng(0).normal(x[0]), ConcretizationError, "gradient"),
    (lambda x: x[0].item(), ConcretizationError, r"x\.reshape\(\(\)\)"),
    (lambda x: x.tolist(), ConcretizationError, r"list\(x\)"),
    (store, ConcretizationError, r"np\.zeros_like"),
    (store_row, ConcretizationError, r"np\.zeros_like"),
    (store_slice, ConcretizationError, r"np\.zeros_like"),
    (add_to_buffer, UnsupportedError, r"buffer = buffer \+ traced"),
    (lambda x: np.exp(x, out=np.zeros(3)), UnsupportedError, r"y = np\.exp"),
    (lambda x: np.sum(x, out=np.zeros(())), UnsupportedError, r"y = np\.sum"),
    (lambda x: x.cumsum(out=np.zeros(3)), UnsupportedError, r"y = np\.cumsum"),
    (lambda x: np.exp(x, where=x > 0), UnsupportedError, r"np\.where"),
    (lambda x: np.add(x, 1, dtype=np.float32), UnsupportedError, "astype"),
    (lambda x: np.add.at(x, [0], 1), MutationError, r"fungrad\.numpy\.at"),
    (lambda x: np.add.reduceat(x, [0, 1]), UnsupportedError, "reduceat"),
    (lambda x: np.subtract.reduce(x), UnsupportedError, "loop"),
    (lambda x: np.unique(x), UnsupportedError, "outside the traced function"),
    (lambda x: np.histogram(x), UnsupportedError, "np.histogram"),
    (lambda x: np.lexsort((x, x)), UnsupportedError, "argsort|sort"),
    (lambda x: np.linalg.eigvals(x[:, None] * x), UnsupportedError, r"np\.linalg\.eigvals"),
    (lambda x: np.fft.fft(x), UnsupportedError, r"np\.fft\.fft"),
    (lambda x: np.spacing(x), UnsupportedError, "spacing"),
    (lambda x: np.copyto(x, 1.0), UnsupportedError, r"x\[\.\.\.\] = y"),
    (lambda x: np.quantile(x, 0.5, method="hazen"), UnsupportedError, "hazen"),
    (lambda x: np.linalg.norm(x[:, None] * x, 3), ArgumentError, "ord must be"),
    (lambda x: x.view(np.int64), UnsupportedError, "view"),
    (lambda x: x.tobytes(), UnsupportedError, "tobytes"),
    (lambda x: 1 if x else 2, ArgumentError, r"np\.any"),
    (lambda x: len(x[0]), ArgumentError, "0-d"),
    (lambda x: list(x[0]), ArgumentError, "0-d"),
    (lambda x: {x: 1}, ConcretizationError, "cannot be a key of a dict .* static_argnames"),
    (lambda x: doubled(x), UnsupportedError, r"Numba function .*njit_primitive, or .*f\.py_func"),
    (lambda x: special.logsumexp(x), ConcretizationError, r"Use np\.logaddexp\.reduce in place of special\.logsumexp"),
    (lambda x: special.softmax(x), ConcretizationError, r"Use fungrad\.nn\.softmax in place of special\.softmax"),
    (lambda x: stats.norm.logpdf(x), ConcretizationError, r"in place of stats\.norm\.logpdf"),
    (lambda x: np.asarray(x), ConcretizationError, r"leave np\.asarray out, or use fungrad\.numpy\.asarray"),
    (lambda x: np.zeros(x), ConcretizationError, "would become a plain integer|static_argnames"),
    (lambda x: x + "a", TypeError, "unsupported operand"),
    (lambda x: x + None, TypeError, "unsupported operand"),
]


@pytest.mark.parametrize(("f", "error", "words"), MISTAKES)
def test_mistake_raises_and_names_line_and_replacement(f: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        fg.grad(lambda x: (f(x), x.sum())[1])(X)
    if issubclass(error, FungradError):
        assert "test_conversions.py:" in str(caught.value)
        assert "numpy-" not in str(caught.value)


@pytest.mark.parametrize(("f", "error", "words"), MISTAKES)
def test_mistake_raises_without_values_too(f: Any, error: Any, words: str) -> None:
    with pytest.raises((error, ConcretizationError)):
        fg.make_graph(lambda x: (f(x), x.sum())[1])(X)


def test_integers_of_known_value_convert() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        i = np.argmax(x)
        seen.extend(
            [int(i), "abc"[i], list(range(i)), float(i), bool(x[0] > 0), (x > 0).tolist(), np.asarray(x > 0), i.item()]
        )
        return x[i]

    fg.grad(f)(X)
    assert seen[:6] == [2, "c", [0, 1], 2.0, True, [True, False, True]]
    np.testing.assert_array_equal(seen[6], X > 0)
    assert seen[7] == 2


def test_integers_of_unknown_value_do_not() -> None:
    for f in (int, lambda i: "abc"[i], np.asarray, lambda i: np.eye(3)[i]):
        with pytest.raises(ConcretizationError, match="make_graph"):
            fg.make_graph(lambda x, f=f: f(np.argmax(x)))(X)


def test_a_tracer_prints_and_copies() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.extend([repr(x), f"{x[0]:.2f}", f"{x[0]}", str(x[1])])
        y = copy.deepcopy(x)
        y += 1
        return (x * copy.copy(y)).sum()

    np.testing.assert_allclose(fg.grad(f)(X), 2 * X + 1)
    assert seen == ["<traced f64[3]: [ 0.5 -1.   2. ]>", "0.50", "<traced f64[]: 0.5>", "<traced f64[]: -1.0>"]
    fg.make_graph(lambda x: seen.append(repr(x)) or x)(X)
    assert seen[-1] == "<traced f64[3] under make_graph>"


def test_numpy_arrays_and_scalars_on_the_left() -> None:
    def f(x: Any) -> Any:
        return (np.float64(2) * x + np.ones((2, 1)) / x - np.float32(1) ** x + np.ones((3, 3)) @ x).sum()

    step = 1e-6
    for i in range(3):
        e = np.eye(3)[i] * step
        np.testing.assert_allclose(fg.grad(f)(X)[i], (f(X + e) - f(X - e)) / (2 * step), rtol=1e-6)


def test_fungrad_numpy_builds_arrays_of_traced_values() -> None:
    def f(x: Any) -> Any:
        a = fg.numpy.array([[x[0], 1.0], [x[1] * x[2], 2]])
        b = fg.numpy.asarray([x, x * 2], dtype=np.float32)
        return a.sum() * b.sum() + fg.numpy.full((2,), x[0]).sum()

    plain = np.array([[X[0], 1.0], [X[1] * X[2], 2]]).sum() * 3 * X.sum() + 2 * X[0]
    np.testing.assert_allclose(fg.vjp(f, X)[0], plain, rtol=1e-6)
    assert isinstance(fg.numpy.array([1.0, 2.0]), np.ndarray)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, n: np.zeros(n) + x,
        lambda x, n: np.full(n, 1.0) + x,
        lambda x, n: np.arange(n) + x,
        lambda x, n: x[:n],
        lambda x, n: x if n > 2 else 2 * x,
        lambda x, n: x * float(n),
        lambda x, n: x * {3: 2.0}[n],
    ],
)
def test_an_argument_that_should_be_static_is_told_so(f: Any) -> None:
    with pytest.raises(ConcretizationError, match=r"at .*test_conversions.py:\d+: lambda x, n.* static_argnames"):
        fg.jit(f)(X, 3)
    fg.jit(f, static_argnames="n")(X, 3)


def test_a_compiled_function_inside_a_numba_function() -> None:
    kernel = fg.jit(lambda x: 2 * x)

    @numba.njit
    def f(x: Any) -> Any:
        return kernel(x)

    with pytest.raises((UnsupportedError, numba.TypingError), match=r"jit\(f\)\.dispatcher\(x\)"):
        f(X)


def test_long_lines_are_cut_in_errors() -> None:
    source = "f = lambda x: float(x[0])" + " + x[1]" * 1000
    namespace: dict[str, Any] = {}
    linecache.cache["long.py"] = (len(source), None, [source], "long.py")
    exec(compile(source, "long.py", "exec"), namespace)
    with pytest.raises(ConcretizationError) as caught:
        fg.grad(namespace["f"])(X)
    assert "long.py:1: f = lambda x: float(x[0]) + x[1]" in str(caught.value)
    assert len(str(caught.value)) < 500
