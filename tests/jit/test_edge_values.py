"""Every elementwise row in every dtype NumPy defines it for, on the values at the edges: compiled as NumPy.

Integers, booleans, nan-ness, infinities and the signs of zeros are exact; floats are within 2 ulp (`erfc` and `erfcx`:
8). One program holds all rows of a dtype, since compiling is what takes the time.
"""

import itertools

import mpmath
import numpy as np
import pytest

from fungrad.ir.types import array_type
from fungrad.jit.runtime import Compiled
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.trace import bind, trace
from tests.jit.vectormath_errors import BOUND, EXACT
from tests.support.programs import ALL_DTYPES, row_defined
from tests.support.ulps import ulp_distance

MAX_ULP = dict.fromkeys(ROWS, 2.0) | {row: 1 + bound for row, bound in BOUND.items()}
CHOOSING = frozenset(["maximum", "minimum", "fmax", "fmin", "clip"])
"""Of 0.0 and -0.0 these may return either; NumPy itself does, depending on the length of the array."""


def edges(dtype):
    """The values at the edges of a dtype."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        numbers = {0, 1, 2, 3, 5, 7, 100, info.max, info.max - 1, info.min, info.min + 1}
        numbers |= {-1, -2, -3, -7, -100} if dtype.kind == "i" else set()
        return np.array(sorted(numbers), dtype)
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.eps, 0.1, 0.5, 0.75, 1 - info.eps / 2, 1.0, 1 + info.eps]
    positive += [
        1.5,
        2.0,
        2.5,
        3.0,
        np.pi,
        7.3,
        20.0,
        88.0,
        100.0,
        700.0,
        1e5,
        2.0**31,
        2.0**63,
        1e30,
        info.max,
        np.inf,
    ]
    return np.array([*(-x for x in positive), *positive, np.nan], dtype)


def operands(arity, dtype):
    """All tuples of edge values; of triples a sample."""
    values = edges(dtype)
    if arity == 3:
        values = values[:: max(1, len(values) // 9)]
    return [np.ascontiguousarray(x.reshape(-1)) for x in np.meshgrid(*[values] * arity)]


def rows_of(dtype, arity):
    return [
        row
        for row in ROWS
        if len(ROWS[row].partials) == arity
        and row_defined(row, dtype)
        and not (row == "pow" and dtype.kind in "iu")  # NumPy refuses negative exponents
    ]


def disagreement(row, found, expected, given=()):
    """None, or how compiled and NumPy's values differ at worst: (ulps, position)."""
    if found.dtype.kind != "f":
        wrong = found != expected
        return (np.inf, int(np.argmax(wrong))) if wrong.any() else None
    apart = ulp_distance(found, expected)
    if row not in CHOOSING:
        apart = np.where((expected == 0) & (found == 0) & (np.signbit(found) != np.signbit(expected)), np.inf, apart)
    if row == "logaddexp":  # a sum that may cancel: ulps of the larger operand count
        with np.errstate(all="ignore"):
            scale = np.spacing(np.fmax(np.fmax(np.abs(given[0]), np.abs(given[1])), np.abs(expected)))
            apart = np.where(np.isfinite(scale), np.abs(found - expected) / scale, apart)
    worst = int(np.argmax(apart))
    return (float(apart[worst]), worst) if apart[worst] else None


INEXACT = ("erfc", "erfcx")  # SciPy's are off by hundreds of ulp


def exact(row, x):
    """By mpmath where it can be."""
    with np.errstate(all="ignore"), mpmath.workprec(250):
        values = ROWS[row].function(x)
        if x.dtype.kind == "f":
            for i in np.flatnonzero(np.abs(x) < 1e3):
                values[i] = EXACT[row](mpmath.mpf(float(x[i])))
    return values


def compare_rows(dtype, arity, rows):
    """The rows that disagree, each with its worst case."""
    arrays = operands(arity, dtype)
    types = [array_type(x.shape, x.dtype) for x in arrays]

    def all_rows(*xs):
        masks = [x != 0 if dtype.kind != "b" else x for x in xs[:1]]
        return [bind(ELEMENTWISE[r], *(masks if r == "select" else xs[:1]), *xs[1:]) for r in rows]

    graph, _ = trace(all_rows, types, purpose="jit")
    compiled = Compiled(graph)(arrays)
    found = {}
    for row, value in zip(rows, compiled, strict=True):
        given = [arrays[0].astype(bool) if row == "select" else arrays[0], *arrays[1:]]
        with np.errstate(all="ignore"):
            expected = exact(row, given[0]) if row in INEXACT else ROWS[row].function(*given)
        assert value.dtype == expected.dtype
        worst = disagreement(row, value, expected, given)
        if worst:
            at = worst[1]
            shown = ", ".join(str(x[at]) for x in given)
            found[row] = (worst[0], f"{row}({shown}) in {dtype}: compiled {value[at]}, NumPy {expected[at]}")
    return found


@pytest.mark.parametrize(("dtype", "arity"), list(itertools.product(ALL_DTYPES, (1, 2, 3))), ids=str)
def test_compiled_rows_at_the_edges(dtype, arity, record_property):
    rows = rows_of(dtype, arity)
    assert rows
    found = compare_rows(dtype, arity, rows)
    record_property("ulps", {row: worst for row, (worst, _) in found.items()})
    wrong = [text + f" ({worst:g} ulp)" for row, (worst, text) in found.items() if worst > MAX_ULP[row]]
    assert not wrong, "\n".join(["", *wrong])


def reference(row, given):
    """NumPy's result; of one argument in extended precision, since NumPy's own may be several ulp off (cbrt: 3)."""
    function = ROWS[row].function
    if row in INEXACT:
        return exact(row, given[0])
    with np.errstate(all="ignore"):
        if len(given) == 1 and isinstance(function, np.ufunc) and ROWS[row].result == "same":
            return function(given[0].astype(np.longdouble)).astype(given[0].dtype)
        return function(*given)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64)], ids=str)
@pytest.mark.parametrize("arity", [1, 2, 3])
def test_compiled_rows_on_ordinary_numbers(dtype, arity):
    """Many values over all magnitudes that functions are used for."""
    rng = np.random.default_rng(0)
    n = 4000
    scale = 10.0 ** rng.uniform(-6, 2.3, (arity, n))
    arrays = [x.astype(dtype) for x in rng.choice([-1.0, 1.0], (arity, n)) * scale * rng.uniform(0.5, 1, (arity, n))]
    wrong = []
    rows = rows_of(dtype, arity)
    graph, _ = trace(
        lambda *xs: [bind(ELEMENTWISE[r], *([xs[0] != 0] if r == "select" else xs[:1]), *xs[1:]) for r in rows],
        [array_type((n,), dtype)] * arity,
        purpose="jit",
    )
    for row, value in zip(rows, Compiled(graph)(arrays), strict=True):
        given = [arrays[0] != 0 if row == "select" else arrays[0], *arrays[1:]]
        expected = reference(row, given)
        worst = disagreement(row, value, expected, given)
        if worst:
            print(f"{row} {dtype}: worst {worst[0]:g} ulp")
            if worst[0] > MAX_ULP[row]:
                wrong.append(
                    f"{row}({', '.join(str(x[worst[1]]) for x in arrays)}) in {dtype}: {value[worst[1]]}, "
                    f"expected {expected[worst[1]]} ({worst[0]:g} ulp)"
                )
    assert not wrong, "\n".join(["", *wrong])


def representable(x, target):
    """Floats whose conversion to an integer dtype is defined by C; others differ between machines and loops."""
    if x.dtype.kind != "f" or target.kind not in "iu":
        return np.ones(x.shape, bool)
    info = np.iinfo(target)
    with np.errstate(invalid="ignore"):
        whole = np.trunc(x.astype(np.float64))
        return np.isfinite(x) & (whole >= float(info.min)) & (whole < float(info.max) + (target.itemsize < 8))


@pytest.mark.parametrize("source", ALL_DTYPES, ids=str)
def test_compiled_conversions(source):
    x = edges(source)
    graph, _ = trace(
        lambda x: [bind(Convert(target), x) for target in ALL_DTYPES], [array_type(x.shape, x.dtype)], purpose="jit"
    )
    for target, found in zip(ALL_DTYPES, Compiled(graph)([x]), strict=True):
        with np.errstate(all="ignore"):
            expected = x.astype(target)
        assert found.dtype == target
        ok = representable(x, target)
        if target.kind == "f":
            assert disagreement("convert", found, expected) is None, f"{source} to {target}"
        else:
            np.testing.assert_array_equal(found[ok], expected[ok], f"{source} to {target}")


@pytest.mark.parametrize("row", ["left_shift", "right_shift"])
def test_shifts_are_compiled(row):
    """Their values at the edges are checked above; here, that it is not NumPy that computes them."""
    types = [array_type((3,), np.dtype(np.int64))] * 2
    graph, _ = trace(lambda x, y: bind(ELEMENTWISE[row], x, y), types, purpose="jit")
    assert not Compiled(graph).program.hosts
