"""All figures in one run: `python -m tests.benchmarks [--write]` (the dev extra brings the peers).

With --write the tables replace docs/measurements.md.
"""

from __future__ import annotations

import argparse
import platform
from datetime import date
from pathlib import Path

import numba
import numpy as np

from fungrad.jit.vectormath import FUNCTIONS
from tests.benchmarks import compiled, eager, elementary, figures

PAGE = Path(__file__).parent.parent.parent / "docs" / "measurements.md"


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def page() -> str:
    """The measured tables as a page."""
    rows = "\n".join(f"| {what} | {figure} |" for what, figure in figures.table())
    eager_rows = "\n".join(f"| {name} | {ratio:.2f} |" for name, ratio in eager.main().items())
    compiled_rows = "\n".join(
        f"| {name} | {ours:,.0f} | {plain:,.0f} | {best:,.0f} | {plain / ours:.1f} | {best / ours:.1f} |"
        for name, ours, plain, best in compiled.main()
    )
    return f"""# Measurements

Written by `python -m tests.benchmarks --write` on {date.today()}: {processor()}, {figures.cores()} cores,
Python {platform.python_version()}, NumPy {np.__version__}, Numba {numba.__version__}.
Ratios are of medians measured in turns in one process; absolute times are of this machine only.

## What it takes

| what | figure |
|---|---|
{rows}

## Eager gradients beside HIPS autograd

Time of fungrad over time of autograd; below 1 is faster.

| gradient of | ratio |
|---|---|
{eager_rows}

## Compiled gradients beside JAX

Median microseconds a call. JAX "plain" waits for each result; "best" leaves dispatch asynchronous over a chain of
steps with donated arguments. Ratios are JAX's time over ours; above 1 we are faster. fungrad's compiler computes
values that are read once where they are read, and stores the others.

| case | fungrad | JAX plain | JAX best | plain ratio | best ratio |
|---|---|---|---|---|---|
{compiled_rows}

## Elementary functions beside NumPy and JAX

Nanoseconds an element of arrays of {elementary.COUNT:,}, compiled; all include the allocation of the result. Their
accuracy is in docs/vectormath.md.

{elementary.table([*FUNCTIONS, *elementary.REMAINDERS])}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace docs/measurements.md")
    text = page()
    if parser.parse_args().write:
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
