"""Times measured in turns: A B C A B C ..., so that all see the same machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

Run = Callable[[int], object]
"""Does its work as often as it is told, and returns when all of it is done."""

PAUSE = 0.12  # seconds between runs, in which the idle threads of the library before stop spinning (OpenBLAS: 0.11)
WARM_UP = 0.02  # seconds of work after a pause, untimed: vector units run at half their speed for the first millisecond


def in_turns(
    runs: Mapping[str, Run], quick: bool = False, least: float = 0.01, budget: float = 5.0
) -> dict[str, float]:
    """The median seconds of one piece of work for each name.

    Args:
        runs: what is compared.
        quick: one short round only.
        least: seconds that one timed run takes at least, by doing its work several times.
        budget: seconds all of it may take, but for five rounds at least.
    """
    single = {name: _estimate(run) for name, run in runs.items()}
    counts = {name: 1 if quick else max(1, math.ceil(least / t)) for name, t in single.items()}
    warm = {name: 0 if quick else int(WARM_UP / t) for name, t in single.items()}
    round_time = sum((warm[name] + counts[name]) * single[name] + PAUSE for name in runs)
    rounds = 1 if quick else min(41, max(5, int(budget / round_time)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE)
            run(warm[name])
            times[name].append(timed(run, counts[name]))
    return {name: statistics.median(seen) for name, seen in times.items()}


def timed(run: Run, count: int) -> float:
    """Seconds of one piece of work out of `count`."""
    start = time.perf_counter()
    run(count)
    return (time.perf_counter() - start) / count


def calls(f: Callable[[], object]) -> Run:
    """A run that calls a function."""

    def run(count: int) -> None:
        for _ in range(count):
            f()

    return run


def _estimate(run: Run) -> float:
    """Roughly the seconds of one piece of work, without what the first one compiles unless it takes long."""
    once = timed(run, 1)
    if once < 2.0:
        once = timed(run, 1)
    return timed(run, 20) if once < 1e-3 else once
