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


def slowdowns(runs: Runs, neighbours: Neighbours, options: Options) -> dict[str, tuple[float, float]]:
    """The median seconds of each column, idle and busy."""
    counts = {}
    for column in COLUMNS:
        runs[column](1)
        single = timed(runs[column], 3)
        counts[column] = 1 if options.quick else max(1, round(LEAST / single))
    idle: dict[str, list[float]] = {column: [] for column in COLUMNS}
    busy: dict[str, list[float]] = {column: [] for column in COLUMNS}

    def turn(seen: dict[str, list[float]]) -> None:
        for column in COLUMNS:
            time.sleep(PAUSE)
            seen[column].append(timed(runs[column], counts[column]))

    for _ in range(options.rounds(7)):
        turn(idle)
        with neighbours.busy():
            turn(busy)
    return {c: (statistics.median(idle[c]), statistics.median(busy[c])) for c in COLUMNS}


def main(options: Options) -> str:
    """The section of the page."""
    neighbours = Neighbours(BUSY)
    rows = []
    try:
        for name in filter(options.wants, CASES):
            found = slowdowns(CASES[name](), neighbours, options)
            factors = {column: busy / idle for column, (idle, busy) in found.items()}
            progress(f"{name:60} {'   '.join(f'{c} {x:.1f}' for c, x in factors.items())}")
            times = [seconds(x) for x in found[FUNGRAD]]
            rows.append([name, *times, *(ratio(factors[c]) for c in COLUMNS)])
    finally:
        neighbours.end()
    text = f"""
Median times of fungrad alone and while {BUSY} processes compute without end, and by what factor each library got
slower. With as many processors as neighbours, a fair share is half of the time."""
    head = ["case", "fungrad, idle", "fungrad, busy", *(f"{c}, times slower" for c in COLUMNS)]
    return section("Beside busy processes", text, table(head, rows))


if __name__ == "__main__":
    report.run(main, __doc__)
