"""How much slower programs get while two other processes keep the processors busy.

python -m tests.benchmarks.contention
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.benchmarks import gradients, networks, report
from tests.benchmarks.comparison import BEST, FUNGRAD, PLAIN, Runs
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import PAUSE, timed

BUSY = 2
COLUMNS = (FUNGRAD, PLAIN, BEST)
LEAST = 0.05  # seconds of a timed run: several turns of the system's scheduler

CASES: dict[str, Callable[[], Runs]] = {
    **{name: make for name, make in networks.CASES.items() if name.startswith("step of")},
    **{name: make for name, make in gradients.CASES.items() if name.startswith("sum(tanh")},
}


class Neighbours:
    """Processes that do nothing but compute, stopped at first."""

    def __init__(self, count: int) -> None:
        self._processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        self._signal(signal.SIGSTOP)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """They compute inside the block."""
        self._signal(signal.SIGCONT)
        try:
            time.sleep(0.1)
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """They are gone after this."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _signal(self, number: int) -> None:
        for process in self._processes:
            process.send_signal(number)


class Figures(NamedTuple):
    """Of one piece of work: seconds on an idle and on a busy machine, and how many processors it used when idle."""

    idle: float
    busy: float
    processors: float

    @property
    def slower(self) -> float:
        """How many times slower it gets."""
        return self.busy / self.idle


def slowdowns(runs: Runs, neighbours: Neighbours, options: Options) -> dict[str, Figures]:
    """The medians of each column."""
    counts = {}
    for column in COLUMNS:
        runs[column](1)
        single = timed(runs[column], 3)
        counts[column] = 1 if options.quick else max(1, round(LEAST / single))
    idle: dict[str, list[float]] = {column: [] for column in COLUMNS}
    busy: dict[str, list[float]] = {column: [] for column in COLUMNS}
    processors: dict[str, list[float]] = {column: [] for column in COLUMNS}

    def turn(seen: dict[str, list[float]]) -> dict[str, float]:
        """Time each column; how many processors each used."""
        used = {}
        for column in COLUMNS:
            time.sleep(PAUSE)
            before = time.process_time()
            seen[column].append(timed(runs[column], counts[column]))
            used[column] = (time.process_time() - before) / (seen[column][-1] * counts[column])
        return used

    for _ in range(options.rounds(7)):
        for column, used in turn(idle).items():
            processors[column].append(used)
        with neighbours.busy():
            turn(busy)
    return {c: Figures(*(statistics.median(seen[c]) for seen in (idle, busy, processors))) for c in COLUMNS}


def main(options: Options) -> str:
    """The section of the page."""
    neighbours = Neighbours(BUSY)
    rows = []
    try:
        for name in filter(options.wants, CASES):
            found = slowdowns(CASES[name](), neighbours, options)
            progress(f"{name:60} {'   '.join(f'{c} {x.slower:.1f}' for c, x in found.items())}")
            times = [seconds(found[FUNGRAD].idle), seconds(found[FUNGRAD].busy)]
            used = [ratio(found[c].processors) for c in (FUNGRAD, BEST)]
            ahead = ratio(min(found[c].busy for c in (PLAIN, BEST)) / found[FUNGRAD].busy)
            rows.append([name, *times, ahead, *(ratio(found[c].slower) for c in COLUMNS), *used])
    finally:
        neighbours.end()
    text = f"""
Median times of fungrad alone and while {BUSY} processes compute without end; how far ahead it is of JAX then; by what
factor each library got slower; and how many processors each used alone. With as many processors as neighbours, a fair
share is half of each: who used both gets 2.0 times slower at best, who used one and a half 1.5 times."""
    head = ["case", "fungrad, idle", "fungrad, busy", "JAX / fungrad, busy", *(f"{c}, times slower" for c in COLUMNS)]
    head += [f"processors used by {c}" for c in (FUNGRAD, BEST)]
    return section("Beside busy processes", text, table(head, rows))


if __name__ == "__main__":
    report.run(main, __doc__)
