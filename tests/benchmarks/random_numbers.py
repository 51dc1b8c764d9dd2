"""A million random numbers, beside JAX and NumPy's Generator: `python -m tests.benchmarks.random_numbers`.

Median milliseconds, measured in turns. JAX waits for each result. It runs on all cores, fungrad's loops on one:
`taskset -c 0` shows both on one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import fungrad as fg
from fungrad import random

jax.config.update("jax_enable_x64", True)
COUNT = 1_000_000


def runs(name: str, dtype: Any) -> dict[str, Callable[[], Any]]:
    """What draws the numbers; each must have been called once."""
    key = random.key(0)
    ours, theirs = getattr(random, name), getattr(jax.random, name)
    compiled = fg.jit(lambda k: ours(k, (COUNT,), dtype))
    jitted = jax.jit(lambda k: theirs(k, (COUNT,), dtype))
    np.testing.assert_allclose(compiled(key), jitted(key), rtol=1e-4, atol=1e-6)
    generator = np.random.default_rng(0)
    draw = {"uniform": generator.random, "normal": generator.standard_normal}[name]
    return {
        "fungrad": lambda: compiled(key),
        "JAX": lambda: jitted(key).block_until_ready(),
        "NumPy": lambda: draw(COUNT, dtype),
        "eager": lambda: ours(key, (COUNT,), dtype),
    }


def main(rounds: int = 31) -> dict[str, dict[str, float]]:
    """Print the table; return the medians in milliseconds."""
    table: dict[str, dict[str, float]] = {}
    for name in ("uniform", "normal"):
        for dtype in (np.float32, np.float64):
            columns = runs(name, dtype)
            times: dict[str, list[float]] = {column: [] for column in columns}
            for _ in range(rounds):
                for column, run in columns.items():
                    start = time.perf_counter()
                    run()
                    times[column].append(time.perf_counter() - start)
            row = {column: 1e3 * statistics.median(seen) for column, seen in times.items()}
            table[f"{name} {dtype.__name__}"] = row
            print(f"{name:8} {dtype.__name__:8}", "".join(f"{c:>10} {t:6.2f} ms" for c, t in row.items()), flush=True)
    return table


if __name__ == "__main__":
    main()
