"""The network whose training is measured: tanh layers, softmax cross-entropy, gradient descent, all in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tests.benchmarks.peers import Library

NETWORKS: dict[str, tuple[list[int], int]] = {
    "64-32-10, batch 32": ([64, 32, 10], 32),
    "64-128-64-10, batch 64": ([64, 128, 64, 10], 64),
    "784-256-128-10, batch 128": ([784, 256, 128, 10], 128),
    "784-1024-1024-10, batch 256": ([784, 1024, 1024, 10], 256),
}
RATE = 0.01


def parameters(sizes: Sequence[int]) -> list[tuple[Any, Any]]:
    """Random weights and biases 0 of each layer."""
    rng = np.random.default_rng(0)
    return [
        ((rng.normal(size=(n, m)) / np.sqrt(n)).astype(np.float32), np.zeros(m, np.float32)) for n, m in pairwise(sizes)
    ]


def examples(sizes: Sequence[int], batch: int, steps: tuple[int, ...] = ()) -> tuple[Any, Any]:
    """Inputs (*steps, batch, n) and their classes as unit vectors."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((*steps, batch, sizes[0]), np.float32)
    return x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], (*steps, batch))]


def loss(library: Library) -> Callable[..., Any]:
    """The loss of a batch: params, x, y -> number."""
    xp = library.xp

    def mean_loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = xp.tanh(x @ w + b)
        w, b = params[-1]
        z = x @ w + b
        z = z - xp.max(z, axis=1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.mean(xp.sum(y * log_p, axis=1))

    return mean_loss


def step(library: Library) -> Callable[..., Any]:
    """A step of gradient descent: params, x, y -> params."""

    def descend(params: Any, x: Any, y: Any) -> Any:
        _, grads = library.value_and_grad(loss(library))(params, x, y)
        return [(w - RATE * gw, b - RATE * gb) for (w, b), (gw, gb) in zip(params, grads, strict=True)]

    return descend


def epoch(library: Library) -> Callable[..., Any]:
    """A step for each row of the data: params, xs, ys -> params."""
    descend = step(library)

    def run(params: Any, xs: Any, ys: Any) -> Any:
        return library.scan(lambda p, batch: (descend(p, *batch), None), params, (xs, ys))[0]

    return run


def step_by_hand(params: Any, x: Any, y: Any) -> Any:
    """The same step, its gradient written out."""
    inputs = [x]
    for w, b in params[:-1]:
        inputs.append(np.tanh(inputs[-1] @ w + b))
    w, b = params[-1]
    p = inputs[-1] @ w
    p += b
    p -= p.max(axis=1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    p -= y
    p *= 1 / len(x)
    g = p
    stepped = []
    for (w, b), h in zip(params[::-1], inputs[::-1], strict=True):
        stepped.append((w - RATE * (h.T @ g), b - RATE * g.sum(axis=0)))
        if h is not x:
            g = (g @ w.T) * (1 - h * h)
    return stepped[::-1]


def epoch_by_hand(params: Any, xs: Any, ys: Any) -> Any:
    """The same steps in a Python loop."""
    for x, y in zip(xs, ys, strict=True):
        params = step_by_hand(params, x, y)
    return params


def products(sizes: Sequence[int], batch: int) -> list[tuple[int, int, int, bool, bool]]:
    """The matrix products of a step: rows, columns, contracted, and whether each factor is read transposed."""
    found = []
    for layer, (n, m) in enumerate(pairwise(sizes)):
        found.append((batch, m, n, False, False))  # x w
        found.append((n, m, batch, True, False))  # x^T g
        if layer > 0:
            found.append((batch, n, m, False, True))  # g w^T
    return found
