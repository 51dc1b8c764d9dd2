"""Compiled elementary functions: error bounds against mpmath, edges as NumPy's, and that they vectorise."""

import re

import numpy as np
import pytest

from fungrad.ir.types import array_type
from fungrad.jit.emit_llvm import emit_module
from fungrad.jit.machine_code import assembly_of
from fungrad.jit.runtime import Compiled
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.trace import bind, trace
from tests.jit.vectormath_errors import BOUND, DOMAIN, EXACT, compiled, largest_error

NOT_LONGER = ("erf", "erfc", "erfcx")  # SciPy has them in double precision at most
BLOCK = 2**16  # float32 arguments at a time: what they are compared by stays in a cache
HARD = {"tan": (-0.763550325225854, 0.7684320426270367)}  # where few of millions of points were off by more
DIVIDING = ("fmod", "remainder", "floor_divide")
UNARY = [row for row in FUNCTIONS if len(ROWS[row].partials) == 1]
BINARY = [row for row in FUNCTIONS if len(ROWS[row].partials) == 2]


def test_every_function_has_an_oracle():
    assert set(EXACT) == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", FUNCTIONS)
def test_error_bound(row, dtype):
    worst, place = largest_error(row, dtype, 1000, seed=1)
    assert worst <= BOUND[row], f"{row}({place!r}) is off by {worst} ulp"


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 2.0**-60, reason="no extended precision on this platform")
@pytest.mark.parametrize("row", [row for row in FUNCTIONS if row not in NOT_LONGER])
def test_error_bound_at_many_points(row):
    """Against NumPy in extended precision, which is faster than mpmath."""
    rng = np.random.default_rng(2)
    x = np.concatenate([*(rng.uniform(-w, w, 100_000) for w in (0.1, 1.2, 3.0, 40.0)), HARD.get(row, ())])
    low, high = DOMAIN.get(row, (-np.inf, np.inf))
    x = x[(low < x) & (x < high)]
    args = [x] if row in UNARY else [np.abs(x), rng.permutation(x)]
    precise = [a.astype(np.longdouble) for a in args]
    with np.errstate(all="ignore"):
        exact = 1 / (1 + np.exp(-precise[0])) if row == "logistic" else ROWS[row].function(*precise)
        error = np.abs(compiled(row)(*args) - exact) / np.spacing(np.abs(exact.astype(np.float64)))
    assert np.nanmax(error) <= BOUND[row]


def edges(dtype):
    limits = np.finfo(dtype)
    near = [float(f) * s for f in (limits.tiny, limits.smallest_subnormal, limits.eps) for s in (1, -1, 2, -2)]
    overflow = [88.5, 88.72, 88.8, 89, 103, 104, 127.5, 128, 149, 150]
    overflow += [709.7, 709.79, 710, 710.4, 710.5, 745, 746, 1074, 1075]
    values = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, float(limits.max), -float(limits.max)]
    nans = np.random.default_rng(0).integers(1, 1 << limits.nmant, 16) | limits.maxexp * 2 - 1 << limits.nmant
    nans = nans.astype(f"u{limits.bits // 8}").view(dtype)  # with any bits that a nan may have
    return np.concatenate([np.array([*values, *near, *overflow, *[-e for e in overflow]], dtype), nans])


@pytest.mark.parametrize("moderate", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", FUNCTIONS)
def test_edges(row, dtype, moderate):
    x = edges(dtype)
    if moderate:
        x = x[~(np.abs(x) > 1e4)]  # nan stays
    args = [x] if row in UNARY else [a.ravel().copy() for a in np.meshgrid(x, x)]
    wide = np.longdouble if dtype == np.float64 and row not in NOT_LONGER else np.float64
    with np.errstate(all="ignore"):
        expected = ROWS[row].function(*(a.astype(wide) for a in args)).astype(dtype)
    got = compiled(row)(*args)
    same = (got == expected) & (np.signbit(got) == np.signbit(expected)) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(all="ignore"):
        near_enough = np.abs(got - expected) <= BOUND[row] * np.spacing(np.abs(expected))
    wrong = ~(same | near_enough)
    assert not wrong.any(), [tuple(v[wrong][:5] for v in (*args, got, expected))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", DIVIDING)
@pytest.mark.parametrize("spread", [0.5, 5.0, 40.0])
def test_remainders_are_exact(row, dtype, spread):
    rng = np.random.default_rng(0)
    x, y = (rng.choice([-1, 1], 5000) * np.exp(rng.normal(size=5000) * spread) for _ in range(2))
    x[:2000] = np.round(x[:2000]) * np.round(y[:2000])  # whole quotients
    with np.errstate(all="ignore"):
        x, y = x.astype(dtype), y.astype(dtype)
        expected = ROWS[row].function(x, y)
    np.testing.assert_array_equal(compiled(row)(x, y), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", [*FUNCTIONS, *DIVIDING])
def test_the_loop_is_vectorised(row, dtype):
    """Arithmetic of the function is on whole registers, never on single numbers."""
    type = array_type((1000,), np.dtype(dtype))
    graph, _ = trace(lambda *xs: [bind(ELEMENTWISE[row], *xs)], [type] * len(ROWS[row].partials), purpose="jit")
    text, _ = emit_module(Compiled(graph).program)
    assembly = assembly_of(text)
    kind = "s" if dtype == np.float32 else "d"
    assert len(re.findall(rf"vf\w+p{kind}\s.*%[yz]mm", assembly)) >= (1 if row in DIVIDING else 3)
    assert not re.search(rf"vf\w+s{kind}\s", assembly)


def random_bits(rng, count):
    return rng.integers(0, 2**32, count, dtype=np.uint32).view(np.float32)


def check_float32(row, f, args):
    """Values of a compiled row against NumPy in double precision."""
    found = f(*args)
    with np.errstate(all="ignore"):
        exact = ROWS[row].function(*(x.astype(np.float64) for x in args))
        rounded = exact.astype(np.float32)
        error = np.abs(found.astype(np.float64) - exact) / np.spacing(np.abs(rounded)).astype(np.float64)
    odd = ~np.isfinite(rounded)
    np.testing.assert_array_equal(found[odd], rounded[odd])
    assert np.all(error[~odd] <= BOUND[row]), (
        row,
        float(error[~odd].max()),
        [x[~odd][error[~odd].argmax()] for x in args],
    )


@pytest.mark.fuzz
@pytest.mark.parametrize("row", UNARY)
def test_every_float32(row):
    """All 2**32 arguments, against NumPy in double precision (about two minutes a function)."""
    f = compiled(row)
    for start in range(0, 2**32, BLOCK):
        check_float32(row, f, [np.arange(start, start + BLOCK, dtype=np.uint32).view(np.float32)])


@pytest.mark.fuzz
@pytest.mark.parametrize("row", BINARY)
def test_many_float32_pairs(row):
    """Random bits, and magnitudes close to each other, where results are neither 0 nor infinite."""
    f, rng = compiled(row), np.random.default_rng(0)
    for _ in range(2**27 // BLOCK):
        x, y = random_bits(rng, BLOCK), random_bits(rng, BLOCK)
        check_float32(row, f, [x, y])
        with np.errstate(all="ignore"):
            near = np.exp(rng.normal(size=BLOCK) * 20).astype(np.float32)
            other = rng.normal(size=BLOCK) * (90 / np.log(near.astype(np.float64)) if row == "pow" else near)
            other = other.astype(np.float32)
        check_float32(row, f, [near, other])
