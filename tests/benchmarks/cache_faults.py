"""The disk cache under attack: killed writers, damaged entries, racing processes. Nothing may be wrong or crash.

    python -m tests.benchmarks.cache_faults

Every attack runs programs in processes of their own and checks each result; the tests call the same functions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, section, table

ROOT = Path(__file__).parents[2]
WRONG = 3  # exit status

WORK = f"""
import sys
import numpy as np
import fungrad as fg
x = np.linspace(-1, 1, 7)
for i in range(int(sys.argv[1])):
    found = fg.jit(lambda x: np.sin(x) * i + x[::-1])(x)
    if not np.allclose(found, np.sin(x) * i + x[::-1], rtol=1e-14, atol=1e-15):
        sys.exit({WRONG})
    print(i, flush=True)
"""
"""Compile or load, run and check that many programs, and print the number of each."""

Outcome = Counter[str]  # how many "runs", "wrong" results and "crashes"


def start(place: Path, programs: int) -> subprocess.Popen[str]:
    """A process that works with the cache in a directory."""
    environment = {**os.environ, "FUNGRAD_CACHE": "1", "FUNGRAD_CACHE_DIR": str(place), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORK, str(programs)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], killed: bool = False) -> Outcome:
    """How it ended; what it says on the error stream of a crash is shown."""
    _, errors = process.communicate(timeout=600)
    wrong = process.returncode == WRONG
    crashed = not wrong and process.returncode not in ((0, -signal.SIGKILL) if killed else (0,))
    if crashed:
        progress(errors)
    return Counter(runs=1, wrong=int(wrong), crashes=int(crashed))


def kills(place: Path, count: int) -> Outcome:
    """Processes killed at any moment while they compile and write; each also reads what the ones before have left."""
    rng = np.random.default_rng(0)
    outcome: Outcome = Counter()
    for _ in range(count):
        process = start(place, 1000)
        assert process.stdout is not None
        for _ in range(int(rng.integers(1, 20))):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        outcome += finish(process, killed=True)
        if rng.integers(10) == 0:
            _empty(place)
    return outcome + finish(start(place, 20))


def races(place: Path, rounds: int, processes: int, programs: int) -> Outcome:
    """Processes that compile, write and read the same programs at the same time, every other round from nothing."""
    outcome: Outcome = Counter()
    for round_ in range(rounds):
        if round_ % 2 == 0:
            _empty(place)
        for process in [start(place, programs) for _ in range(processes)]:
            outcome += finish(process)
    return outcome


def truncations(place: Path, count: int) -> Outcome:
    """Entries cut off at any length."""
    return _damage(place, count, lambda rng, content: content[: rng.integers(len(content))])


def bit_flips(place: Path, count: int) -> Outcome:
    """Entries with one bit changed."""

    def flip(rng: np.random.Generator, content: bytes) -> bytes:
        changed = bytearray(content)
        changed[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    return _damage(place, count, flip)


def _damage(place: Path, count: int, change: Callable[[np.random.Generator, bytes], bytes]) -> Outcome:
    """Damage every entry of some programs, run them, and again."""
    rng = np.random.default_rng(0)
    programs = min(count, 20)
    outcome = finish(start(place, programs))
    damaged = 0
    while damaged < count:
        for path in place.iterdir():
            path.write_bytes(change(rng, path.read_bytes()))
            damaged += 1
        outcome += finish(start(place, programs))
    return Counter(runs=damaged, wrong=outcome["wrong"], crashes=outcome["crashes"])


def _empty(place: Path) -> None:
    for path in place.glob("*"):
        path.unlink(missing_ok=True)


def attacks(options: Options) -> Iterator[tuple[str, Callable[[Path], Outcome]]]:
    """Each attack by its name."""
    yield "kill -9 while it works", lambda place: kills(place, options.rounds(100, 5))
    yield "truncated entries", lambda place: truncations(place, options.rounds(200, 20))
    yield "flipped bits", lambda place: bit_flips(place, options.rounds(400, 20))
    yield "6 processes racing", lambda place: races(place, options.rounds(10), 6, 10)


def main(options: Options) -> str:
    """The section of the page."""
    rows = []
    for name, attack in attacks(options):
        if options.wants(name):
            with tempfile.TemporaryDirectory() as folder:
                outcome = attack(Path(folder) / "cache")
            rows.append([name, *(str(outcome[key]) for key in ("runs", "wrong", "crashes"))])
            progress("   ".join(rows[-1]))
    text = "What damaged entries of the disk cache, and writers that die or race, do to results."
    return section("The disk cache under attack", text, table(["attack", "times", "wrong results", "crashes"], rows))


if __name__ == "__main__":
    report.run(main, __doc__)
