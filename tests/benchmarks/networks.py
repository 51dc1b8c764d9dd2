"""Training of networks, a call for each step and a call for a hundred, beside the matrix products alone.

python -m tests.benchmarks.networks
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.benchmarks import perceptron, report
from tests.benchmarks.comparison import EXPLANATION, Runs, comparison, step_runs
from tests.benchmarks.limits import blas_products
from tests.benchmarks.perceptron import NETWORKS, examples, parameters
from tests.benchmarks.report import Options, section

STEPS = 100  # of an epoch
PRODUCTS = "products alone"


def step_case(sizes: list[int], batch: int) -> Runs:
    """A step a call."""
    state, data = parameters(sizes), examples(sizes, batch)
    runs = step_runs(perceptron.step, state, data, perceptron.step_by_hand)
    return {**runs, PRODUCTS: blas_products(perceptron.products(sizes, batch))}


def epoch_case(sizes: list[int], batch: int) -> Runs:
    """All steps in one call."""
    state, data = parameters(sizes), examples(sizes, batch, (STEPS,))
    runs = step_runs(perceptron.epoch, state, data, perceptron.epoch_by_hand)
    products = blas_products(perceptron.products(sizes, batch))
    return {**runs, PRODUCTS: lambda count: products(count * STEPS)}


CASES: dict[str, Callable[[], Runs]] = {
    **{f"step of {name}": partial(step_case, *network) for name, network in NETWORKS.items()},
    **{f"{STEPS} steps of {name}": partial(epoch_case, *network) for name, network in NETWORKS.items()},
}


def main(options: Options) -> str:
    """The section of the page."""
    text = f"""
A step is the gradient of a network of tanh layers with softmax cross-entropy and the new parameters, float32;
{STEPS} steps are one call with a `scan` inside. "Products alone" are the matrix products of the step and nothing else,
by SciPy's BLAS, with all its threads.

{EXPLANATION}"""
    return section("Training of networks", text, comparison(CASES, options))


if __name__ == "__main__":
    report.run(main, __doc__)
