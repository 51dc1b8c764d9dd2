"""Functions whose gradients are measured, each written once for all libraries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.benchmarks import by_hand
from tests.benchmarks.peers import Library

Loss = Callable[[Library], Callable[..., Any]]


@dataclass(frozen=True)
class Problem:
    """A scalar function and where it is differentiated.

    Attributes:
        loss: the function in the terms of a library, of parameters and data.
        arguments: makes the parameters and the data.
        by_hand: value and gradient of the parameters in plain NumPy.
        value: whether the value is wanted beside the gradient.
    """

    loss: Loss
    arguments: Callable[[], Sequence[Any]]
    by_hand: Callable[..., Any] | None = None
    value: bool = False

    def gradient(self, library: Library) -> Callable[..., Any]:
        """What is measured: the gradient, with the value if it is wanted."""
        both = library.value_and_grad(self.loss(library))
        return both if self.value else lambda *args: both(*args)[1]

    @property
    def gradient_by_hand(self) -> Callable[..., Any] | None:
        """The same in plain NumPy."""
        both = self.by_hand
        return both if self.value or both is None else lambda *args: both(*args)[1]


def waves(library: Library) -> Callable[..., Any]:
    xp = library.xp
    return lambda x: xp.sum(xp.tanh(xp.sin(x) * xp.exp(-x * x)))


def cross_entropy(library: Library) -> Callable[..., Any]:
    """The mean softmax cross-entropy of logits (n, k) for classes (n, 1)."""
    xp = library.xp

    def loss(z: Any, classes: Any) -> Any:
        z = z - xp.max(z, axis=1, keepdims=True)
        chosen = xp.take_along_axis(z, classes, 1)
        return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1, keepdims=True)) - chosen)

    return loss


def log_sum_exp(library: Library) -> Callable[..., Any]:
    """The sum over all rows."""
    xp = library.xp

    def total(x: Any) -> Any:
        top = xp.max(x, axis=-1, keepdims=True)
        return xp.sum(xp.log(xp.sum(xp.exp(x - top), axis=-1, keepdims=True)) + top)

    return total


def layer_norm(library: Library) -> Callable[..., Any]:
    """The sum of the cubes of normalised rows."""
    xp = library.xp

    def loss(x: Any) -> Any:
        centred = x - xp.mean(x, axis=1, keepdims=True)
        scaled = centred / xp.sqrt(xp.mean(centred * centred, axis=1, keepdims=True) + 1e-5)
        return xp.sum(scaled * scaled * scaled)

    return loss


def logistic_regression(library: Library) -> Callable[..., Any]:
    xp = library.xp

    def loss(w: Any, x: Any, y: Any) -> Any:
        z = x @ w
        return xp.mean(xp.logaddexp(0.0, z) - y * z)

    return loss


def rosenbrock(library: Library) -> Callable[..., Any]:
    xp = library.xp
    return lambda x: xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def black_scholes(library: Library) -> Callable[..., Any]:
    """The sum of the values of call options; its gradient are their deltas, vegas and thetas."""
    xp = library.xp

    def normal(d: Any) -> Any:
        return 0.5 + 0.5 * library.erf(d * math.sqrt(0.5))

    def total(options: Any, strike: Any) -> Any:
        spot, volatility, years = options
        spread = volatility * xp.sqrt(years)
        d1 = (xp.log(spot / strike) + (by_hand.INTEREST + volatility * volatility / 2) * years) / spread
        discounted = strike * xp.exp(-by_hand.INTEREST * years)
        return xp.sum(spot * normal(d1) - discounted * normal(d1 - spread))

    return total


def recurrent(library: Library) -> Callable[..., Any]:
    """The mean square of the last state of a tanh network that reads a sequence (length, batch, n)."""
    xp = library.xp

    def loss(params: Any, xs: Any) -> Any:
        w, u = params

        def step(h: Any, x: Any) -> Any:
            return xp.tanh(x @ w + h @ u), None

        last, _ = library.scan(step, xp.zeros_like(xs[0]), xs)
        return xp.mean(last * last)

    return loss


def pendulum(library: Library) -> Callable[..., Any]:
    """The angle after 1,000 steps of Runge and Kutta's method, of gravity and the initial angle and velocity."""
    xp = library.xp
    h = by_hand.TIME_STEP

    def last(p: Any) -> Any:
        gravity, angle, velocity = p

        def slope(a: Any, v: Any) -> Any:
            return v, -gravity * xp.sin(a)

        def step(state: Any, _: Any) -> Any:
            a, v = state
            a1, v1 = slope(a, v)
            a2, v2 = slope(a + h / 2 * a1, v + h / 2 * v1)
            a3, v3 = slope(a + h / 2 * a2, v + h / 2 * v2)
            a4, v4 = slope(a + h * a3, v + h * v3)
            return (a + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4), v + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)), None

        return library.scan(step, (angle, velocity), None, length=1000)[0][0]

    return last


def kalman_filter(library: Library) -> Callable[..., Any]:
    """The negative log-likelihood of observations of position and velocity, of a decay and the logarithms of noises."""
    xp = library.xp
    motion, eye = np.array([[1.0, 0.1], [0.0, 0.95]]), np.eye(2)

    def loss(p: Any, ys: Any) -> Any:
        decay, process, observation = p

        def step(state: Any, y: Any) -> Any:
            mean = decay * (motion @ state[0])
            covariance = decay**2 * (motion @ state[1] @ motion.T) + xp.exp(process) * eye
            s, e = covariance + xp.exp(observation) * eye, y - mean
            gain = xp.linalg.solve(s, covariance).T
            cost = xp.sum(e * xp.linalg.solve(s, e)) + xp.log(xp.linalg.det(s))
            return (mean + gain @ e, covariance - gain @ s @ gain.T), cost

        return xp.sum(library.scan(step, (xp.zeros(2), xp.eye(2)), ys)[1])

    return loss


def gaussian_process(library: Library) -> Callable[..., Any]:
    """The negative log-likelihood of values at points of the line, of the logarithms of a length and a noise."""
    xp = library.xp

    def loss(p: Any, x: Any, y: Any) -> Any:
        length, noise = p
        kernel = xp.exp(-((x[:, None] - x[None, :]) ** 2) * xp.exp(-2 * length))
        root = xp.linalg.cholesky(kernel + xp.exp(noise) * xp.eye(len(y)))
        inside = xp.linalg.solve(root, y)
        return xp.sum(inside**2) + 2 * xp.sum(xp.log(xp.diagonal(root)))

    return loss


def normal(*shape: int, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(0).standard_normal(shape, dtype)


def _classified(rows: int, classes: int) -> Sequence[Any]:
    return normal(rows, classes, dtype=np.float32), np.random.default_rng(1).integers(0, classes, (rows, 1))


def _options() -> Sequence[Any]:
    rng, n = np.random.default_rng(0), 1_000_000
    return (rng.uniform(80, 120, n), rng.uniform(0.1, 0.5, n), rng.uniform(0.1, 2.0, n)), rng.uniform(80, 120, n)


def _regression() -> Sequence[Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=50), normal(100_000, 50), rng.integers(0, 2, 100_000).astype(np.float64)


def sequences() -> Sequence[Any]:
    w, u = normal(2, 64, 64, dtype=np.float32) / 8
    return (w, u), np.random.default_rng(1).standard_normal((200, 32, 64), np.float32)


PROBLEMS: dict[str, Problem] = {
    **{
        f"sum(tanh(sin(x) exp(-x x))), n = {n:,}, {np.dtype(dtype).name}": Problem(
            waves, lambda n=n, dtype=dtype: (normal(n, dtype=dtype),), by_hand.waves
        )
        for n in (1_000, 100_000, 5_000_000)
        for dtype in (np.float32, np.float64)
    },
    **{
        f"cross-entropy and its value, {rows:,} x 1,000, float32": Problem(
            cross_entropy, lambda rows=rows: _classified(rows, 1000), by_hand.cross_entropy, value=True
        )
        for rows in (128, 1024)
    },
    "layer norm, 1,024 x 768, float32": Problem(
        layer_norm, lambda: (normal(1024, 768, dtype=np.float32),), by_hand.layer_norm
    ),
    "log-sum-exp of rows, 1,024 x 1,000, float32": Problem(
        log_sum_exp, lambda: (normal(1024, 1000, dtype=np.float32),), by_hand.log_sum_exp
    ),
    "log-sum-exp, n = 1,000,000, float64": Problem(log_sum_exp, lambda: (normal(1_000_000),), by_hand.log_sum_exp),
    "logistic regression, 100,000 x 50, float64": Problem(
        logistic_regression, _regression, by_hand.logistic_regression
    ),
    "Rosenbrock's function, n = 100,000, float64": Problem(rosenbrock, lambda: (normal(100_000),), by_hand.rosenbrock),
    "Black-Scholes, value, delta, vega, theta, n = 1,000,000, float64": Problem(
        black_scholes, _options, by_hand.black_scholes, value=True
    ),
    "recurrent network, 200 steps, 64 wide, batch 32, float32": Problem(recurrent, sequences, by_hand.recurrent),
    "pendulum, 1,000 steps of Runge-Kutta, float64": Problem(
        pendulum, lambda: (tuple(np.array([9.81, 0.5, 0.1])),), by_hand.pendulum
    ),
    "Kalman filter, 1,000 steps of two states, float64": Problem(
        kalman_filter, lambda: (tuple(np.array([0.98, -2.0, -1.0])), normal(1000, 2))
    ),
    "Gaussian process, 50 points, float64": Problem(
        gaussian_process, lambda: (tuple(np.array([-1.0, -2.0])), np.linspace(0, 3, 50), normal(50))
    ),
}
