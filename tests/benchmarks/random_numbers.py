"""A million random numbers, beside JAX and NumPy's Generator.

    python -m tests.benchmarks.random_numbers

JAX waits for each result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import fungrad as fg
from fungrad import random
from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import calls, in_turns

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


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    head = ["numbers", "fungrad", "JAX", "NumPy", "fungrad, not compiled", "JAX / fungrad"]
    for name in filter(options.wants, ("uniform", "normal")):
        for dtype in (np.float32, np.float64):
            times = in_turns({column: calls(f) for column, f in runs(name, dtype).items()}, options.quick, budget=2.0)
            faster = ratio(times["JAX"] / times["fungrad"])
            rows.append([f"{name}, {dtype.__name__}", *map(seconds, times.values()), faster])
            progress("   ".join(rows[-1]))
    text = f"{COUNT:,} random numbers of a key; NumPy's come from its `Generator`."
    return section("Random numbers", text, table(head, rows))


if __name__ == "__main__":
    report.run(main, __doc__)
