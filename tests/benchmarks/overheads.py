"""What compiled code costs besides computing, beside JAX: `python -m tests.benchmarks.overheads`.

Calls are timed in turns in one process. Compile times are of programs that are new each time, in a process that has
compiled before, without the disk cache. First results are measured inside fresh processes, from the first import on.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fungrad as fg

jax.config.update("jax_enable_x64", True)
ROOT = Path(__file__).parent.parent.parent
Row = tuple[str, str, str, str]

FIRST_RESULT = """
import sys, time
start = time.perf_counter()
import numpy as np
if sys.argv[1] == "jax":
    import jax, jax.numpy as xp
    jit, grad = jax.jit, jax.grad
else:
    import fungrad
    xp, jit, grad = np, fungrad.jit, fungrad.grad
imported = time.perf_counter() - start

def loss(params, x, y):
    for w, b in params[:-1]:
        x = xp.tanh(x @ w + b)
    w, b = params[-1]
    z = x @ w + b
    z = z - xp.max(z, axis=1, keepdims=True)
    return -xp.mean(xp.sum(y * (z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))), axis=1))

def step(params, x, y):
    grads = grad(loss)(params, x, y)
    return [(w - np.float32(0.01) * gw, b - np.float32(0.01) * gb) for (w, b), (gw, gb) in zip(params, grads)]

sizes = [784, 256, 128, 10]
params = [(np.full((n, m), 0.01, np.float32), np.zeros(m, np.float32)) for n, m in zip(sizes, sizes[1:])]
x, y = np.ones((128, 784), np.float32), np.ones((128, 10), np.float32)
start = time.perf_counter()
out = jit(step)(params, x, y)
if sys.argv[1] == "jax":
    jax.block_until_ready(out)
print(imported, time.perf_counter() - start)
"""


def call_row(count: int, rounds: int = 200, calls: int = 50) -> Row:
    """A call of x + 1 for each of some small arrays; JAX's time is until the results are there."""
    arrays = [np.full(4, float(i)) for i in range(count)]
    device = [jnp.asarray(x) for x in arrays]
    ours, theirs = fg.jit(lambda *xs: [x + 1 for x in xs]), jax.jit(lambda *xs: [x + 1 for x in xs])
    runs = [
        lambda: ours(*arrays),
        lambda: jax.block_until_ready(theirs(*device)),
        lambda: theirs(*device),
    ]
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, seen in zip(runs, times, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                run()
            seen.append((time.perf_counter() - start) / calls)
    mine, waited, dispatched = (1e6 * statistics.median(seen) for seen in times)
    what = f"call with {count} array{'s' * (count > 1)} (JAX without waiting: {dispatched:.1f} us)"
    return what, f"{mine:.1f} us", f"{waited:.1f} us", f"{waited / mine:.1f}"


def chain(xp: Any, jit: Any, grad: Any, constant: float) -> Callable[[], Any]:
    """Ten elementwise operations."""
    x = xp.asarray(np.linspace(-3, 3, 1000))
    f = jit(lambda x: xp.tanh(xp.sin(x) * constant + 0.1) * xp.exp(-x * x) + x * 0.5)
    return lambda: f(x)


def network(xp: Any, jit: Any, grad: Any, constant: float) -> Callable[[], Any]:
    """The gradient of 16 layers."""

    def loss(params: Any, x: Any) -> Any:
        for w in params:
            x = xp.tanh(x @ w)
        return xp.sum(x) * constant

    f, params, x = jit(grad(loss)), [xp.asarray(np.eye(8)) for _ in range(16)], xp.asarray(np.ones((4, 8)))
    return lambda: f(params, x)


def compile_row(what: str, make: Callable[..., Callable[[], Any]], rounds: int = 9) -> Row:
    """Trace, compile and run a program that is new each time."""
    times: list[list[float]] = [[], []]
    for i in range(rounds + 1):
        for (xp, jit, grad), seen in zip(((np, fg.jit, fg.grad), (jnp, jax.jit, jax.grad)), times, strict=True):
            run = make(xp, jit, grad, 1.5 + i)
            start = time.perf_counter()
            jax.block_until_ready(run())
            seen.append(time.perf_counter() - start)
    mine, other = (1e3 * statistics.median(seen[1:]) for seen in times)
    return what, f"{mine:.0f} ms", f"{other:.0f} ms", f"{other / mine:.2f}"


def first_result_rows(rounds: int = 9) -> list[Row]:
    """From the first import of a fresh process to the first result of a training step."""
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "cache")
        cold = {"FUNGRAD_CACHE": "0"}
        warm = {"FUNGRAD_CACHE": "1", "FUNGRAD_CACHE_DIR": place}
        _fresh("fungrad", warm)
        seen: list[list[tuple[float, float]]] = [[], [], []]
        for _ in range(rounds):
            for (which, settings), times in zip((("fungrad", cold), ("fungrad", warm), ("jax", {})), seen, strict=True):
                times.append(_fresh(which, settings))
    (cold_all, cold_call), (warm_all, warm_call), (jax_all, jax_call) = (
        (statistics.median(a + b for a, b in times), statistics.median(b for _, b in times)) for times in seen
    )

    def row(what: str, mine: float, other: float) -> Row:
        return what, f"{mine:.2f} s", f"{other:.2f} s", f"{other / mine:.2f}"

    return [
        row("fresh process to first result of a training step, no cache", cold_all, jax_all),
        row("the same, found in the disk cache", warm_all, jax_all),
        row("first call alone, no cache", cold_call, jax_call),
        row("first call alone, found in the disk cache", warm_call, jax_call),
    ]


def _fresh(which: str, settings: dict[str, str]) -> tuple[float, float]:
    """Seconds of imports and of the first call in a fresh process."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(ROOT), **settings}
    output = subprocess.check_output([sys.executable, "-c", FIRST_RESULT, which], cwd=ROOT, env=environment)
    imports, call = output.split()
    return float(imports), float(call)


def main() -> list[Row]:
    """Print the rows; return them."""
    before = os.environ.get("FUNGRAD_CACHE")
    os.environ["FUNGRAD_CACHE"] = "0"
    try:
        rows = [call_row(count) for count in (1, 10, 50)]
        rows += [
            compile_row("trace, compile and run ten elementwise operations", chain),
            compile_row("trace, compile and run the gradient of 16 layers", network),
        ]
    finally:
        del os.environ["FUNGRAD_CACHE"]
        if before is not None:
            os.environ["FUNGRAD_CACHE"] = before
    rows += first_result_rows()
    for what, mine, other, ratio in rows:
        print(f"{what:66}{mine:>10}{other:>10}{ratio:>7}", flush=True)
    return rows


if __name__ == "__main__":
    main()
