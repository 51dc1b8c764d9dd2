"""Eager gradients beside HIPS autograd's, those of each example beside JAX's: `python -m tests.benchmarks.eager`.

Prints the median time of each, measured in turns so that both see the same machine, and their ratio (below 1: we are
faster).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np

import fungrad as fg

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
    x = RNG.normal(size=(64, 64))
    y = np.eye(10)[RNG.integers(0, 10, 64)]

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


def medians(functions: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The median time of each function in milliseconds, called in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for f, seen in zip(functions, times, strict=True):
            start = time.perf_counter()
            f()
            seen.append(time.perf_counter() - start)
    return [1e3 * statistics.median(seen) for seen in times]


def main(rounds: int = 201) -> dict[str, float]:
    """Print the table; return the ratios."""
    ratios = {}
    print(f"{'gradient of':36}{'fungrad ms':>12}{'autograd ms':>13}{'ratio':>8}")
    for name, (make, argument) in CASES.items():
        ours, theirs = fg.grad(make(np)), autograd.grad(make(anp))
        mine, other = medians([lambda f=ours, a=argument: f(a), lambda f=theirs, a=argument: f(a)], rounds)
        ratios[name] = mine / other
        print(f"{name:36}{mine:12.3f}{other:13.3f}{ratios[name]:8.2f}")
    return ratios


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


def per_example(rounds: int = 101) -> tuple[float, float]:
    """Gradients of each of 32 examples of a network 64-32-10, nothing compiled: our and JAX's milliseconds."""
    params = [(RNG.normal(size=(n, m)) / 8, np.zeros(m)) for n, m in ((64, 32), (32, 10))]
    arguments = (params, RNG.normal(size=(32, 64)), np.eye(10)[RNG.integers(0, 10, 32)])
    device = jax.tree.map(jnp.asarray, arguments)
    ours = fg.vmap(fg.grad(example_loss(np)), (None, 0, 0))
    theirs = jax.vmap(jax.grad(example_loss(jnp)), (None, 0, 0))
    for a, b in zip(fg.tree.leaves(ours(*arguments)), jax.tree.leaves(theirs(*device)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    mine, other = medians([lambda: ours(*arguments), lambda: jax.block_until_ready(theirs(*device))], rounds)
    print(f"{'each of 32 examples, 64-32-10':36}{mine:12.3f}{other:13.3f}{mine / other:8.2f}   (JAX)")
    return mine, other


if __name__ == "__main__":
    main()
    per_example()
