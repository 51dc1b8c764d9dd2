"""Plain NumPy programs under grad and jit: right, or an error of ours with the fix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import FungradError
from tests.numpy.corpus import CASES, Case


def projection(case: Case) -> Any:
    """A scalar function of the inputs: the result weighted by fixed random numbers."""
    shape = np.shape(case.function(*copies(case)))
    weights = np.random.default_rng(3).normal(size=shape)

    def scalar(*inputs: Any) -> Any:
        return np.sum(case.function(*inputs) * weights)

    return scalar


def copies(case: Case) -> list[Any]:
    return [x.copy() if isinstance(x, np.ndarray) else x for x in case.inputs]


def central_differences(f: Any, inputs: Any, position: int) -> Any:
    """The gradient along one input, fourth order, in float64."""
    x = np.array(inputs[position], np.float64)
    h = 1e-4

    def at(index: Any, offset: float) -> float:
        moved = x.copy()
        moved[index] += offset
        plain = [v.astype(np.float64) if isinstance(v, np.ndarray) else v for v in inputs]
        plain[position] = moved if x.ndim else float(moved)
        return float(f(*plain))

    slope = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        near, far = at(index, h) - at(index, -h), at(index, 2 * h) - at(index, -2 * h)
        slope[index] = (8 * near - far) / (12 * h)
    return slope


def assert_same(got: Any, expected: Any) -> None:
    assert not isinstance(got, fg.trace.Tracer)
    assert np.shape(got) == np.shape(expected)
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    tolerance = 1e-5 if np.asarray(expected).dtype == np.float32 else 1e-10
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_right_or_the_error_tells_the_fix(name: str) -> None:
    case = CASES[name]
    scalar = projection(case)
    floats = tuple(range(len(case.inputs)))
    if case.fix is not None:
        with pytest.raises(FungradError, match=case.fix):
            fg.grad(scalar, floats)(*copies(case))
        return
    value, _ = fg.vjp(case.function, *copies(case))
    assert_same(value, case.function(*copies(case)))
    with np.errstate(invalid="ignore"):
        gradients = fg.grad(scalar, floats)(*copies(case))
    single = any(getattr(x, "dtype", None) == np.float32 for x in case.inputs)
    for position, gradient in enumerate(gradients):
        expected = central_differences(scalar, copies(case), position)
        expected = np.where(np.isnan(expected), 0.0, expected)  # where the input itself is nan
        np.testing.assert_allclose(gradient, expected, rtol=1e-4 if single else 1e-6, atol=1e-4 if single else 1e-7)


@pytest.mark.parametrize("name", CASES)
def test_jit_is_right_or_the_error_tells_the_fix(name: str) -> None:
    case = CASES[name]
    if case.jit_fix is not None:
        with pytest.raises(FungradError, match=case.jit_fix):
            fg.jit(case.function)(*copies(case))
        return
    assert_same(fg.jit(case.function)(*copies(case)), case.function(*copies(case)))
    with np.errstate(invalid="ignore"):
        eager = fg.grad(projection(case))(*copies(case))
        compiled = fg.jit(fg.grad(projection(case)))(*copies(case))
    single = getattr(case.inputs[0], "dtype", None) == np.float32
    np.testing.assert_allclose(compiled, eager, rtol=1e-5 if single else 1e-9, atol=1e-5 if single else 1e-10)


def test_most_of_the_corpus_works() -> None:
    assert len(CASES) >= 70
    assert sum(case.fix is None for case in CASES.values()) >= 0.85 * len(CASES)
    assert sum(case.jit_fix is None for case in CASES.values()) >= 0.85 * len(CASES)
