"""Dtypes and shapes of results are NumPy's, on every pair of dtypes and Python numbers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fungrad as fg
from fungrad.errors import DtypeError, ShapeError, UnsupportedError
from fungrad.trace import Tracer

DTYPES = [
    np.bool_,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    np.uint64,
    np.float32,
    np.float64,
]
BINARY = [
    np.add, np.subtract, np.multiply, np.true_divide, np.floor_divide, np.remainder, np.fmod, np.power, np.maximum,
    np.minimum, np.fmax, np.arctan2, np.hypot, np.copysign, np.logaddexp, np.less, np.less_equal, np.equal,
    np.not_equal, np.greater, np.logical_and, np.logical_xor, np.bitwise_and, np.left_shift, np.float_power,
    np.heaviside, np.divmod,
]  # fmt: skip
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.eq, operator.and_, operator.or_, operator.xor,
]  # fmt: skip


def traced(x: Any) -> Any:
    """A function under which `f(traced x)` runs: the value enters as a traced constant."""

    def enter(one: Any) -> Any:
        return one.owner.constant(x) if isinstance(x, np.ndarray | np.generic) else x

    return enter


def run(f: Any, *operands: Any) -> Any:
    """f on tracers of the operands (Python numbers stay), and its plain values."""
    seen: list[Any] = []

    def inside(one: Any) -> Any:
        seen.append(f(*[traced(x)(one) for x in operands]))
        return one

    with np.errstate(all="ignore"):
        fg.grad(inside)(1.0)
    return [r.value if isinstance(r, Tracer) else r for r in (seen[0] if isinstance(seen[0], tuple) else (seen[0],))]


def agrees(f: Any, *operands: Any) -> None:
    """f gives NumPy's dtype, shape and values, or an error of ours where NumPy has one."""
    try:
        with np.errstate(all="ignore"):
            expected = f(*operands)
    except (TypeError, OverflowError, ValueError):
        with pytest.raises((DtypeError, ShapeError)):
            run(f, *operands)
        return
    expected = expected if isinstance(expected, tuple) else (expected,)
    if any(np.asarray(e).dtype == np.float16 for e in expected):
        with pytest.raises(DtypeError, match="float16"):
            run(f, *operands)
        return
    for got, wanted in zip(run(f, *operands), expected, strict=True):
        assert np.asarray(got).dtype == np.asarray(wanted).dtype
        assert np.shape(got) == np.shape(wanted)
        tolerance = 1e-5 if np.asarray(wanted).dtype == np.float32 else 1e-12
        np.testing.assert_allclose(got, wanted, rtol=tolerance)


@st.composite
def shapes(draw: Any) -> Any:
    return draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes


def filled(shape: Any, dtype: Any) -> Any:
    size = int(np.prod(shape))
    return (np.arange(1, size + 1) % 5 + 1).astype(dtype).reshape(shape)


@given(st.sampled_from(BINARY), st.sampled_from(DTYPES), st.sampled_from(DTYPES), shapes())
def test_two_arrays(ufunc: Any, first: Any, second: Any, pair: Any) -> None:
    agrees(ufunc, filled(pair[0], first), filled(pair[1], second))


@given(
    st.sampled_from([*BINARY, *OPERATORS]),
    st.sampled_from(DTYPES),
    st.sampled_from([True, 2, -1, 300, 2**40, 0.5]),
    st.booleans(),
)
def test_array_and_python_number(f: Any, dtype: Any, number: Any, first: bool) -> None:
    x = filled((3,), dtype)
    agrees(f, *((number, x) if first else (x, number)))


@given(st.sampled_from(OPERATORS), st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_operators_with_plain_arrays_and_scalars(f: Any, first: Any, second: Any) -> None:
    x, y = filled((2, 3), first), filled((3,), second)
    agrees(lambda a: f(a, y), x)
    agrees(lambda b: f(x, b), y)
    agrees(lambda b: f(x[0, 1], b), y)
    agrees(lambda b: f(b, y[0]), x)


@given(st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.sampled_from([True, 3, 0.5]))
def test_where_concatenate_clip(first: Any, second: Any, number: Any) -> None:
    x, y = filled((3,), first), filled((3,), second)
    agrees(lambda a, b: np.where(a > 2, a, b), x, y)
    agrees(lambda a: np.where(a > 2, a, number), x)
    agrees(lambda a, b: np.concatenate([a, b]), x, y)
    agrees(lambda a, b: np.stack([a, b]), x, y)
    agrees(lambda a, b: np.matmul(a, b), x, y)
    if not np.issubdtype(first, np.bool_) or not np.issubdtype(second, np.bool_):
        agrees(lambda a, b: np.clip(a, 2, b), x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reductions(dtype: Any) -> None:
    x = filled((2, 3), dtype)
    for f in (np.sum, np.prod, np.mean, np.max, np.min, np.any, np.cumsum, np.var, np.argmax, np.median, np.ptp):
        agrees(f, x)
        agrees(lambda a, f=f: f(a, axis=0), x)


@pytest.mark.parametrize("pair", [((2, 3), (2,)), ((4,), (3,)), ((2, 1, 3), (2, 2))])
def test_shapes_that_do_not_broadcast(pair: Any) -> None:
    x, y = (np.ones(shape) for shape in pair)
    with pytest.raises(ShapeError, match="axis") as caught:
        fg.grad(lambda t: np.sum(t + y))(x)
    assert str(pair[0]) in str(caught.value)
    assert str(pair[1]) in str(caught.value)


def test_python_numbers_stay_python_numbers() -> None:
    single = np.ones(2, np.float32)
    seen = []

    def f(x: Any) -> Any:
        y = 2 * x + 1
        seen.extend(
            [(y * single).dtype, (np.sin(x) * single).dtype, (-abs(x) * single).dtype, ((x > 0) * single).dtype]
        )
        return np.sum(y * single)

    assert fg.grad(f)(0.5).dtype == np.float64
    assert seen == [np.float32, np.float64, np.float32, np.float32]


def test_booleans_of_python_numbers_add_up() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append((x > 0) + (x < 1) + True)
        return x

    fg.grad(f)(0.5)
    assert seen[0].value == 3


@pytest.mark.parametrize(
    ("operand", "error"),
    [
        (np.ones(3, np.float16), DtypeError),
        (np.ones(3, np.complex128), DtypeError),
        (1j, DtypeError),
        (np.array([None, 1, 2]), DtypeError),
        (np.array(["a", "b", "c"]), DtypeError),
        (np.ma.masked_array([1.0, 2.0, 3.0]), UnsupportedError),
    ],
)
def test_operands_of_other_kinds(operand: Any, error: Any) -> None:
    with pytest.raises(error):
        fg.grad(lambda x: np.sum(x * operand))(np.ones(3))
    with pytest.raises(error):
        fg.grad(lambda x: np.sum(np.add(operand, x)))(np.ones(3))
