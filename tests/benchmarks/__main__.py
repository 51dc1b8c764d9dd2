"""All speed comparisons in one run. The dev extra brings the other libraries; PyTorch joins if it is installed.

    python -m tests.benchmarks                      print the page
    python -m tests.benchmarks --write              replace docs/benchmarks.md
    python -m tests.benchmarks --part gradients --case waves --quick

Each part runs in a process of its own, so that the threads of one do not disturb the next. A part is also a program:
`python -m tests.benchmarks.gradients`. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.report import add_options, progress

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = (
    "limits",
    "networks",
    "scalar_network",
    "gradients",
    "traffic",
    "bounds",
    "overheads",
    "contention",
    "memory",
    "growth",
    "cache_faults",
    "eager",
    "elementary",
    "random_numbers",
    "figures",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace docs/benchmarks.md")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    add_options(parser)
    given = parser.parse_args()
    if given.write and (given.part or given.case or given.quick):
        parser.error("--write takes a whole run: leave out --part, --case and --quick")
    options = ["--case", given.case, *(["--quick"] if given.quick else [])]
    sections, failed = [head()], []
    for part in given.part or PARTS:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", f"tests.benchmarks.{part}", *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        progress(f"-- {part}: {time.perf_counter() - start:.0f} s")
        if done.returncode:
            failed.append(part)
        elif done.stdout.strip():
            sections.append(done.stdout.strip())
    page = "\n\n".join(sections) + "\n"
    print(page)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if given.write:
        PAGE.write_text(page)


def head() -> str:
    """What the page says first."""
    installed = [
        f"{name} {found}" for name in ("numpy", "numba", "jax", "torch", "autograd") if (found := _version(name))
    ]
    return f"""# Benchmarks

Written by `python -m tests.benchmarks --write` on {date.today()}: {_processor()}, {_cores()} cores, Python
{platform.python_version()}, {", ".join(installed)}. Absolute times are of this machine only."""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
