"""Elementary functions beside NumPy's and JAX's: `python -m tests.benchmarks.elementary [row ...]`.

Nanoseconds an element of arrays of 100,000, medians measured in turns. All include the allocation of the result.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ROWS
from tests.jit.vectormath_errors import compiled

jax.config.update("jax_enable_x64", True)
COUNT = 100_000
REMAINDERS = ("fmod", "remainder", "floor_divide")
THEIRS: dict[str, Callable[..., Any]] = {"logistic": jax.nn.sigmoid, "erf": jax.scipy.special.erf, "pow": jnp.power}


def arguments(row: str, dtype: Any) -> list[Any]:
    """Ordinary numbers of the function's domain."""
    rng = np.random.default_rng(0)
    low, high = (1.0, 9.0) if row == "arccosh" else (0.05, 0.95) if row.startswith("arc") else (0.1, 9.0)
    return [rng.uniform(low, high, COUNT).astype(dtype) for _ in ROWS[row].partials]


def in_turns(runs: list[Callable[[], Any]], rounds: int = 41) -> list[float]:
    """The median seconds of each."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs * 2:
        run()
    for _ in range(rounds):
        for run, seen in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            seen.append(time.perf_counter() - start)
    return [statistics.median(seen) for seen in times]


def measure(row: str, dtype: Any) -> list[float]:
    """Nanoseconds an element: ours, NumPy's, JAX's."""
    args = arguments(row, dtype)
    device = [jnp.asarray(x) for x in args]
    ours, theirs = compiled(row), jax.jit(THEIRS.get(row) or getattr(jnp, row))
    np.testing.assert_allclose(ours(*args), theirs(*device), rtol=1e-4 if dtype == np.float32 else 1e-10)
    runs = [
        lambda: ours(*args),
        lambda: ROWS[row].function(*args),
        lambda: jax.block_until_ready(theirs(*device)),
    ]
    return [1e9 * seconds / COUNT for seconds in in_turns(runs)]


def table(rows: list[str]) -> str:
    """Every function in both precisions."""
    lines = [
        "| function | f32, ns | NumPy f32 | JAX f32 | f64, ns | NumPy f64 | JAX f64 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [f"{time:.2f}" for dtype in (np.float32, np.float64) for time in measure(row, dtype)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sys.argv[1:] or [*FUNCTIONS, *REMAINDERS]))
