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
from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.trace import bind

PAGE = Path(__file__).parent.parent.parent / "docs" / "vectormath.md"
EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": mpmath.tanh,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
}


def compiled(row: str) -> Callable[[Any], Any]:
    """A row of the elementwise table, compiled."""
    return fg.jit(lambda x: bind(ELEMENTWISE[row], x))


def points(row: str, dtype: Any, count: int, seed: int = 0) -> Any:
    """Arguments across the range of a function, dense where its formula changes."""
    rng = np.random.default_rng(seed)
    limit = 88.0 if dtype == np.float32 else 709.0
    spread = [rng.uniform(-limit, limit, count), rng.uniform(-3, 3, count), rng.normal(size=count) / 2]
    spread += [rng.normal(size=count) * 1e-4, rng.normal(size=count) * np.exp(rng.uniform(-limit / 2, 0, count))]
    x = np.concatenate(spread)
    if row == "log":
        x = np.concatenate([np.exp(x[np.abs(x) < limit]), 1 + x[np.abs(x) < 0.9]])
    elif row == "log1p":
        x = np.concatenate([np.exp(x[x > 0]), x[(x > -1) & (x < 3)]])
    elif row in ("sin", "cos"):
        turns = np.round(x) * np.pi / 2  # next to the zeros
        x = np.concatenate([x, turns, np.exp(x[np.abs(x) < limit]), 1e12 * x])
    x = x.astype(dtype)
    return x[x > -1] if row == "log1p" else x


def error_in_ulp(row: str, x: Any, y: Any) -> tuple[float, Any]:
    """The largest error of y = row(x), and where it is."""
    worst, place = 0.0, x[0]
    with mpmath.workprec(1300):
        for argument, result in zip(x, y, strict=True):
            exact = EXACT[row](mpmath.mpf(float(argument)))
            rounded = x.dtype.type(float(exact))
            if not np.isfinite(rounded):
                continue
            error = abs(float((mpmath.mpf(float(result)) - exact) / mpmath.mpf(float(np.spacing(abs(rounded))))))
            if not error <= worst:
                worst, place = error, argument
    return worst, place


def table(count: int = 20_000) -> str:
    """Every function in both precisions, ours beside NumPy's."""
    rows = ["| function | f32, ulp | NumPy f32 | f64, ulp | NumPy f64 |", "|---|---|---|---|---|"]
    for row in FUNCTIONS:
        cells = []
        for dtype in (np.float32, np.float64):
            x = points(row, dtype, count // 5)
            with np.errstate(all="ignore"):
                cells += [f"{error_in_ulp(row, x, f(x))[0]:.2f}" for f in (compiled(row), ROWS[row].function)]
        rows.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    text = f"""# Accuracy of compiled functions

Compiled programs compute exponentials, logarithms and their relatives by polynomials that run in vector registers
(`fungrad/jit/vectormath.py`). Their largest error against mpmath, in units in the last place, over 20,000 points
across the range of each function, beside that of the NumPy this was measured with. Written by `python -m
tests.jit.vectormath_errors --write`.

{table()}

nan, infinities, signed zeros, subnormal arguments and results are as NumPy's. Every float32 argument of each function
is checked by `python -m pytest -m fuzz tests/jit/test_vectormath.py`. Functions that are not in the table are the C
library's.
"""
    if "--write" in sys.argv:
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
