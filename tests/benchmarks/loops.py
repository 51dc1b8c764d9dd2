"""What the gradient of a loop keeps, and what it costs to compile, by the number of steps.

`python -m tests.benchmarks.loops` prints, for a recurrent network and a Runge-Kutta integrator,

- arena: bytes of all temporaries of the compiled gradient, among them the carries kept for the backward pass;
- eager: the most bytes that NumPy held at once during `fungrad.grad`;
- lines: of `jit(f).source(...)`; LLVM: characters of the module; ms: to trace, compile and run once;

of a plain scan, and of one cut into blocks of the square root of the steps, each a `checkpoint`.
"""

from __future__ import annotations

import math
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fungrad as fg
from fungrad import lax
from fungrad.jit.emit_llvm import emit_module
from fungrad.jit.loops import Program
from fungrad.jit.memory_plan import arena_layout

STEPS = (100, 1_600, 10_000)
Step = Callable[[Any, Any], tuple[Any, Any]]


class Loop(NamedTuple):
    """A loop as a function of what it is differentiated by, and that."""

    run: Callable[[Any, Callable[[Step, Any], Any]], Any]
    argument: Any


def recurrent_network(units: int = 32) -> Loop:
    """A state of `units` numbers; 256 bytes in float64."""
    rng = np.random.default_rng(0)

    def run(W: Any, scan: Callable[[Step, Any], Any]) -> Any:
        return np.sum(scan(lambda h, _: (np.tanh(W @ h + 0.1), None), np.ones(units)) ** 2)

    return Loop(run, rng.normal(size=(units, units)) / math.sqrt(units))


def runge_kutta() -> Loop:
    """A pendulum: a state of two numbers, in four stages a step."""

    def slope(s: Any) -> Any:
        return np.stack([s[1], -9.81 * np.sin(s[0])])

    def step(s: Any, _: Any) -> tuple[Any, Any]:
        h = 1e-3
        k1 = slope(s)
        k2 = slope(s + h / 2 * k1)
        k3 = slope(s + h / 2 * k2)
        k4 = slope(s + h * k3)
        return s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return Loop(lambda start, scan: scan(step, start)[0], np.array([0.5, 0.0]))


LOOPS = {"recurrent network": recurrent_network, "Runge-Kutta": runge_kutta}


def plain(steps: int) -> Callable[[Step, Any], Any]:
    """A scan that keeps every carry."""
    return lambda step, start: lax.scan(step, start, None, steps)[0]


def checkpointed(steps: int) -> Callable[[Step, Any], Any]:
    """A scan over blocks of sqrt(steps), which keeps the carries between blocks and those of one block."""
    block = math.isqrt(steps)

    def scan(step: Step, start: Any) -> Any:
        def of_block(carry: Any) -> Any:
            return lax.scan(step, carry, None, block)[0]

        whole = lax.scan(lambda c, _: (fg.checkpoint(of_block)(c), None), start, None, steps // block)[0]
        return lax.scan(step, whole, None, steps % block)[0] if steps % block else whole

    return scan


def gradient(loop: Loop, scan: Callable[[Step, Any], Any]) -> Callable[[Any], Any]:
    """The gradient of a loop, to be compiled."""
    return fg.grad(lambda argument: loop.run(argument, scan))


def compiled_program(f: Callable[[Any], Any], argument: Any) -> Program:
    """The loop program of `fungrad.jit(f)`."""
    program: Program = fg.jit(f)._compiled((argument,), {}).program
    return program


def arena_bytes(program: Program) -> int:
    """The memory of all temporaries."""
    return arena_layout(program)[1]


def eager_bytes(f: Callable[[Any], Any], argument: Any) -> int:
    """The most bytes held at once while `f` runs; graphs made at the first call are not counted."""
    f(argument)
    tracemalloc.start()
    try:
        f(argument)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    """Print the table."""
    os.environ["FUNGRAD_CACHE"] = "0"
    print(f"{'loop':18}{'steps':>7} {'scan':13}{'arena':>11}{'eager':>11}{'lines':>6}{'LLVM':>8}{'ms':>6}")
    for name, make in LOOPS.items():
        loop = make()
        for scan in (plain, checkpointed):
            for steps in STEPS:
                f = gradient(loop, scan(steps))
                start = time.perf_counter()
                compiled = fg.jit(f)
                compiled(loop.argument)
                milliseconds = 1e3 * (time.perf_counter() - start)
                program = compiled_program(f, loop.argument)
                lines, text = len(compiled.source(loop.argument).splitlines()), len(emit_module(program)[0])
                print(
                    f"{name:18}{steps:>7,} {scan.__name__:13}{arena_bytes(program):>11,}"
                    f"{eager_bytes(f, loop.argument):>11,}{lines:>6}{text:>8,}{milliseconds:>6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
