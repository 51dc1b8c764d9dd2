"""Compiled gradients beside JAX's: `python -m tests.benchmarks.compiled`. Values are compared before anything is
timed.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import fungrad as fg

jax.config.update("jax_enable_x64", True)
RNG = np.random.default_rng(0)
RATE = np.float32(0.01)
CHAIN = 20  # calls in a measured run


def perceptron_step(xp: Any, value_and_grad: Any) -> Callable[..., Any]:
    """One SGD step of a tanh network with softmax cross-entropy: params, x, y -> params."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = xp.tanh(x @ w + b)
        w, b = params[-1]
        z = x @ w + b
        z = z - xp.max(z, axis=1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True))
        return -xp.mean(xp.sum(y * log_p, axis=1))

    def step(params: Any, x: Any, y: Any) -> Any:
        _, grads = value_and_grad(loss)(params, x, y)
        return [(w - RATE * gw, b - RATE * gb) for (w, b), (gw, gb) in zip(params, grads, strict=True)]

    return step


def step_case(sizes: list[int], batch: int) -> tuple[Any, Any, Any]:
    """Chains of training steps: ours, JAX waiting each step, JAX donated and asynchronous."""
    params = [
        ((RNG.normal(size=(n, m)) / np.sqrt(n)).astype(np.float32), np.zeros(m, np.float32)) for n, m in pairwise(sizes)
    ]
    x = RNG.normal(size=(batch, sizes[0])).astype(np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[RNG.integers(0, sizes[-1], batch)]
    ours = fg.jit(perceptron_step(np, fg.value_and_grad))
    plain = jax.jit(perceptron_step(jnp, jax.value_and_grad))
    best = jax.jit(perceptron_step(jnp, jax.value_and_grad), donate_argnums=0)
    jx, jy = jnp.asarray(x), jnp.asarray(y)
    device = jax.tree.map(jnp.asarray, params)
    _same(ours(params, x, y), plain(device, jx, jy), 1e-5)

    def run_ours() -> None:
        p = params
        for _ in range(CHAIN):
            p = ours(p, x, y)

    def run_plain() -> None:
        p = device
        for _ in range(CHAIN):
            p = jax.block_until_ready(plain(p, jx, jy))

    def run_best() -> None:
        p = jax.tree.map(jnp.array, params)
        for _ in range(CHAIN):
            p = best(p, jx, jy)
        jax.block_until_ready(p)

    return run_ours, run_plain, run_best


def gradient_case(make: Callable[[Any], Any], *arguments: Any, value: bool = False) -> tuple[Any, Any, Any]:
    """The gradient of a scalar function, and its value if asked for, call by call."""
    if value:
        ours, theirs = fg.jit(fg.value_and_grad(make(np))), jax.jit(jax.value_and_grad(make(jnp)))
    else:
        ours, theirs = fg.jit(fg.grad(make(np))), jax.jit(jax.grad(make(jnp)))
    device = [jnp.asarray(x) for x in arguments]
    _same(ours(*arguments), theirs(*device), 1e-4 if arguments[0].dtype == np.float32 else 1e-9)

    def run(f: Any, xs: Any, wait: Any) -> None:
        for _ in range(CHAIN):
            wait(f(*xs))

    def run_best() -> None:
        jax.block_until_ready([theirs(*device) for _ in range(CHAIN)])

    return (
        functools.partial(run, ours, arguments, lambda r: r),
        functools.partial(run, theirs, device, jax.block_until_ready),
        run_best,
    )


def loop_case(make: Callable[..., Any], *arguments: Any) -> tuple[Any, Any, Any]:
    """A function that contains a loop, call by call; `make` takes the modules to write it with."""
    ours = fg.jit(make(np, fg.lax, fg.value_and_grad))
    theirs = jax.jit(make(jnp, jax.lax, jax.value_and_grad))
    device = jax.tree.map(jnp.asarray, arguments)
    _same(ours(*arguments), theirs(*device), 1e-3 if jax.tree.leaves(arguments)[0].dtype == np.float32 else 1e-9)

    def run_best() -> None:
        jax.block_until_ready([theirs(*device) for _ in range(CHAIN)])

    def run_ours() -> None:
        for _ in range(CHAIN):
            ours(*arguments)

    def run_plain() -> None:
        for _ in range(CHAIN):
            jax.block_until_ready(theirs(*device))

    return run_ours, run_plain, run_best


def epoch(sizes: list[int], batch: int, steps: int = 100) -> tuple[Any, Any, Any]:
    """Many training steps in one call."""

    def make(xp: Any, lax: Any, value_and_grad: Any) -> Any:
        step = perceptron_step(xp, value_and_grad)
        return lambda params, xs, ys: lax.scan(lambda p, b: (step(p, *b), None), params, (xs, ys))[0]

    params = [
        ((RNG.normal(size=(n, m)) / np.sqrt(n)).astype(np.float32), np.zeros(m, np.float32)) for n, m in pairwise(sizes)
    ]
    xs = RNG.normal(size=(steps, batch, sizes[0])).astype(np.float32)
    ys = np.eye(sizes[-1], dtype=np.float32)[RNG.integers(0, sizes[-1], (steps, batch))]
    return loop_case(make, params, xs, ys)


def recurrent(xp: Any, lax: Any, value_and_grad: Any) -> Any:
    def loss(params: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = xp.tanh(x @ params[0] + h @ params[1])
            return h, None

        last, _ = lax.scan(step, xp.zeros_like(xs[0]), xs)
        return xp.mean(last * last)

    return value_and_grad(loss)


def pendulum(xp: Any, lax: Any, value_and_grad: Any) -> Any:
    """1,000 steps of Runge and Kutta's method."""

    def last(p: Any) -> Any:
        def slope(theta: Any, omega: Any) -> Any:
            return omega, -p[0] * xp.sin(theta)

        def step(state: Any, _: Any) -> Any:
            theta, omega = state
            h = 0.01
            a, b = slope(theta, omega)
            c, d = slope(theta + h / 2 * a, omega + h / 2 * b)
            e, f = slope(theta + h / 2 * c, omega + h / 2 * d)
            g, k = slope(theta + h * e, omega + h * f)
            return (theta + h / 6 * (a + 2 * c + 2 * e + g), omega + h / 6 * (b + 2 * d + 2 * f + k)), None

        return lax.scan(step, (p[1], p[2]), None, length=1000)[0][0]

    return value_and_grad(last)


def _same(ours: Any, theirs: Any, tolerance: float) -> None:
    for a, b in zip(fg.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def waves(xp: Any) -> Any:
    return lambda x: xp.sum(xp.tanh(xp.sin(x) * xp.exp(-x * x)))


def cross_entropy(xp: Any) -> Any:
    def loss(z: Any) -> Any:
        z = z - xp.max(z, axis=1, keepdims=True)
        return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - z[:, 0])

    return loss


def log_sum_exp(xp: Any) -> Any:
    def total(x: Any) -> Any:
        top = xp.max(x, axis=-1, keepdims=True)
        return xp.sum(xp.log(xp.sum(xp.exp(x - top), axis=-1, keepdims=True)) + top)

    return total


def layer_norm(xp: Any) -> Any:
    def loss(x: Any) -> Any:
        centred = x - xp.mean(x, axis=1, keepdims=True)
        scaled = centred / xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + np.float32(1e-5))
        return xp.sum(scaled * scaled * scaled)

    return loss


def logistic_regression(xp: Any) -> Any:
    return lambda w, x, y: xp.mean(xp.logaddexp(0.0, x @ w) - y * (x @ w))


def black_scholes(xp: Any) -> Any:
    """The sum of the values of call options, whose gradient are their deltas and vegas."""

    def total(spot: Any, volatility: Any) -> Any:
        strike, rate, years = 100.0, 0.03, 0.5
        spread = volatility * years**0.5
        d1 = (xp.log(spot / strike) + (rate + volatility * volatility / 2) * years) / spread
        n1, n2 = (0.5 * (1 + xp.tanh(0.7978845608 * (d + 0.044715 * d * d * d))) for d in (d1, d1 - spread))
        return xp.sum(spot * n1 - strike * np.exp(-rate * years) * n2)

    return total


def rosenbrock(xp: Any) -> Any:
    return lambda x: xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


CASES: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "MLP step 64-32-10, batch 32, f32": lambda: step_case([64, 32, 10], 32),
    "MLP step 64-128-64-10, batch 64, f32": lambda: step_case([64, 128, 64, 10], 64),
    "MLP step 784-256-128-10, batch 128, f32": lambda: step_case([784, 256, 128, 10], 128),
    "sum(tanh(sin(x) exp(-x x))), n = 1,000, f64": lambda: gradient_case(waves, RNG.normal(size=1000)),
    "the same, n = 100,000, f32": lambda: gradient_case(waves, RNG.normal(size=100_000).astype(np.float32)),
    "the same, n = 100,000, f64": lambda: gradient_case(waves, RNG.normal(size=100_000)),
    "the same, n = 5,000,000, f32": lambda: gradient_case(waves, RNG.normal(size=5_000_000).astype(np.float32)),
    "cross-entropy 128 x 1000, f32": lambda: gradient_case(
        cross_entropy, RNG.normal(size=(128, 1000)).astype(np.float32)
    ),
    "the same with its value, f32": lambda: gradient_case(
        cross_entropy, RNG.normal(size=(128, 1000)).astype(np.float32), value=True
    ),
    "cross-entropy and its value 1024 x 1000, f32": lambda: gradient_case(
        cross_entropy, RNG.normal(size=(1024, 1000)).astype(np.float32), value=True
    ),
    "layer norm 1024 x 768, f32": lambda: gradient_case(layer_norm, RNG.normal(size=(1024, 768)).astype(np.float32)),
    "log-sum-exp of rows 1024 x 1000, f32": lambda: gradient_case(
        log_sum_exp, RNG.normal(size=(1024, 1000)).astype(np.float32)
    ),
    "log-sum-exp of n = 1,000,000, f64": lambda: gradient_case(log_sum_exp, RNG.normal(size=1_000_000)),
    "logistic regression 100,000 x 50, f64": lambda: gradient_case(
        logistic_regression,
        RNG.normal(size=50),
        RNG.normal(size=(100_000, 50)),
        RNG.integers(0, 2, 100_000).astype(np.float64),
    ),
    "Black-Scholes, value, delta and vega, n = 1,000,000, f64": lambda: gradient_case(
        black_scholes, RNG.uniform(80, 120, 1_000_000), RNG.uniform(0.1, 0.5, 1_000_000), value=True
    ),
    "100 steps of MLP 64-32-10, batch 32, in one call, f32": lambda: epoch([64, 32, 10], 32),
    "100 steps of MLP 64-128-64-10, batch 64, in one call, f32": lambda: epoch([64, 128, 64, 10], 64),
    "10,000 steps of a 2-2-1 network, batch 1, in one call, f32": lambda: epoch([2, 2, 1], 1, 10_000),
    "recurrent network, 200 steps, 64 wide, batch 32, f32": lambda: loop_case(
        recurrent,
        [(RNG.normal(size=(64, 64)) / 8).astype(np.float32) for _ in range(2)],
        RNG.normal(size=(200, 32, 64)).astype(np.float32),
    ),
    "pendulum, 1,000 steps of RK4, f64": lambda: loop_case(pendulum, np.array([9.81, 0.5, 0.1])),
    "Rosenbrock, n = 100,000, f64": lambda: gradient_case(rosenbrock, RNG.normal(size=100_000)),
}


def main(rounds: int = 15) -> list[tuple[str, float, float, float]]:
    """Microseconds a call for each case: ours, JAX plain, JAX best."""
    rows = []
    for name, make in CASES.items():
        runs = make()
        for run in runs:
            run()
        times: list[list[float]] = [[], [], []]
        for _ in range(rounds):
            for run, seen in zip(runs, times, strict=True):
                start = time.perf_counter()
                run()
                seen.append(time.perf_counter() - start)
        ours, plain, best = (1e6 * statistics.median(seen) / CHAIN for seen in times)
        rows.append((name, ours, plain, min(plain, best)))
        print(
            f"{name:58}{ours:10.0f} us   JAX plain {plain / ours:6.2f}   best {min(plain, best) / ours:6.2f}",
            flush=True,
        )
    return rows


if __name__ == "__main__":
    main()
