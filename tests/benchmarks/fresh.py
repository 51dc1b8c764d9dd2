"""What a fresh process needs for training steps of a network, to be run as a program:

    python -m tests.benchmarks.fresh fungrad|JAX "784-256-128-10, batch 128" STEPS

It prints the seconds from the first import until all are made, the seconds of the first step (trace, compile, run),
and the most memory the process has held, in bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent


class Figures(NamedTuple):
    """What one process reports."""

    imports: float
    first_step: float
    peak: int

    @property
    def first_result(self) -> float:
        """Seconds from the first import to the first result."""
        return self.imports + self.first_step


def fresh(library: str, network: str, steps: int = 1, **environment: str) -> Figures:
    """Run this module in a process of its own."""
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    settings |= {"PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", __spec__.name, library, network, str(steps)]
    return Figures(*json.loads(subprocess.check_output(command, cwd=ROOT, env=settings)))


def main(name: str, network: str, steps: int) -> Figures:
    """The steps, in this process."""
    start = time.perf_counter()
    from tests.benchmarks import peers, perceptron

    library = peers.ours() if name == "fungrad" else peers.jax()
    imported = time.perf_counter() - start
    sizes, batch = perceptron.NETWORKS[network]
    params = library.arrays(perceptron.parameters(sizes))
    x, y = library.arrays(perceptron.examples(sizes, batch))
    step = library.jit(perceptron.step(library), donate=True)
    start = time.perf_counter()
    params = step(params, x, y)
    if library.wait is not None:
        library.wait(params)
    first = time.perf_counter() - start
    for _ in range(steps - 1):
        params = step(params, x, y)
    if library.wait is not None:
        library.wait(params)
    return Figures(imported, first, memory_of_process("VmHWM"))


def memory_of_process(field: str) -> int:
    """Bytes by the name of a line of /proc/self/status: VmRSS is held now, VmHWM is the most that was held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
