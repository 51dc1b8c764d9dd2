"""Figures that are not a race against a peer: import cost, depth of programs, the digits example.

python -m tests.benchmarks.figures
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fungrad as fg
from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, section, table

ROOT = Path(__file__).parent.parent.parent


def _seconds_of(code: str, runs: int = 9) -> float:
    """The median time a fresh process takes for a statement, measured inside it, with bytecode cached as an installer
    leaves it."""
    program = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    times = [float(_output([sys.executable, "-c", program])) for _ in range(runs + 1)][1:]
    return statistics.median(times)


def import_cost() -> tuple[str, str]:
    """What `import fungrad` takes beyond `import numpy`."""
    extra = _seconds_of("import numpy, fungrad") - _seconds_of("import numpy")
    loaded = _output([sys.executable, "-c", "import fungrad, sys; print('numba' in sys.modules)"])
    return "`import fungrad` over `import numpy`", f"{extra:.3f} s; numba loaded: {loaded.strip()}"


def deep_chain(count: int = 100_000) -> tuple[str, str]:
    """Trace and differentiate a long chain eagerly, under the default recursion limit."""

    def chain(x):
        for _ in range(count // 2):
            x = np.sin(x) * 1.0001
        return x

    start = time.perf_counter()
    fg.grad(chain)(0.5)
    seconds = time.perf_counter() - start
    return f"chain of {count:,} operations, traced and differentiated", f"{seconds:.1f} s"


def fan_out(depth: int = 10) -> tuple[str, str]:
    """x + x, ten times: the gradient is 2**depth, the adjoint's size linear in depth."""

    def tower(depth):
        def f(x):
            for _ in range(depth):
                x = x + x
            return x

        return f

    sizes = [len(fg.make_graph(fg.grad(tower(d)))(1.0).equations) for d in (depth, 2 * depth)]
    gradient = fg.grad(tower(depth))(1.0)
    return (
        f"fan-out chain of depth {depth}",
        f"gradient {gradient:g}; {sizes[0]} equations, {sizes[1]} at twice the depth",
    )


def digits() -> list[tuple[str, str]]:
    """The README's first command, after installation."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "digits.png"
        start = time.perf_counter()
        command = [sys.executable, "examples/digits.py", "--output", str(picture)]
        text = _output(command)
        seconds = time.perf_counter() - start
        written = picture.exists()
    accuracy = re.search(r"test accuracy\D*([\d.]+ ?%?)", text, re.IGNORECASE)
    shown = accuracy.group(1) if accuracy else "not printed"
    return [("digits example: test accuracy", shown), ("whole run", f"{seconds:.1f} s; PNG written: {written}")]


def _output(command: list[str]) -> str:
    """What a command prints, run with this checkout importable and bytecode cached."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.check_output(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=environment).decode()


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    for name, make in FIGURES.items():
        if options.wants(name):
            rows += make()
            progress(str(rows[-1]))
    return section("What it takes", "Figures without a peer.", table(["what", "figure"], rows))


FIGURES: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "import": lambda: [import_cost()],
    "fan-out": lambda: [fan_out()],
    "chain": lambda: [deep_chain()],
    "digits": digits,
}

if __name__ == "__main__":
    report.run(main, __doc__)
