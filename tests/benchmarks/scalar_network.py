"""The lecture's network of three numbers, trained example by example: what a call and what a round of a loop costs.

python -m tests.benchmarks.scalar_network
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks import by_hand, report
from tests.benchmarks.comparison import EXPLANATION, Runs, comparison, step_runs
from tests.benchmarks.peers import Library
from tests.benchmarks.report import Options, section

STEPS, RATE = 10_000, 0.01


def step(library: Library) -> Callable[..., Any]:
    """One example's step: weights, x, y -> weights."""

    def loss(weights: Any, x: Any, y: Any) -> Any:
        a1, a2, a3 = weights
        return (a3 * (a2 * (a1 * x) ** 2) ** 2 - y) ** 2

    def descend(weights: Any, x: Any, y: Any) -> Any:
        _, gradient = library.value_and_grad(loss)(weights, x, y)
        return tuple(a - RATE * g for a, g in zip(weights, gradient, strict=True))

    return descend


def epoch(library: Library) -> Callable[..., Any]:
    """A step for each example."""
    descend = step(library)
    return lambda weights, xs, ys: library.scan(lambda w, one: (descend(w, *one), None), weights, (xs, ys))[0]


def _step_by_hand(weights: Any, x: float, y: float) -> Any:
    return by_hand.scalar_step(weights, x, y, RATE)


def _epoch_by_hand(weights: Any, xs: Any, ys: Any) -> Any:
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        weights = by_hand.scalar_step(weights, x, y, RATE)
    return weights


def data() -> tuple[Any, Any, Any]:
    xs = np.random.default_rng(0).uniform(0.2, 1.0, STEPS)
    return tuple(np.array([0.5, 0.9, 0.8])), xs, xs**4


def _one_call_a_step() -> Runs:
    weights, xs, ys = data()
    return step_runs(step, weights, (xs, ys), _step_by_hand, calls=STEPS)


def _one_call() -> Runs:
    weights, xs, ys = data()
    return step_runs(epoch, weights, (xs, ys), _epoch_by_hand)


CASES: dict[str, Callable[[], Runs]] = {
    f"{STEPS:,} steps, a call for each": _one_call_a_step,
    f"{STEPS:,} steps, one call for all": _one_call,
}


def main(options: Options) -> str:
    """The section of the page."""
    text = f"""
The network o = a3 (a2 (a1 x)^2)^2 of the lecture with the loss (o - y)^2, descent by single examples, float64. By hand
it runs on NumPy's numbers, or Python's.

{EXPLANATION}"""
    return section("A network of three numbers", text, comparison(CASES, options))


if __name__ == "__main__":
    report.run(main, __doc__)
