"""What compiled code costs besides computing, beside JAX: calls, new programs, fresh processes.

    python -m tests.benchmarks.overheads

Calls are timed in turns in one process. Compile times are of programs that are new each time, in a process that has
compiled before, without the disk cache. First results are measured inside fresh processes, from the first import on.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.benchmarks import peers, report
from tests.benchmarks.fresh import Figures, fresh
from tests.benchmarks.peers import Library
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import calls, in_turns

Row = list[str]
NETWORK = "784-256-128-10, batch 128"  # of the first results


def call_row(count: int, options: Options) -> Row:
    """A call of x + 1 for each of some small arrays."""
    runs = {}
    for library in (peers.ours(), peers.jax()):
        arrays = library.arrays([np.full(4, float(i)) for i in range(count)])
        f = library.jit(lambda *xs: [x + 1 for x in xs])
        runs[library.name] = calls(lambda f=f, xs=arrays: f(*xs))
        if library.wait is not None:
            runs["waited"] = calls(lambda f=f, xs=arrays, wait=library.wait: wait(f(*xs)))
    times = in_turns(runs, options.quick, budget=2.0)
    mine, waited, dispatched = times["fungrad"], times["waited"], times["JAX"]
    return [
        f"call with {count} array{'s' * (count > 1)} (JAX without waiting: {seconds(dispatched)})",
        seconds(mine),
        seconds(waited),
        f"{ratio(waited / mine)} ({ratio(dispatched / mine)})",
    ]


CHAIN_ARGUMENT = np.linspace(-3, 3, 1000)


def chain_of_ten(xp: Any, constant: float) -> Callable[[Any], Any]:
    """Ten elementwise operations."""
    return lambda x: xp.tanh(xp.sin(x) * constant + 0.1) * xp.exp(-x * x) + x * 0.5


def chain(library: Library, constant: float) -> Callable[[], Any]:
    """A call of them."""
    f, x = library.jit(chain_of_ten(library.xp, constant)), library.arrays(CHAIN_ARGUMENT)
    return lambda: f(x)


def network(library: Library, constant: float) -> Callable[[], Any]:
    """The gradient of 16 layers."""

    def loss(params: Any, x: Any) -> Any:
        for w in params:
            x = library.xp.tanh(x @ w)
        return library.xp.sum(x) * constant

    f = library.jit(library.value_and_grad(loss))
    params, x = library.arrays([np.eye(8)] * 16), library.arrays(np.ones((4, 8)))
    return lambda: f(params, x)[1]


def compile_row(what: str, make: Callable[..., Callable[[], Any]], options: Options) -> Row:
    """Trace, compile and run a program that is new each time."""
    before = os.environ.get("FUNGRAD_CACHE")
    os.environ["FUNGRAD_CACHE"] = "0"
    times: dict[str, list[float]] = {}
    for i in range(options.rounds(9) + 1):
        for library in (peers.ours(), peers.jax()):
            run = make(library, 1.5 + i)
            start = time.perf_counter()
            result = run()
            if library.wait is not None:
                library.wait(result)
            times.setdefault(library.name, []).append(time.perf_counter() - start)
    os.environ["FUNGRAD_CACHE"] = "1" if before is None else before
    mine, other = (statistics.median(seen[1:]) for seen in times.values())
    return [what, seconds(mine), seconds(other), ratio(other / mine)]


def first_result_rows(options: Options) -> list[Row]:
    """From the first import of a fresh process to the first result of a training step."""
    with tempfile.TemporaryDirectory() as folder:
        kinds: dict[str, tuple[str, dict[str, str]]] = {
            "cold": ("fungrad", {"FUNGRAD_CACHE": "0"}),
            "warm": ("fungrad", {"FUNGRAD_CACHE": "1", "FUNGRAD_CACHE_DIR": f"{folder}/cache"}),
            "theirs": ("JAX", {}),
        }
        seen: dict[str, list[Figures]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds(9) + 1):
            for kind, (library, settings) in kinds.items():
                seen[kind].append(fresh(library, NETWORK, 1, **settings))
    all_of = {kind: statistics.median(x.first_result for x in found[1:]) for kind, found in seen.items()}
    first = {kind: statistics.median(x.first_step for x in found[1:]) for kind, found in seen.items()}

    def row(what: str, times: dict[str, float], kind: str) -> Row:
        return [what, seconds(times[kind]), seconds(times["theirs"]), ratio(times["theirs"] / times[kind])]

    return [
        row("fresh process to first result, no cache", all_of, "cold"),
        row("the same, found in the disk cache", all_of, "warm"),
        row("first call alone, no cache", first, "cold"),
        row("first call alone, found in the disk cache", first, "warm"),
        ["first call found in the cache / not cached", ratio(first["warm"] / first["cold"]), "", ""],
    ]


def rows(options: Options) -> Iterator[Row]:
    """All that are wanted."""
    for count in (1, 10, 50):
        if options.wants(f"call with {count}"):
            yield call_row(count, options)
    for what, make in (("ten elementwise operations", chain), ("the gradient of 16 layers", network)):
        if options.wants(f"new program: {what}"):
            yield compile_row(f"new program: {what}", make, options)
    if options.wants("fresh process"):
        yield from first_result_rows(options)


def main(options: Options) -> str:
    """The section of the page."""
    found = []
    for row in rows(options):
        progress("   ".join(row))
        found.append(row)
    text = f"""
What a compiled function costs besides computing. A new program is traced, compiled and run in a process that has
compiled before, without the disk cache. Fresh processes are timed from their first import; their first result is a
training step of a network {NETWORK}."""
    return section("Overheads", text, table(["what", "fungrad", "JAX", "JAX / fungrad"], found))


if __name__ == "__main__":
    report.run(main, __doc__)
