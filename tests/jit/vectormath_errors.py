"""The error of compiled functions in ulp against mpmath; as a program it writes the table of docs/vectormath.md.

python -m tests.jit.vectormath_errors --write
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np

import fungrad as fg
from fungrad.jit.assumptions import ASSUMING
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.trace import bind

PAGE = Path(__file__).parent.parent.parent / "docs" / "vectormath.md"


def _inverse_series(x: Any) -> Any:
    """erfcx of a large number, to more than 70 digits."""
    terms = [mpmath.mpf(1)]
    for k in range(1, 20):
        terms.append(-terms[-1] * (2 * k - 1) / (2 * x * x))
    return sum(terms) / (x * mpmath.sqrt(mpmath.pi))


EXACT: dict[str, Callable[..., Any]] = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expm1": mpmath.expm1,
    "tanh": mpmath.tanh,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "log": mpmath.log,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": lambda x: mpmath.log(x) / mpmath.log(10),
    "log1p": mpmath.log1p,
    "arcsinh": mpmath.asinh,
    "arccosh": mpmath.acosh,
    "arctanh": mpmath.atanh,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "arcsin": mpmath.asin,
    "arccos": mpmath.acos,
    "arctan": mpmath.atan,
    "arctan2": mpmath.atan2,
    "erf": mpmath.erf,
    "erfc": lambda x: mpmath.erfc(x) if x < 1e3 else mpmath.mpf(0),
    "erfcx": lambda x: mpmath.exp(x * x) * mpmath.erfc(x) if x < 1e3 else _inverse_series(x),
    "pow": mpmath.power,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "hypot": lambda x, y: mpmath.sqrt(x * x + y * y),
}
BOUND = dict.fromkeys(FUNCTIONS, 1.0) | {"erfc": 7.0, "erfcx": 7.0}  # ulp
DOMAIN: dict[str, tuple[float, float]] = {  # of those that are not defined everywhere, bounds included
    "log": (0, np.inf),
    "log2": (0, np.inf),
    "log10": (0, np.inf),
    "log1p": (-1, np.inf),
    "arccosh": (1, np.inf),
    "arctanh": (-1, 1),
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
}


def compiled(row: str) -> Callable[..., Any]:
    """A row of the elementwise table, compiled."""
    return fg.jit(lambda *args: bind(ELEMENTWISE[row], *args))


def points(row: str, dtype: Any, count: int, seed: int = 0) -> tuple[Any, ...]:
    """Arguments across the range of a function, dense where its formula changes."""
    rng = np.random.default_rng(seed)
    limit = 88.0 if dtype == np.float32 else 709.0
    spread = [rng.uniform(-limit, limit, count), rng.uniform(-3, 3, count), rng.normal(size=count) / 2]
    spread += [rng.normal(size=count) * 1e-4, rng.normal(size=count) * np.exp(rng.uniform(-limit / 2, 0, count))]
    x = np.concatenate(spread)
    wide = np.exp(rng.uniform(-limit, limit, len(x)))  # of any magnitude
    sign = rng.choice([-1.0, 1.0], len(x))
    if row in ("hypot", "arctan2"):
        near = rng.integers(0, 2, len(x)) == 0
        with np.errstate(over="ignore"):
            other = np.where(near, wide * np.exp(3 * x / limit), wide[::-1]).astype(dtype)
            return (sign * wide).astype(dtype), other
    if row == "pow":
        base = np.where(np.abs(x) < 3, np.abs(1 + x / 8), wide)
        with np.errstate(all="ignore"):
            exponent = rng.uniform(-1.05, 1.05, len(x)) * limit / np.log(base.astype(dtype).astype(np.float64))
        return base.astype(dtype), np.where(np.isfinite(exponent), exponent, 2.5).astype(dtype)
    if row in ("sin", "cos", "tan"):
        turns = np.round(x) * np.pi / 2  # next to the zeros
        x = np.concatenate([x, turns, np.exp(x[np.abs(x) < limit]), 1e12 * x])
    elif row in ("cbrt", "arcsinh", "arctan", "arccosh", "log1p", "log", "log2", "log10"):
        x = np.concatenate([x, sign * wide, 1 + x[np.abs(x) < 3], 1 + wide[wide < 1]])
    elif row in ("erfc", "erfcx"):
        x = np.concatenate([x, x[np.abs(x) < limit / 2] * (10 if dtype == np.float32 else 27) / (limit / 2), wide])
    elif row in ("arcsin", "arccos", "arctanh"):
        x = np.concatenate([x, 1 - wide[wide < 1], wide[wide < 1] - 1])
    x = x.astype(dtype)
    low, high = DOMAIN.get(row, (-np.inf, np.inf))
    return (x[(low <= x) & (x <= high) & ((x != low) | (low == 1))],)


def largest_error(row: str, dtype: Any, count: int, seed: int = 0) -> tuple[float, Any]:
    """The largest error of the compiled row, and where; of both versions of its loop, if it has two."""
    args, f = points(row, dtype, count, seed), compiled(row)
    parts = [args]
    if row in ASSUMING:
        ordinary = np.abs(args[0]) < 1e5
        parts = [tuple(x[ordinary] for x in args), args]
    with np.errstate(all="ignore"):
        return max((error_in_ulp(row, part, f(*part)) for part in parts), key=lambda found: found[0])


def error_in_ulp(row: str, args: tuple[Any, ...], y: Any) -> tuple[float, Any]:
    """The largest error of y = row(*args), and where it is."""
    worst, place = 0.0, tuple(x[0] for x in args)
    with mpmath.workprec(1300 if row in ("sin", "cos", "tan") else 250):
        for *numbers, result in zip(*args, y, strict=True):
            exact = EXACT[row](*(mpmath.mpf(float(x)) for x in numbers))
            rounded = y.dtype.type(float(exact))
            if not np.isfinite(rounded):
                continue
            error = abs(float((mpmath.mpf(float(result)) - exact) / mpmath.mpf(float(np.spacing(abs(rounded))))))
            if not error <= worst:
                worst, place = error, tuple(numbers)
    return worst, place


def table(count: int = 20_000) -> str:
    """Every function in both precisions, ours beside NumPy's."""
    rows = ["| function | f32, ulp | NumPy f32 | f64, ulp | NumPy f64 |", "|---|---|---|---|---|"]
    for row in FUNCTIONS:
        cells = []
        for dtype in (np.float32, np.float64):
            args = points(row, dtype, count // 5)
            with np.errstate(all="ignore"):
                theirs = error_in_ulp(row, args, ROWS[row].function(*args))[0]
            cells += [f"{largest_error(row, dtype, count // 5)[0]:.2f}", f"{theirs:.2f}"]
        rows.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    text = f"""# Accuracy of compiled functions

Compiled programs compute elementary functions by polynomials that run in vector registers
(`fungrad/jit/vectormath.py`). Their largest error against mpmath, in units in the last place, over at least 20,000
points across the range of each function, beside that of the NumPy this was measured with (for erf, erfc and erfcx,
SciPy). Written by `python -m tests.jit.vectormath_errors --write`.

{table()}

nan, infinities, signed zeros, subnormal arguments and results are as NumPy's. `fmod`, `remainder` and `floor_divide`
are exact as NumPy's. The suite also checks the float64 functions at 400,000 points each against extended precision.
Every float32 argument of the functions of one argument, and 2**28 pairs for those of two, have been checked to be
within 1 ulp (erfc and erfcx: 7) of float64 by `python -m pytest -m fuzz tests/jit/test_vectormath.py` (a minute or more
a function), which is to be run again where a formula changes.

Sine, cosine and tangent are fast below 2**40 (float32: 2**17), the remainders where the quotient is below 2**51
(2**22). One larger argument anywhere in a loop makes the whole loop run once more, in a slower version for any
argument. How long each function takes: `python -m tests.benchmarks.elementary`.
"""
    if "--write" in sys.argv:
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
