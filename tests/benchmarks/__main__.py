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
from tests.benchmarks import compiled, eager, elementary, figures, overheads

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
    mine, other = eager.per_example()
    compiled_rows = "\n".join(
        f"| {name} | {ours:,.0f} | {plain:,.0f} | {best:,.0f} | {plain / ours:.1f} | {best / ours:.1f} |"
        for name, ours, plain, best in compiled.main()
    )
    overhead_rows = "\n".join(f"| {' | '.join(row)} |" for row in overheads.main())
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

## Eager gradients of each example beside JAX

`vmap(grad(loss), (None, 0, 0))` of a network 64-32-10 for 32 examples, nothing compiled on either side:
{mine:.1f} ms, JAX {other:.1f} ms, ratio {mine / other:.2f}.

## Compiled gradients beside JAX

Median microseconds a call. JAX "plain" waits for each result; "best" leaves dispatch asynchronous over a chain of
steps with donated arguments. Ratios are JAX's time over ours; above 1 we are faster. fungrad computes on one core, but
for large matrix products.

| case | fungrad | JAX plain | JAX best | plain ratio | best ratio |
|---|---|---|---|---|---|
{compiled_rows}

## Overheads beside JAX

What a compiled function costs besides computing (`python -m tests.benchmarks.overheads`). Ratios are JAX's time over
ours; above 1 we are faster. Compile times are of new programs in a process that has compiled before. The training step
is that of a network 784-256-128-10, batch 128; fresh processes are timed from their first import.

| what | fungrad | JAX | ratio |
|---|---|---|---|
{overhead_rows}

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
