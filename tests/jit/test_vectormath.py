"""Compiled exponentials and logarithms: error bounds against mpmath, edges as NumPy's, and that they vectorise."""

import numpy as np
import pytest

from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ROWS
from tests.jit.vectormath_errors import EXACT, compiled, error_in_ulp, points

BOUND = 1.0  # ulp


def test_every_function_has_an_oracle():
    assert set(EXACT) == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", FUNCTIONS)
def test_error_bound(row, dtype):
    x = points(row, dtype, 1000, seed=1)
    worst, place = error_in_ulp(row, x, compiled(row)(x))
    assert worst <= BOUND, f"{row}({place!r}) is off by {worst} ulp"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", FUNCTIONS)
def test_edges(row, dtype):
    limits = np.finfo(dtype)
    near = [float(f) * s for f in (limits.tiny, limits.smallest_subnormal, limits.eps) for s in (1, -1, 2, -2)]
    exponents = [
        88.5,
        88.72,
        88.8,
        89,
        103,
        104,
        709.7,
        709.79,
        710,
        710.4,
        710.5,
        745,
        746,
        1074,
        1075,
        127.5,
        128,
        149,
        150,
    ]
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, float(limits.max), -float(limits.max)]
    x = np.array([*values, *near, *exponents, *[-e for e in exponents]], dtype)
    with np.errstate(all="ignore"):
        expected = (
            ROWS[row].function(x.astype(np.longdouble) if dtype == np.float64 else x.astype(np.float64)).astype(dtype)
        )
    got = compiled(row)(x)
    same = (got == expected) & (np.signbit(got) == np.signbit(expected)) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(all="ignore"):
        near_enough = np.abs(got - expected) <= BOUND * np.spacing(np.abs(expected))
    assert np.all(same | near_enough), [(a, b, c) for a, b, c in zip(x, got, expected, strict=True) if b != c]


@pytest.mark.fuzz
@pytest.mark.parametrize("row", FUNCTIONS)
def test_every_float32(row):
    """All 2**32 arguments, against NumPy in double precision (a few minutes a function)."""
    f = compiled(row)
    for start in range(0, 2**32, 2**24):
        x = np.arange(start, start + 2**24, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            exact = ROWS[row].function(x.astype(np.float64))
            rounded = exact.astype(np.float32)
            error = np.abs(f(x) - exact) / np.spacing(np.abs(rounded)).astype(np.float64)
        odd = ~np.isfinite(rounded)
        np.testing.assert_array_equal(f(x)[odd], rounded[odd])
        assert np.all(error[~odd] <= BOUND)
