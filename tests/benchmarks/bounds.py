"""What bounds some of the cases: each beside the part of it that takes most of its time and cannot be left out.

python -m tests.benchmarks.bounds
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

import numpy as np

import fungrad as fg
from tests.benchmarks import limits, networks, overheads, peers, perceptron, problems, report, scalar_network
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import Run, calls, in_turns

LARGE = "784-1024-1024-10, batch 256"  # the network whose products take all its time
DEPENDENT = 16  # operations from the weight of one step to that of the next that wait for each other
STRICT = 12  # operations of an element of the gradient of Rosenbrock's function, none of which may be fused


class Bounded(NamedTuple):
    """Two runs: of the case, and of the part that bounds it."""

    case: Run
    bound: Run
    what: str


def _call(f: Callable[..., Any], *arguments: Any) -> Run:
    compiled = fg.jit(f)
    return calls(lambda: compiled(*arguments))


def _scalar_network() -> Bounded:
    weights, xs, ys = scalar_network.data()

    def operations(total: Any, _: Any) -> Any:
        for _ in range(DEPENDENT // 2):
            total = total * 0.5 + 0.25
        return total, None

    what = f"{DEPENDENT} operations a step, each of which waits for the one before"
    chain = _call(lambda x: fg.lax.scan(operations, x, None, length=scalar_network.STEPS)[0], 1.0)
    return Bounded(_call(scalar_network.epoch(peers.ours()), weights, xs, ys), chain, what)


def _large_network() -> Bounded:
    sizes, batch = perceptron.NETWORKS[LARGE]
    params, data = perceptron.parameters(sizes), perceptron.examples(sizes, batch, (networks.STEPS,))
    operations = networks.STEPS * sum(m * n * k for m, n, k, *_ in perceptron.products(sizes, batch))
    count = round(operations / limits.SIZE**3)
    large = limits.blas_products([(limits.SIZE, limits.SIZE, limits.SIZE, False, False)])
    what = f"as many operations in products of {limits.SIZE} x {limits.SIZE} by SciPy's BLAS"
    epoch = _call(perceptron.epoch(peers.ours()), params, *data)
    return Bounded(epoch, lambda times: large(times * count), what)


def _waves(dtype: Any) -> Bounded:
    x = problems.normal(5_000_000, dtype=dtype)
    functions = _call(lambda x: np.sin(x) + np.cos(x) + np.exp(-x * x) + np.tanh(x), x)
    gradient = fg.grad(problems.waves(peers.ours()))
    return Bounded(_call(gradient, x), functions, "its four elementary functions, to 1 ulp, and a result")


def _rosenbrock(part: Callable[[Any], Any], what: str) -> Bounded:
    x = problems.normal(100_000)
    gradient = fg.grad(problems.rosenbrock(peers.ours()))
    return Bounded(_call(gradient, x), _call(part, x), what)


def _rosenbrock_arithmetic() -> Bounded:
    def operations(x: Any) -> Any:
        total = x
        for _ in range(STRICT // 2):
            total = total * x + 0.5
        return total

    return _rosenbrock(operations, f"{STRICT} multiplications and additions of each number, and a result")


def _rosenbrock_traffic() -> Bounded:
    return _rosenbrock(lambda x: x + 1.0, "to read each number and to write a result, x + 1")


def _recurrent() -> Bounded:
    (w, u), xs = problems.sequences()

    def linear(params: Any, xs: Any) -> Any:
        last = fg.lax.scan(lambda h, x: (x @ params[0] + h @ params[1], None), np.zeros_like(xs[0]), xs)[0]
        return np.sum(last)

    gradient = fg.grad(problems.recurrent(peers.ours()))
    return Bounded(
        _call(gradient, (w, u), xs), _call(fg.grad(linear), (w, u), xs), "its 1,000 products of 32 x 64 by 64 x 64"
    )


def _new_program() -> Bounded:
    from fungrad.jit.emit_llvm import emit_module
    from fungrad.jit.machine_code import compile_text
    from fungrad.jit.runtime import Compiled

    numbers, library = count(), peers.ours()
    program = overheads.chain_of_ten(np, 0.5)
    text = emit_module(Compiled(fg.make_graph(program)(overheads.CHAIN_ARGUMENT)).program)[0]
    return Bounded(
        calls(lambda: overheads.chain(library, 1.5 + next(numbers))()),
        calls(lambda: compile_text(text)),
        "LLVM's passes and code generation",
    )


CASES: list[tuple[str, Callable[[], Bounded]]] = [
    (f"{scalar_network.STEPS:,} steps of the network of three numbers", _scalar_network),
    (f"{networks.STEPS} steps of {LARGE}", _large_network),
    ("sum(tanh(sin(x) exp(-x x))), n = 5,000,000, float32", lambda: _waves(np.float32)),
    ("sum(tanh(sin(x) exp(-x x))), n = 5,000,000, float64", lambda: _waves(np.float64)),
    ("Rosenbrock's function, n = 100,000, float64", _rosenbrock_arithmetic),
    ("Rosenbrock's function, n = 100,000, float64", _rosenbrock_traffic),
    ("recurrent network, 200 steps, 64 wide, batch 32, float32", _recurrent),
    ("new program: ten elementwise operations", _new_program),
]


def main(options: Options) -> str:
    """The section of the page."""
    os.environ["FUNGRAD_CACHE"] = "0"
    rows = []
    for name, make in CASES:
        if options.wants(name):
            bounded = make()
            times = in_turns({"case": bounded.case, "bound": bounded.bound}, options.quick)
            share = ratio(times["bound"] / times["case"])
            rows.append([name, seconds(times["case"]), seconds(times["bound"]), share, bounded.what])
            progress("   ".join(rows[-1]))
    text = """
The cases in which we are less far ahead, each beside a compiled program of fungrad that does only the part of it that
takes most of its time. Without another way to do that part, the case cannot take less time than its share."""
    return section("What bounds them", text, table(["case", "fungrad", "the part", "share", "what the part is"], rows))


if __name__ == "__main__":
    report.run(main, __doc__)
