"""Whether two libraries agree about a program, up to the rounding that the program itself shows.

The tolerance is measured: the interpreter runs again on inputs that differ by a few units in the last place, and with
elementary functions whose results do, and what its results differ by is what rounding may do. Next to a jump that is as
large as the result, and nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import fungrad as fg
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Equation
from fungrad.ir.primitive import Primitive
from fungrad.jit.emit_python import run_source
from fungrad.jit.runtime import Compiled
from fungrad.primitives.cost import FUNCTION, cost_of
from fungrad.testing.program_compositions import Composition
from fungrad.testing.program_source import Program, fungrad_names
from fungrad.trace import bind
from tests.support import jax_programs

OURS, JAX = fungrad_names(), jax_programs.names()
Function = Callable[..., Any]
FACTOR = 100  # of the spread
ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 2e-5}
LARGE = 1e8  # numbers beyond which a program is not well behaved


class Spread:
    """How much results vary if inputs vary by rounding, and values of elementary functions, which differ between
    libraries even where inputs have no influence. More runs are made where they are needed."""

    def __init__(self, f: Function, arguments: Sequence[Any], results: Sequence[Any], eps: float) -> None:
        self.f, self.arguments, self.results, self.eps = f, arguments, results, eps
        self.found = [np.zeros(x.shape) for x in results]
        self.rng = np.random.default_rng(0)

    def extend(self, scales: Sequence[float]) -> None:
        """Runs with inputs that differ."""
        for scale in scales:
            self._compare(results_of(self.f, self._inputs(scale)))

    def extend_inside(self, scales: Sequence[float]) -> None:
        """Runs with inputs and functions that differ."""
        graph = fg.make_graph(self.f)(*self.arguments)
        for scale in scales:
            run = partial(evaluate, graph, apply=partial(self._apply, scale))
            self._compare(results_of(run, self._inputs(scale)))

    def _apply(self, scale: float, op: Primitive, *inputs: Any) -> Any:
        out = bind(op, *inputs)
        return self._moved(out, scale) if cost_of(Equation(op, (), ())) >= FUNCTION else out

    def _compare(self, results: Sequence[Any]) -> None:
        for size, x, y in zip(self.found, self.results, results, strict=True):
            with np.errstate(all="ignore"):
                difference = np.abs(x.astype(np.float64) - y.astype(np.float64))
            size[...] = np.fmax(size, np.where(np.isfinite(difference), difference, np.inf))

    def _inputs(self, scale: float) -> list[Any]:
        return [self._moved(x, scale) for x in self.arguments]

    def _moved(self, x: Any, scale: float) -> Any:
        if x.dtype.kind != "f":
            return x
        return (x * (1 + scale * self.eps * self.rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype)[()]


def results_of(f: Function, arguments: Sequence[Any]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [np.asarray(x) for x in f(*arguments)]


def source_results(f: Function, arguments: Sequence[Any]) -> list[Any]:
    """What the loops of a compiled function compute, run as plain Python."""
    return run_source(Compiled(fg.make_graph(f)(*arguments)).program, arguments)


def agree(x: Any, y: Any, spread: Any, rounding: float) -> Any:
    """Where two results agree, or cannot be compared."""
    if x.dtype.kind != "f":
        return (x == y) | (spread > 0)
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(x), np.abs(y)).astype(np.float64)
        near = np.abs(x.astype(np.float64) - y.astype(np.float64)) <= rounding * np.fmax(size, 1.0) + FACTOR * spread
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        return near | same | ~np.isfinite(spread) | (size > LARGE)


def disagreements(program: Program, composition: Composition, compiled: bool = False) -> Iterator[str]:
    """What the interpreter, JAX, the printed source of the compiled program, and its machine code do not agree about.

    They are messages with a script to run. Machine code is made where the composition has a `jit`. With `compiled`, XLA
    compiles what JAX gives.
    """
    plain = composition.interpreted()
    arguments = composition.arguments(program)
    f = plain.function(program, OURS)
    found = results_of(f, arguments)
    narrow = "float32" in program.script()
    eps = float(np.finfo(np.float32 if narrow else np.float64).eps)
    rounding = ROUNDING[np.dtype(np.float32 if narrow else np.float64)]
    spread = Spread(f, arguments, found, eps)
    spread.extend((4, 30))
    others = {
        "JAX": (plain, jax_programs.run(plain.function(program, JAX), arguments, compiled)),
        "the printed source": (plain, source_results(f, arguments)),
    }
    if composition.compiled:
        others["machine code"] = composition, results_of(composition.function(program, OURS), arguments)
    for name, (other, results) in others.items():
        types = [(x.shape, x.dtype.name) for x in found], [(x.shape, x.dtype.name) for x in results]
        if types[0] != types[1]:
            yield f"{plain.text} has results {types[0]}, {name} {types[1]}\n{plain.script(program)}"
            continue
        every = list(zip(found, results, spread.found, strict=True))
        if all(np.all(agree(*x, rounding)) for x in every):
            continue
        spread.extend((1, 2, 5, 10, 100, 100, 1000, 1000))
        spread.extend_inside((1, 1))
        for i, (x, y, size) in enumerate(every):
            fits = agree(x, y, size, rounding)
            if not np.all(fits):
                where = f"result {i}, {np.size(fits) - np.count_nonzero(fits)} of {np.size(fits)} numbers"
                values = f"interpreter\n{x}\n{name}\n{y}\nspread\n{size}"
                yield f"{plain.text} and {name} of {other.text} disagree: {where}\n{values}\n{other.script(program)}"
                break
