"""Whole Jacobians and Hessians: against each other, central differences and JAX."""

import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import ArgumentError, NotDifferentiableError

RNG = np.random.default_rng(0)
X = RNG.normal(size=3)
A = RNG.normal(size=(2, 3))
MODES = [fg.jacfwd, fg.jacrev]


def model(p, s):
    return {"a": np.tanh(p["A"] @ p["x"]) * s, "b": np.sum(p["x"]) ** 2}


P = {"A": A, "x": X}


def differences(f, x, step=1e-6):
    """The Jacobian of a function of one array by central differences, the axes of the input last."""
    columns = []
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = step
        columns.append((f(x + e) - f(x - e)) / (2 * step))
    return np.stack(columns, -1).reshape((*np.shape(columns[0]), *x.shape))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit])
def test_leaves_have_the_shape_of_the_output_and_then_of_the_input(mode, wrap):
    found = wrap(mode(model))(P, 2.0)
    assert found["a"]["A"].shape == (2, 2, 3)
    assert found["a"]["x"].shape == (2, 3)
    assert found["b"]["A"].shape == (2, 3)
    assert found["b"]["x"].shape == (3,)
    for out in ("a", "b"):
        for name in ("A", "x"):
            expected = differences(lambda x, out=out, name=name: model({**P, name: x}, 2.0)[out], P[name])
            np.testing.assert_allclose(found[out][name], expected, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_argnums_and_aux(mode):
    f = lambda x, y: (np.outer(x, y), "aux")  # noqa: E731
    along_x, aux = mode(f, has_aux=True)(X, A[0])
    assert aux == "aux"
    np.testing.assert_allclose(along_x, np.einsum("ik,j->ijk", np.eye(3), A[0]))
    both, _ = mode(f, (0, -1), has_aux=True)(X, A[0])
    assert isinstance(both, tuple)
    np.testing.assert_allclose(both[0], along_x)
    np.testing.assert_allclose(both[1], np.einsum("i,jk->ijk", X, np.eye(3)))
    (alone,), _ = mode(f, (1,), has_aux=True)(X, A[0])
    np.testing.assert_allclose(alone, both[1])
    assert mode(lambda x, *, n: x**n)(3.0, n=2) == 6.0


@pytest.mark.parametrize("mode", MODES)
def test_parts_that_nothing_influences_and_empty_ones(mode):
    zero = mode(lambda x: np.ones(2))(X)
    np.testing.assert_array_equal(zero, np.zeros((2, 3)))
    assert mode(lambda x: x[:0])(X).shape == (0, 3)
    assert mode(lambda x: np.sum(x) + np.ones(2))(np.ones(0)).shape == (2, 0)
    assert mode(lambda x: x)(np.float32(2)).dtype == np.float32


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_hessians_in_every_pairing(outer, inner):
    f = lambda x: np.sum(np.sin(x) * np.cumprod(x)) + np.linalg.norm(x)  # noqa: E731
    expected = differences(fg.grad(f), X)
    for h in (outer(inner(f)), fg.jit(outer(inner(f))), fg.hessian(f)):
        np.testing.assert_allclose(h(X), expected, atol=1e-7)


def test_hessian_of_several_arguments():
    f = lambda x, y: x @ y * np.sum(x) ** 2  # noqa: E731
    found = fg.hessian(f, (0, 1))(X, A[0])
    full = fg.hessian(lambda z: f(z[:3], z[3:]))(np.concatenate([X, A[0]]))
    np.testing.assert_allclose(np.block([list(row) for row in found]), full, rtol=1e-12)


def test_hessian_vector_products():
    f = lambda x, y: np.sum(np.sin(x) * y**3)  # noqa: E731
    h = fg.hessian(f)(X, 2.0)
    np.testing.assert_allclose(fg.hvp(lambda x: f(x, 2.0), (X,), (A[0],)), h @ A[0], rtol=1e-12)
    along_x, along_y = fg.hvp(f, (X, 2.0), (A[0], None))
    np.testing.assert_allclose(along_x, h @ A[0], rtol=1e-12)
    np.testing.assert_allclose(along_y, 12.0 * np.cos(X) @ A[0], rtol=1e-12)


def test_rosenbrock_beside_jax():
    jax = pytest.importorskip("jax")
    import jax.numpy as jnp

    def rosenbrock(np):
        return lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x, v = RNG.normal(size=(2, 100_000))
    with jax.enable_x64(True):
        expected = jax.jvp(jax.grad(rosenbrock(jnp)), (x,), (v,))[1]
        hessian = jax.hessian(rosenbrock(jnp))(x[:20])
    for run in (lambda f: f, fg.jit):
        found = run(lambda x, v: fg.hvp(rosenbrock(np), (x,), (v,)))(x, v)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(run(fg.hessian(rosenbrock(np)))(x[:20]), hessian, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", [*MODES, fg.hessian])
def test_mistakes(mode):
    with pytest.raises(NotDifferentiableError, match=r"the result of .* has type i64.*has_aux=True"):
        mode(np.argmax)(X)
    with pytest.raises(NotDifferentiableError, match="has type i64"):
        mode(lambda x: x * 1.0)(3)
    with pytest.raises(ArgumentError, match="argnums=2 names argument 2"):
        mode(lambda x: x, 2)(X)
    with pytest.raises(ArgumentError, match="takes a function"):
        mode(X)
    with pytest.raises(ArgumentError, match="must return a pair"):
        mode(lambda x: x, has_aux=True)(X)
