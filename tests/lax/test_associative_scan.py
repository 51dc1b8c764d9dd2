"""`associative_scan` gives what a loop gives: values and derivatives, interpreted, compiled and mapped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import lax, tree
from fungrad.errors import ArgumentError, AxisError, ShapeError, TreeError
from tests.support.compositions import check_same
from tests.support.jax_oracle import check_equal, jax  # noqa: F401

RNG = np.random.default_rng(0)


def loop(fn, elems, reverse=False, axis=0):
    """One element after another, each kept as an array of extent 1."""
    leaves = tree.leaves(elems)
    axis = axis % leaves[0].ndim
    count = leaves[0].shape[axis]
    rows = [tree.map(lambda x, i=i: x[(*[slice(None)] * axis, slice(i, i + 1))], elems) for i in range(count)]
    rows = rows[::-1] if reverse else rows
    found = rows[:1]
    for row in rows[1:]:
        found.append(fn(found[-1], row))
    found = found[::-1] if reverse else found
    return tree.map(lambda *parts: np.concatenate(parts, axis), *found) if found else elems


def affine(p, q):
    """The composition of x -> a x + b: associative, not commutative. A linear recurrence is a scan of it."""
    return {"a": q["a"] * p["a"], "b": q["a"] * p["b"] + q["b"]}


def maps(n, *shape):
    return {"a": RNG.normal(size=(n, *shape)), "b": RNG.normal(size=(n, *shape))}


@pytest.mark.parametrize("n", [*range(9), 15, 16, 17])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_length(n, reverse):
    elems = maps(n, 2)
    for f in (lax.associative_scan, fg.jit(lambda fn, e, r: lax.associative_scan(fn, e, r), static_argnums=(0, 2))):
        found, expected = f(affine, elems, reverse), loop(affine, elems, reverse)
        assert tree.structure(found) == tree.structure(expected)
        for x, y, own in zip(tree.leaves(found), tree.leaves(expected), tree.leaves(elems), strict=True):
            assert x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)
            assert x.flags.writeable
            assert not np.shares_memory(x, own)


@pytest.mark.parametrize(("n", "reverse", "axis"), [(3, False, 0), (4, True, 1)])
def test_derivatives(n, reverse, axis):
    elems = maps(n, n)

    def f(scan):
        return lambda elems: scan(affine, elems, reverse, axis)

    check_same(f(lax.associative_scan), f(loop), (elems,), order=1 if reverse else 2)


@settings(max_examples=15)
@given(st.integers(0, 12), st.booleans(), st.integers(-3, 2), st.integers(0, 2**32 - 1))
def test_products_of_matrices_along_any_axis(n, reverse, axis, seed):
    matrices = np.random.default_rng(seed).normal(size=(n, 2, 2))

    def product(p, q):
        p, q = (np.moveaxis(x, axis, 0) for x in (p, q))
        return np.moveaxis(p @ q, 0, axis)

    elems = np.moveaxis(matrices, 0, axis)
    found = lax.associative_scan(product, elems, reverse, axis)
    np.testing.assert_allclose(found, loop(product, elems, reverse, axis), rtol=1e-9, atol=1e-9)


def test_as_jax(jax):  # noqa: F811
    elems = {"a": RNG.normal(size=(4, 7)), "b": RNG.normal(size=(4, 7))}

    def loss(scan, np):
        def f(elems):
            forward, backward = scan(affine, elems, axis=-1), scan(affine, elems, reverse=True, axis=1)
            return np.sum(np.sin(forward["b"]) * backward["a"]) + np.sum(np.cos(backward["b"]))

        return f

    ours, theirs = loss(lax.associative_scan, np), loss(jax.lax.associative_scan, jax.numpy)
    expected = jax.jit(jax.value_and_grad(theirs))(elems)
    check_equal(fg.value_and_grad(ours)(elems), expected, 1e-12)
    check_equal(fg.jit(fg.value_and_grad(ours))(elems), expected, 1e-12)
    check_equal(
        fg.vmap(lambda e: lax.associative_scan(affine, e))(elems), jax.lax.associative_scan(affine, elems, axis=1)
    )


def test_integers_booleans_and_the_number_of_equations():
    x = np.array([3, -1, 4, 1, -5])
    np.testing.assert_array_equal(lax.associative_scan(np.add, x), np.cumsum(x))
    np.testing.assert_array_equal(fg.jit(lambda x: lax.associative_scan(np.logical_or, x > 3))(x), [0, 0, 1, 1, 1])
    sizes = [
        len(fg.make_graph(lambda x: lax.associative_scan(np.multiply, x))(np.ones(n)).equations) for n in (64, 4096)
    ]
    assert sizes[1] <= 2.2 * sizes[0]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: lax.associative_scan(3, np.ones(3)), ArgumentError, "fn must be a function"),
        (lambda: lax.associative_scan(np.add, 1.0), AxisError, r"axis 0 is not an axis of elems, f64\[\]"),
        (lambda: lax.associative_scan(np.add, np.ones(3), axis=1), AxisError, "axis 1 is not an axis of elems"),
        (lambda: lax.associative_scan(np.add, np.ones(3), axis=0.0), ArgumentError, "axis must be an int, got 0.0"),
        (lambda: lax.associative_scan(affine, maps(3) | {"b": np.ones(2)}), ShapeError, r"\['a'\]: 3, elems\['b'\]: 2"),
        (
            lambda: lax.associative_scan(lambda p, q: (p, q), np.ones(3)),
            TreeError,
            r"structure \*, but <lambda> returned",
        ),
        (
            lambda: lax.associative_scan(lambda p, q: np.sum(p), np.ones(4)),
            TreeError,
            r"is f64\[\], expected .*f64\[2\]",
        ),
        (lambda: lax.associative_scan(lambda p, q: p > q, np.ones(4)), TreeError, r"is bool\[2\], expected .*f64\[2\]"),
        (lambda: lax.associative_scan(lambda p, q: "a", np.ones(4)), TreeError, "str"),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()
