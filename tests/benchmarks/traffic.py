"""Programs that are bound by memory, beside the traffic that memory allows.

python -m tests.benchmarks.traffic
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks import report
from tests.benchmarks.comparison import BEST, FUNGRAD, PLAIN, Runs, function_runs, measured, step_runs
from tests.benchmarks.limits import COUNT, triad
from tests.benchmarks.peers import Library
from tests.benchmarks.report import Options, ratio, section, table

TRIADS = {"triad, 1 thread": 1, "triad, 2 threads": 2}


def _links(count: int) -> Callable[[Library], Callable[..., Any]]:
    """y -> 0.5 x + y, some times over."""

    def make(library: Library) -> Callable[..., Any]:
        def chain(y: Any, x: Any) -> Any:
            for _ in range(count):
                y = 0.5 * x + y
            return y

        return chain

    return make


def _chain(links: int, dtype: Any, replaced: bool) -> Runs:
    arguments = [np.ones(COUNT, dtype) for _ in range(2)]
    make = _links(links)
    runs = step_runs(make, arguments[0], arguments[1:]) if replaced else function_runs(make, arguments)
    return {**runs, **{name: triad(threads, dtype) for name, threads in TRIADS.items()}}


CASES: dict[str, Callable[[], Runs]] = {
    f"{what}, {np.dtype(dtype).name}{', in place of y' * replaced}": (
        lambda links=links, dtype=dtype, replaced=replaced: _chain(links, dtype, replaced)
    )
    for what, links in (("a x + y", 1), ("ten times a x + y", 10))
    for dtype in (np.float32, np.float64)
    for replaced in (False, True)
}


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    for name, times in measured(CASES, options).items():
        dtype = np.float64 if "float64" in name else np.float32
        rates = {c: 3 * COUNT * np.dtype(dtype).itemsize / t / 1e9 for c, t in times.items()}
        columns = (FUNGRAD, PLAIN, BEST, *TRIADS)
        share = rates[FUNGRAD] / max(rates[triad] for triad in TRIADS)
        rows.append([name, *(f"{rates[c]:.1f}" for c in columns), ratio(share)])
    text = f"""
Chains of a x + y over arrays of {COUNT:,} numbers, in GB/s of two arrays read and one written; the last column is our
share of the faster triad, which writes to memory that is there already. "In place of y": each call is given the result
of the last, donated where the library can. The others make a new array in each call."""
    return section("Programs bound by memory", text, table(["case", FUNGRAD, PLAIN, BEST, *TRIADS, "share"], rows))


if __name__ == "__main__":
    report.run(main, __doc__)
