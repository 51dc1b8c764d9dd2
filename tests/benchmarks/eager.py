"""Gradients without `jit`, beside HIPS autograd's; those of each example beside JAX's.

python -m tests.benchmarks.eager
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np

import fungrad as fg
from tests.benchmarks import report
from tests.benchmarks.report import Options, progress, ratio, seconds, section, table
from tests.benchmarks.timing import calls, in_turns

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(0)


def chain(xp: Any) -> Callable[[Any], Any]:
    """1,500 operations on one number."""

    def f(x: Any) -> Any:
        for _ in range(500):
            x = xp.sin(x) * 1.01 + 0.1
        return x

    return f


def perceptron(xp: Any) -> Callable[..., Any]:
    """A network 64-128-64-10 on a batch of 64."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(64, 64)), np.eye(10)[rng.integers(0, 10, 64)]

    def loss(params: Any) -> Any:
        (w1, b1), (w2, b2), (w3, b3) = params
        h = xp.tanh(xp.dot(x, w1) + b1)
        h = xp.tanh(xp.dot(h, w2) + b2)
        z = xp.dot(h, w3) + b3
        z = z - xp.max(z, axis=1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.mean(xp.sum(y * log_p, axis=1))

    return loss


def elementwise(xp: Any) -> Callable[[Any], Any]:
    """A few functions of 1,000 numbers."""
    return lambda x: xp.sum(xp.tanh(xp.sin(x) * xp.exp(-x * x)) / (1.0 + x**2))


PARAMS = [(RNG.normal(size=(n, m)) / 8, np.zeros(m)) for n, m in ((64, 128), (128, 64), (64, 10))]
CASES: dict[str, tuple[Callable[[Any], Callable[..., Any]], Any]] = {
    "chain of 1,500 scalar operations": (chain, 0.3),
    "3-layer perceptron, batch 64": (perceptron, PARAMS),
    "elementwise on 1,000 numbers": (elementwise, RNG.normal(size=1000)),
}


def example_loss(xp: Any) -> Callable[..., Any]:
    """The loss of a tanh network for one example."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = xp.tanh(x @ w + b)
        w, b = params[-1]
        z = x @ w + b
        z = z - xp.max(z)
        return -xp.sum(y * (z - xp.log(xp.sum(xp.exp(z)))))

    return loss


def gradients_of_examples(library: Any, xp: Any) -> Callable[..., Any]:
    """The gradient of each example."""
    gradients = library.vmap(library.grad(example_loss(xp)), (None, 0, 0))
    return lambda params, x, y: gradients(params, x, y)


def directional_derivative(library: Any, xp: Any) -> Callable[..., Any]:
    """The derivative of the loss of a batch along the parameters themselves."""
    loss = example_loss(xp)
    return lambda params, x, y: library.jvp(lambda p: loss(p, x, y), (params,), (params,))


BESIDE_JAX = {
    "each of 32 examples, network 64-32-10, by vmap": gradients_of_examples,
    "network 64-32-10, batch 32, along its parameters, by jvp": directional_derivative,
}


def beside_jax(make: Callable[..., Callable[..., Any]], options: Options) -> dict[str, float]:
    """Seconds of a derivative of a network 64-32-10 and 32 examples, nothing compiled."""
    params = [(RNG.normal(size=(n, m)) / 8, np.zeros(m)) for n, m in ((64, 32), (32, 10))]
    arguments = (params, RNG.normal(size=(32, 64)), np.eye(10)[RNG.integers(0, 10, 32)])
    device = jax.tree.map(jnp.asarray, arguments)
    ours, theirs = make(fg, np), make(jax, jnp)
    for a, b in zip(fg.tree.leaves(ours(*arguments)), jax.tree.leaves(theirs(*device)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    runs = {
        "fungrad": calls(lambda: ours(*arguments)),
        "JAX": calls(lambda: jax.block_until_ready(theirs(*device))),
    }
    return in_turns(runs, options.quick, budget=2.0)


def rows(options: Options) -> list[list[str]]:
    """Each case with the library it is beside."""
    found = []
    for name, (make, argument) in CASES.items():
        if options.wants(name):
            ours, theirs = fg.grad(make(np)), autograd.grad(make(anp))
            for a, b in zip(fg.tree.leaves(ours(argument)), fg.tree.leaves(theirs(argument)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
            runs = {
                "fungrad": calls(lambda f=ours, a=argument: f(a)),
                "autograd": calls(lambda f=theirs, a=argument: f(a)),
            }
            found.append((name, in_turns(runs, options.quick, budget=2.0)))
    found += [(name, beside_jax(make, options)) for name, make in BESIDE_JAX.items() if options.wants(name)]
    rows = []
    for name, times in found:
        (mine, other), peer = times.values(), list(times)[1]
        rows.append([name, seconds(mine), f"{peer} {seconds(other)}", ratio(other / mine)])
        progress("   ".join(rows[-1]))
    return rows


def main(options: Options) -> str:
    """The section of the page."""
    text = "Backpropagation with nothing compiled, on either side. The last column is above 1 where we are faster."
    return section(
        "Gradients without compilation", text, table(["derivative of", "fungrad", "beside", "ratio"], rows(options))
    )


if __name__ == "__main__":
    report.run(main, __doc__)
