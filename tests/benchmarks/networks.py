"""Training of networks, a call for each step and a call for a hundred, beside the matrix products alone.

python -m tests.benchmarks.networks
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from threadpoolctl import ThreadpoolController

from tests.benchmarks import perceptron, report
from tests.benchmarks.comparison import EXPLANATION, Runs, comparison, step_runs
from tests.benchmarks.limits import blas_products
from tests.benchmarks.perceptron import NETWORKS, examples, parameters
from tests.benchmarks.report import Options, section
from tests.benchmarks.timing import Run

STEPS = 100  # of an epoch
PRODUCTS, ON_ONE_THREAD = "products alone", "products, one thread"


def step_case(sizes: list[int], batch: int) -> Runs:
    """A step a call."""
    state, data = parameters(sizes), examples(sizes, batch)
    runs = step_runs(perceptron.step, state, data, perceptron.step_by_hand)
    return {**runs, **products_alone(sizes, batch, 1)}


def epoch_case(sizes: list[int], batch: int) -> Runs:
    """All steps in one call."""
    state, data = parameters(sizes), examples(sizes, batch, (STEPS,))
    runs = step_runs(perceptron.epoch, state, data, perceptron.epoch_by_hand)
    return {**runs, **products_alone(sizes, batch, STEPS)}


def products_alone(sizes: list[int], batch: int, steps: int) -> dict[str, Run]:
    """The products of some steps, by BLAS with all its threads and with one: threads that wait can be far slower."""
    run, pools = blas_products(perceptron.products(sizes, batch)), ThreadpoolController()

    def on_one_thread(count: int) -> None:
        with pools.limit(limits=1, user_api="blas"):
            run(count * steps)

    return {PRODUCTS: lambda count: run(count * steps), ON_ONE_THREAD: on_one_thread}


CASES: dict[str, Callable[[], Runs]] = {
    **{f"step of {name}": partial(step_case, *network) for name, network in NETWORKS.items()},
    **{f"{STEPS} steps of {name}": partial(epoch_case, *network) for name, network in NETWORKS.items()},
}


def main(options: Options) -> str:
    """The section of the page."""
    text = f"""
A step is the gradient of a network of tanh layers with softmax cross-entropy and the new parameters, float32;
{STEPS} steps are one call with a `scan` inside. "Products alone" are the matrix products of the step and nothing else,
by SciPy's BLAS, with all its threads and on one.

{EXPLANATION}"""
    return section("Training of networks", text, comparison(CASES, options))


if __name__ == "__main__":
    report.run(main, __doc__)
