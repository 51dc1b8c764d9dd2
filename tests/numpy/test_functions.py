"""Every function in the table against NumPy: value, shape and dtype on plain arrays, gradient by finite differences."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fungrad as fg
from fungrad.numpy import ufuncs
from fungrad.numpy.registry import FUNCTIONS
from fungrad.trace import Tracer
from tests.numpy.expressions import EXPRESSIONS, INPUTS
from tests.numpy.test_corpus import central_differences


def evaluate(expression: str, values: dict[str, Any]) -> Any:
    return eval(expression, {"np": np}, values)


def float_inputs(expression: str) -> list[str]:
    return [n for n in INPUTS if re.search(rf"\b{n}\b(?!=)", expression) and INPUTS[n].dtype.kind == "f"]


@pytest.mark.parametrize("expression", list(filter(float_inputs, EXPRESSIONS)))
def test_function_equals_numpy(expression: str) -> None:
    names = float_inputs(expression)
    expected = evaluate(expression, dict(INPUTS))
    weights = np.random.default_rng(5).normal(size=np.shape(expected))
    seen: list[Any] = []

    def scalar(*xs: Any) -> Any:
        out = evaluate(expression, {**INPUTS, **dict(zip(names, xs, strict=True))})
        seen.append(out)
        return np.sum(out * weights) if isinstance(out, np.ndarray | np.generic | Tracer) else xs[0].sum()

    with np.errstate(invalid="ignore"):
        _, pullback = fg.vjp(scalar, *[INPUTS[n] for n in names])
        gradients = pullback(np.float64(1))
    out = seen[0]
    got = out.value if isinstance(out, Tracer) else out
    assert np.shape(got) == np.shape(expected)
    if isinstance(out, Tracer):
        assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    if not isinstance(out, Tracer) or out.dtype == np.float32:
        return
    for position, gradient in enumerate(gradients):
        slope = central_differences(scalar, [INPUTS[n] for n in names], position)
        slope = np.where(np.isnan(slope), 0.0, slope)
        np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


INTEGER_EXPRESSIONS = [e for e in EXPRESSIONS if re.search(r"\bk\b", e)]


@pytest.mark.parametrize("expression", INTEGER_EXPRESSIONS)
def test_function_of_integers_equals_numpy(expression: str) -> None:
    seen: list[Any] = []

    def scalar(one: Any) -> Any:
        seen.append(evaluate(expression, {**INPUTS, "k": INPUTS["k"] + (one > 5)}))  # a traced integer array
        return one

    fg.grad(scalar)(1.0)
    expected = evaluate(expression, dict(INPUTS))
    got = seen[0].value if isinstance(seen[0], Tracer) else seen[0]
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got, expected)


def test_every_function_of_the_table_has_an_example() -> None:
    text = "\n".join(EXPRESSIONS)
    names = {("linalg." if "linalg" in f.__module__ else "") + f.__name__ for f in FUNCTIONS}
    assert not [
        name for name in sorted(names) if not re.search(rf"np\.(lib\.stride_tricks\.)?{re.escape(name)}\(", text)
    ]


def test_exports_are_the_functions_that_can_be_traced() -> None:
    tables = {id(f) for table in (FUNCTIONS, ufuncs.ROW_OF, ufuncs.COMPOSITES) for f in table}
    expected = {name for name in dir(np) if not name.startswith("_") and id(getattr(np, name)) in tables}
    tables |= {id(fg.numpy.take)}  # ours, since NumPy's does not ask us where only the indices are traced
    exported = {name for name in dir(fg.numpy) if id(getattr(fg.numpy, name)) in tables}
    assert exported == expected


UFUNCS = sorted(
    {f for f in [*ufuncs.ROW_OF, *ufuncs.COMPOSITES] if f.nin <= 2 and f.signature is None}, key=lambda f: f.__name__
)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_ufunc_equals_numpy(ufunc: Any, dtype: Any) -> None:
    base = np.array([0.25, 0.5, 0.75]) if dtype != np.int64 else np.array([1, 2, 3])
    arguments = [base.astype(dtype), base[::-1].astype(dtype)][: ufunc.nin]
    try:
        with np.errstate(all="ignore"):
            expected: Any = ufunc(*arguments)
    except TypeError:
        expected = None
    seen: list[Any] = []

    def traced(one: Any) -> Any:
        like = (np.zeros(3) * one).astype(dtype)
        xs = [np.where(like == 0, a, a) for a in arguments]
        with np.errstate(all="ignore"):
            seen.append(ufunc(*xs))
        return one

    if expected is None or np.asarray(expected[0] if ufunc.nout > 1 else expected).dtype == np.float16:
        with pytest.raises(fg.errors.DtypeError):
            fg.grad(traced)(1.0)
        return
    fg.grad(traced)(1.0)
    for got, wanted in zip(*[(r if ufunc.nout > 1 else (r,)) for r in (seen[0], expected)], strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got.value, wanted, rtol=1e-6 if wanted.dtype == np.float32 else 1e-13)


NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda a, v: np.searchsorted(a, v), ([1.0, 2.0, NAN], [-1.0, 1.5, 3.0, NAN])),
        (lambda a, v: np.searchsorted(a, v, "right"), ([1.0, 2.0, NAN, NAN], [-1.0, 2.0, 3.0, NAN])),
        (lambda x: np.fmod(x, INF), ([INF, -INF, 1.0, -0.0, NAN],)),
        (lambda x: np.remainder(x, INF), ([INF, -INF, 1.0, 0.0, NAN],)),
        (lambda x: np.gradient(x), ([0.0, 1e17, 1.0, 5.0],)),
        (lambda x: np.gradient(x, 0.5), ([0.0, INF, 1.0, 5.0, 2.0],)),
        (lambda x: np.gradient(x, np.array([0.0, 0.5, 1.0, 1.5])), ([0.0, 1e17, 1.0, 5.0],)),
        (lambda x: np.quantile(x, [0.1, 0.3, 0.5, 0.9]), ([-INF, 1.0, 2.0, 3.0],)),
        (lambda x: np.quantile(x, 0.9), ([1.0, 2.0, INF],)),
    ],
)
def test_extreme_values_are_numpys(f, args):
    arrays = [np.array(x) for x in args]
    with np.errstate(invalid="ignore"):
        expected = f(*arrays)
    np.testing.assert_array_equal(fg.jit(f)(*arrays), expected)


BIG = 2**53 + 1


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.mean(x, dtype=np.int64), np.array([1.5, 2.5])),
        (lambda x: np.mean(x, dtype=np.float64), np.array([1.5, 2.5], np.float32)),
        (lambda x: np.vander(x, 4), np.array([100, 7], np.int8)),
        (lambda x: np.vander(x, 3), np.array([True, False])),
        (lambda x: np.vander(x, 3), np.array([0.5, 2.0], np.float32)),
        (lambda x: np.round(x, -1), np.array([2**60 + 8, 15, 25, -15])),
        (lambda x: np.round(x, -1), np.array([15, 25, -15], np.int8)),
        (lambda x: np.quantile(x, 0.5, method="lower"), np.array([1, BIG, 2**60])),
        (lambda x: np.quantile(x, [0.2, 0.8], method="higher"), np.array([1, BIG, 2**60])),
        (lambda x: np.quantile(x, 0.3, method="lower"), np.array([1.0, np.inf, 3.0])),
        (lambda x: np.quantile(x, 0.3, method="higher"), np.array([1.0, np.nan, 3.0])),
        (np.gradient, np.array([1.0, 2.5, 5.0], np.float32)),
        (lambda x: np.gradient(x, 0.5), np.array([1, 3, 4, 8])),
        (lambda x: np.cov(x), np.array([[1.0, 2.0, 4.0], [2.0, 1.0, 0.5]], np.float32)),
        (np.logaddexp.reduce, np.array([3])),
        (np.logaddexp.accumulate, np.array([3, 3])),
        (lambda x: np.max(x, initial=2), np.array([True, False])),
        (lambda x: np.insert(x, 0, 2), np.array([5, 6], np.uint32)),
        (lambda x: np.insert(x, 1, 2.7), np.array([5, 6])),
        (lambda x: np.insert(x, [0, 0], [2, 3]), np.zeros(0)),
        (lambda x: np.insert(x, 0, 2, axis=1), np.zeros((2, 0))),
        (lambda x: np.isclose(x, ~x), np.array([True, False])),
        (lambda x: np.clip(x, -1, 300), np.array([1, 200], np.uint8)),
        (lambda x: np.clip(x, 5, 300), np.array([1, 200], np.uint8)),
        (lambda x: np.clip(x, -1, 100), np.array([1, 200], np.uint8)),
        (lambda x: np.median(x, axis=1, keepdims=True), np.zeros((2, 0))),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_and_dtypes_are_numpys(f, x):
    expected = f(x)
    for found in (fg.jit(f)(x), fg.vmap(f)(x[None])[0]):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ldexp_is_numpys(dtype):
    rng, limits = np.random.default_rng(0), np.finfo(dtype)
    with np.errstate(all="ignore"):
        x = np.ldexp(rng.normal(size=5000), rng.integers(limits.minexp - limits.nmant, limits.maxexp, 5000)).astype(
            dtype
        )
        x[:6] = [0.0, -0.0, np.inf, -np.inf, np.nan, limits.smallest_subnormal]
        n = rng.integers(3 * limits.minexp, 3 * limits.maxexp, 5000).astype(np.int32)
        for k in (n, n // 3, n // 10, (n // 20).astype(np.int8)):
            np.testing.assert_array_equal(fg.jit(np.ldexp)(x, k), np.ldexp(x, k))
