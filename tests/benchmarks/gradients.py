"""Compiled gradients: elementwise, by rows, of models, through loops; and what they cost beside the function alone.

python -m tests.benchmarks.gradients
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.benchmarks import peers, perceptron, report
from tests.benchmarks.comparison import EXPLANATION, Runs, comparison, function_runs
from tests.benchmarks.perceptron import NETWORKS, examples, parameters
from tests.benchmarks.problems import PROBLEMS, Problem
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import calls, in_turns


def runs_of(problem: Problem) -> Runs:
    """The gradient by every library."""
    return function_runs(problem.gradient, problem.arguments(), problem.gradient_by_hand)


CASES: dict[str, Callable[[], Runs]] = {name: partial(runs_of, problem) for name, problem in PROBLEMS.items()}


def _network_loss(sizes: list[int], batch: int) -> Problem:
    return Problem(perceptron.loss, lambda: (parameters(sizes), *examples(sizes, batch)))


SUITE: dict[str, Problem] = {
    **{f"network {name}": _network_loss(*network) for name, network in NETWORKS.items()},
    **PROBLEMS,
}


def cost(problem: Problem, options: Options) -> tuple[float, float]:
    """Seconds of a function and of its value and gradient, both compiled."""
    library, arguments = peers.ours(), problem.arguments()
    f = problem.loss(library)
    alone, both = library.jit(f), library.jit(library.value_and_grad(f))

    def call(f: Any) -> Any:
        f(*arguments)  # compiles
        return calls(lambda: f(*arguments))

    times = in_turns({"f": call(alone), "both": call(both)}, options.quick, budget=1.0)
    return times["f"], times["both"]


def cost_tables(options: Options) -> list[str]:
    """The gradient's cost for each problem of the suite, and its median and maximum."""
    rows, ratios = [], []
    for name, problem in SUITE.items():
        if options.wants(name):
            f, both = cost(problem, options)
            ratios.append(both / f)
            rows.append([name, seconds(f), seconds(both), ratio(both / f)])
            progress(f"{name:66} gradient cost {both / f:.2f}")
    if not rows:
        return []
    summary = table(["median", "largest"], [[ratio(statistics.median(ratios)), ratio(max(ratios))]])
    return [table(["case", "function", "value and gradient", "ratio"], rows), summary]


def main(options: Options) -> str:
    """The sections of the page."""
    compiled = section("Compiled gradients", EXPLANATION, comparison(CASES, options))
    costs = section(
        "What a gradient costs", "Compiled value and gradient beside the compiled function.", *cost_tables(options)
    )
    return "\n".join(filter(None, [compiled, costs]))


if __name__ == "__main__":
    report.run(main, __doc__)
