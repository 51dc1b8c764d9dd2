"""What grows: compile time with the program, and memory with the number of calls (which should not).

python -m tests.benchmarks.growth
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fungrad as fg
from tests.benchmarks import report
from tests.benchmarks.fresh import memory_of_process
from tests.benchmarks.peers import ours
from tests.benchmarks.report import Options, progress, seconds, section, table
from tests.benchmarks.timing import timed

OPERATIONS = (10, 100, 1000, 5000)
CALLS = 1_000_000
X = np.linspace(-1.0, 1.0, 1000)


def arithmetic(count: int) -> Callable[[Any], Any]:
    """Additions and multiplications, each of the last two results and x: no two stages are alike."""

    def f(x: Any) -> Any:
        before, y = x, x + 1.0
        for i in range(count - 1):
            before, y = y, (y * before if i % 3 == 0 else y - 0.5 * x if i % 3 == 1 else y + before)
            y = y * (0.25 + i / (4 * count)) if i % 5 == 0 else y
        return y

    return f


def elementary(count: int) -> Callable[[Any], Any]:
    """A sine, a product, a product and a sum, again and again."""

    def f(x: Any) -> Any:
        y = x
        for _ in range(count // 4):
            y = np.sin(y) * 1.0001 + 0.1 * x
        return y

    return f


FAMILIES: dict[str, Callable[[int], Callable[[Any], Any]]] = {
    "additions and multiplications": arithmetic,
    "sines among them": elementary,
}


def compile_seconds(f: Callable[[Any], Any], gradient: bool) -> float:
    """From the function to its first result, in a process that has compiled before, without the disk cache."""
    jitted = fg.jit(fg.grad(lambda x: np.sum(f(x))) if gradient else f)
    gc.collect()
    start = time.perf_counter()
    jitted(X)
    return time.perf_counter() - start


def compile_table(options: Options) -> str:
    """Compile time by the number of operations."""
    rows = []
    counts = OPERATIONS[:3] if options.quick else OPERATIONS
    os.environ["FUNGRAD_CACHE"] = "0"
    fg.jit(lambda x: x + 1)(np.ones(3))
    for family, make in FAMILIES.items():
        for gradient in (False, True):
            name = f"{family}{', gradient' * gradient}"
            if not options.wants(name):
                continue
            times = [compile_seconds(make(count), gradient) for count in counts]
            exponent = math.log(times[-1] / times[-2]) / math.log(counts[-1] / counts[-2])
            progress(f"{name:40} {'  '.join(map(seconds, times))}   exponent {exponent:.2f}")
            rows.append([name, *map(seconds, times), f"{exponent:.2f}"])
    return table(["program", *(f"{count:,} operations" for count in counts), "last exponent"], rows)


def calls_table(options: Options) -> str:
    """The growth of the process over a million calls."""
    x = np.linspace(0.0, 1.0, 64)
    params = {"w": np.eye(8), "b": (np.zeros(8), 0.5)}
    step = ours().jit(lambda y: y * 0.999 + 0.001, donate=True)
    network = fg.jit(lambda p: np.tanh(p["w"] @ p["b"][0]) * p["b"][1])
    total = fg.jit(lambda x: np.sum(x * x))
    state = [np.zeros(64)]

    def chain() -> None:
        state[0] = step(state[0])

    cases: dict[str, Callable[[], object]] = {
        "one array to a number": lambda: total(x),
        "an array that is not contiguous": lambda: total(x[::2]),
        "a result as the next argument": chain,
        "a pytree with a Python number": lambda: network(params),
    }
    rows = []
    count = options.rounds(CALLS, 20_000)
    for name, call in cases.items():
        if not options.wants(name):
            continue

        def run(repetitions: int, call: Callable[[], object] = call) -> None:
            for _ in range(repetitions):
                call()

        run(10_000)
        gc.collect()
        before = memory_of_process("VmRSS")
        time_of_call = timed(run, count)
        gc.collect()
        grown = (memory_of_process("VmRSS") - before) / 1024
        progress(f"{count:,} calls, {name}: {grown:.0f} KB")
        rows.append([name, f"{grown:.0f} KB", seconds(time_of_call)])
    return table([f"{count:,} calls with", "resident memory grew by", "time of a call"], rows)


def main(options: Options) -> str:
    """The sections of the page."""
    text = """
Trace, compile and run, in a process that has compiled before, without the disk cache. The exponent is that of the power
law between the last two columns: 1 is linear."""
    programs = section("Compile time as the program grows", text, compile_table(options))
    calls = section("A million calls", "The resident memory after the calls less that before.", calls_table(options))
    return "\n".join(filter(None, [programs, calls]))


if __name__ == "__main__":
    report.run(main, __doc__)
