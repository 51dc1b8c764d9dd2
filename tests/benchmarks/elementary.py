"""Elementary functions beside NumPy's and JAX's.

python -m tests.benchmarks.elementary
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fungrad.jit.vectormath import FUNCTIONS
from fungrad.primitives.elementwise import ROWS
from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, section, table
from tests.benchmarks.timing import calls, in_turns
from tests.jit.vectormath_errors import compiled

jax.config.update("jax_enable_x64", True)
COUNT = 100_000
REMAINDERS = ("fmod", "remainder", "floor_divide")
THEIRS: dict[str, Callable[..., Any]] = {
    "logistic": jax.nn.sigmoid,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "erfcx": lambda x: jnp.exp(x * x) * jax.scipy.special.erfc(x),  # JAX has none
    "pow": jnp.power,
}


def arguments(row: str, dtype: Any) -> list[Any]:
    """Ordinary numbers of the function's domain."""
    rng = np.random.default_rng(0)
    low, high = (1.0, 9.0) if row == "arccosh" else (0.05, 0.95) if row.startswith("arc") else (0.1, 9.0)
    return [rng.uniform(low, high, COUNT).astype(dtype) for _ in ROWS[row].partials]


def measure(row: str, dtype: Any, options: Options) -> list[float]:
    """Nanoseconds an element: ours, NumPy's, JAX's."""
    args = arguments(row, dtype)
    device = [jnp.asarray(x) for x in args]
    ours, theirs = compiled(row), jax.jit(THEIRS.get(row) or getattr(jnp, row))
    np.testing.assert_allclose(ours(*args), theirs(*device), rtol=1e-4 if dtype == np.float32 else 1e-10)
    runs = {
        "fungrad": calls(lambda: ours(*args)),
        "NumPy": calls(lambda: ROWS[row].function(*args)),
        "JAX": calls(lambda: jax.block_until_ready(theirs(*device))),
    }
    times = in_turns(runs, options.quick, least=0.002, budget=0.5)
    return [1e9 * time / COUNT for time in times.values()]


def main(options: Options) -> str:
    """The section of the page: every function in both precisions."""
    rows = []
    for row in filter(options.wants, [*FUNCTIONS, *REMAINDERS]):
        times = [f"{time:.2f}" for dtype in (np.float32, np.float64) for time in measure(row, dtype, options)]
        progress(f"{row:16}{'   '.join(times)}")
        rows.append([row, *times])
    text = f"""
Nanoseconds an element of arrays of {COUNT:,}, compiled; all include the allocation of the result. Their accuracy is in
[Accuracy of compiled functions](vectormath.md)."""
    head = ["function", "f32, ns", "NumPy f32", "JAX f32", "f64, ns", "NumPy f64", "JAX f64"]
    return section("Elementary functions", text, table(head, rows))


if __name__ == "__main__":
    report.run(main, __doc__)
