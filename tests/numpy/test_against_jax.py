"""Problems of textbooks, beside JAX to ten digits."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from tests.support.jax_oracle import check_equal, jax  # noqa: F401


def in_every_way(derivative, f):
    """A derivative of `f`, interpreted, compiled, and of compiled code."""
    return derivative(f), fg.jit(derivative(f)), derivative(fg.jit(f))


def marginal_likelihood(np, cho_solve):
    """Minus the logarithm of what a Gaussian process makes of its data, Rasmussen and Williams, algorithm 2.1."""

    def loss(parameters, x, y):
        scale, length, noise = np.exp(parameters["scale"]), np.exp(parameters["length"]), np.exp(parameters["noise"])
        apart = np.sum(((x[:, None] - x[None, :]) / length) ** 2, axis=-1)
        K = scale**2 * np.exp(-0.5 * apart) + noise**2 * np.eye(x.shape[0])
        L = np.linalg.cholesky(K)
        alpha = cho_solve((L, True), y)
        return 0.5 * y @ alpha + np.sum(np.log(np.diagonal(L))) + 0.5 * x.shape[0] * np.log(2 * np.pi)

    return loss


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (40, 3))
    parameters = {"scale": 0.1, "length": np.array([-0.5, 0.0, 0.3]), "noise": -1.5}
    return parameters, x, np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=40)


def test_gaussian_process(data, jax):  # noqa: F811
    theirs = marginal_likelihood(jax.numpy, jax.scipy.linalg.cho_solve)
    ours = marginal_likelihood(np, lax.linalg.cho_solve)
    expected = jax.jit(jax.value_and_grad(theirs))(*data)
    for derivative in in_every_way(fg.value_and_grad, ours):
        check_equal(derivative(*data), expected)


def test_hessian_of_a_gaussian_process(data, jax):  # noqa: F811
    theirs = marginal_likelihood(jax.numpy, jax.scipy.linalg.cho_solve)
    ours = marginal_likelihood(np, lax.linalg.cho_solve)
    check_equal(fg.jit(fg.hessian(ours))(*data), jax.jit(jax.hessian(theirs))(*data))


def rosenbrock(np):
    return lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_hessian_vector_product_of_many_variables(jax):  # noqa: F811
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(2, 100_000))
    expected = jax.jvp(jax.grad(rosenbrock(jax.numpy)), (x,), (v,))[1]
    for product in in_every_way(lambda f: lambda x, v: fg.hvp(f, (x,), (v,)), rosenbrock(np)):
        check_equal(product(x, v), expected)


def energy(np):
    """Everything in it: products, quotients, a solve, a logarithm of a determinant."""

    def f(x):
        m = np.outer(np.sin(x), np.cos(x)) + (2.0 + x.shape[0]) * np.eye(x.shape[0])
        return np.log(1 + np.sum(x * x)) * np.tanh(x @ x[::-1]) + x @ np.linalg.solve(m, x) + np.linalg.slogdet(m)[1]

    return f


def test_hessian_of_twenty_variables(jax):  # noqa: F811
    x = np.random.default_rng(2).normal(size=20)
    expected = jax.jit(jax.hessian(energy(jax.numpy)))(x)
    for hessian in in_every_way(fg.hessian, energy(np)):
        check_equal(hessian(x), expected)


@pytest.mark.parametrize(
    "name",
    [
        *("cholesky", "inv", "det", "slogdet", "solve", "triangular_solve", "eigh", "eigvalsh", "svd", "svd of tall"),
        *("svdvals", "qr", "pinv", "lstsq", "norm 2", "nuclear norm"),
    ],
)
def test_functions_of_matrices(name, jax):  # noqa: F811
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 2, 4))

    def loss(np, linalg):
        functions = {
            "cholesky": lambda a, b: np.linalg.cholesky(np.swapaxes(a, 1, 2) @ a + np.eye(4)),
            "inv": lambda a, b: np.linalg.inv(a),
            "det": lambda a, b: np.linalg.det(a),
            "slogdet": lambda a, b: np.linalg.slogdet(a)[1],
            "solve": lambda a, b: np.linalg.solve(a, np.swapaxes(b, 1, 2)),
            "triangular_solve": lambda a, b: linalg.triangular_solve(a, b, lower=True, transpose_a=True),
            "eigh": lambda a, b: np.abs(np.linalg.eigh(a + np.swapaxes(a, 1, 2))[1]),  # whose signs are LAPACK's
            "eigvalsh": lambda a, b: np.linalg.eigvalsh(a + np.swapaxes(a, 1, 2)),
            "svd": lambda a, b: np.abs(np.linalg.svd(a)[0]) + np.abs(np.linalg.svd(a)[2]),
            "svd of tall": lambda a, b: np.abs(np.linalg.svd(np.swapaxes(b, 1, 2), full_matrices=False)[0]),
            "svdvals": lambda a, b: np.linalg.svd(b, compute_uv=False),
            "qr": lambda a, b: np.abs(np.linalg.qr(np.swapaxes(b, 1, 2))[0]) + np.abs(np.linalg.qr(a)[1])[:, :, :2],
            "pinv": lambda a, b: np.linalg.pinv(b),
            "lstsq": lambda a, b: np.linalg.lstsq(b[0].T, a[0])[0],
            "norm 2": lambda a, b: np.linalg.norm(b, 2, axis=(1, 2)),
            "nuclear norm": lambda a, b: np.linalg.norm(b, "nuc", axis=(1, 2)),
        }
        return lambda a, b: np.sum(np.sin(functions[name](a, b)) * 0.3)

    ours, theirs = loss(np, lax.linalg), loss(jax.numpy, jax.lax.linalg)
    expected = jax.jit(jax.value_and_grad(theirs, (0, 1)))(a, b)
    check_equal(fg.value_and_grad(ours, (0, 1))(a, b), expected, 1e-9)
    check_equal(fg.jit(fg.value_and_grad(ours, (0, 1)))(a, b), expected, 1e-9)
