"""Indexing equals NumPy's in value and gradient, for every index NumPy itself accepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fungrad as fg
from fungrad.errors import ArgumentError, ConcretizationError, DtypeError, FungradError, OutOfBoundsError, ShapeError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


def check(x: Any, index: Any) -> None:
    """Value of x[index], and its gradient against scattering the cotangent with NumPy."""
    expected = x[index]
    weights = np.random.default_rng(0).normal(size=expected.shape)
    value, pullback = fg.vjp(lambda t: t[index], x)
    np.testing.assert_array_equal(value, expected)
    assert value.shape == expected.shape
    assert value.dtype == x.dtype
    scattered = np.zeros_like(x)
    np.add.at(scattered, index, weights)
    (gradient,) = pullback(np.float64(weights) if weights.ndim == 0 else weights)
    np.testing.assert_allclose(gradient, scattered, rtol=1e-12, atol=1e-12)


def array(shape: Any) -> Any:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + 0.5


@given(st.data())
def test_basic_indices(data: Any) -> None:
    shape = data.draw(SHAPES)
    check(array(shape), data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)))


@given(st.data())
def test_integer_array_indices(data: Any) -> None:
    shape = data.draw(SHAPES)
    check(array(shape), data.draw(hnp.integer_array_indices(shape)))


@st.composite
def mixed_indices(draw: Any, shape: tuple[int, ...]) -> Any:
    """Integers, slices, new axes, an ellipsis, index arrays and masks in any order."""
    block = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    items: list[Any] = []
    axis = 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["integer", "slice", "array", "mask", "new", "stop"]))
        if kind == "integer":
            items.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            items.append(draw(st.slices(n)))
        elif kind == "array":
            side = draw(st.sampled_from([block, block[1:], (1,) * len(block)]))
            items.append(draw(hnp.arrays(np.int64, side, elements=st.integers(-n, n - 1))))
        elif kind == "mask" and not any(isinstance(i, np.ndarray) for i in items):
            items.append(draw(hnp.arrays(np.bool_, (n,))))
            block = (int(items[-1].sum()),)
        elif kind == "new":
            items.append(None)
            continue
        elif kind == "stop":
            break
        else:
            continue
        axis += 1
    if axis < len(shape) and draw(st.booleans()):
        items.append(Ellipsis)
    return tuple(items)


@given(st.data())
def test_mixed_indices(data: Any) -> None:
    shape = data.draw(SHAPES)
    index = data.draw(mixed_indices(shape))
    check(array(shape), index)


@given(st.data())
def test_masks_of_several_axes(data: Any) -> None:
    shape = data.draw(SHAPES)
    rank = data.draw(st.integers(1, len(shape)))
    check(array(shape), data.draw(hnp.arrays(np.bool_, shape[:rank])))


@pytest.mark.parametrize(
    "index",
    [
        (0, slice(None), [1, 0]),  # separated by a slice: the block goes first
        (slice(None), 0, None, [1, 0]),
        ([0, 1], None, [1, 2]),
        (slice(None), [[0], [1]], [0, 2]),
        True,
        (False, ...),
        (None, True, 1),
        [],
        np.array(1),
        (np.int8(1), np.uint8(2)),
    ],
)
def test_placement_of_the_block(index: Any) -> None:
    check(array((2, 3, 4)), index)


@given(st.data())
def test_functional_updates_equal_assignment(data: Any) -> None:
    shape = data.draw(SHAPES)
    x, index = array(shape), data.draw(mixed_indices(shape))
    values = np.random.default_rng(1).normal(size=x[index].shape)
    for one in (values, values[..., :1] if values.ndim else values, 2.0):
        if np.ndim(one) and np.broadcast_shapes(one.shape, values.shape) != values.shape:
            continue
        expected, added = x.copy(), x.copy()
        expected[index] = one
        np.add.at(added, index, one)
        np.testing.assert_array_equal(fg.numpy.at(x)[index].set(one), expected)
        np.testing.assert_allclose(fg.numpy.at(x)[index].add(one), added)
        got, pullback = fg.vjp(lambda t, v, i=index: fg.numpy.at(t)[i].add(v), x, np.asarray(one))
        np.testing.assert_allclose(got, added)
        ct = np.random.default_rng(2).normal(size=x.shape)
        to_x, to_values = pullback(ct)
        np.testing.assert_array_equal(to_x, ct)
        np.testing.assert_allclose(np.sum(to_values * one), np.sum(ct * (added - x)), atol=1e-9)


def test_of_repeated_positions_the_last_wins() -> None:
    def f(v: Any) -> Any:
        return fg.numpy.at(np.zeros(3))[[0, 0, 1]].set(v) @ np.array([1.0, 10.0, 100.0])

    np.testing.assert_array_equal(fg.grad(f)(np.array([5.0, 6.0, 7.0])), [0.0, 1.0, 10.0])


def test_traced_indices() -> None:
    x = np.random.default_rng(3).normal(size=(3, 4))

    def f(t: Any) -> Any:
        i = np.argmax(t[:, 0])
        rows = np.argsort(t[:, 1])
        return t[i, 1] + t[rows, i].sum() + t[i].sum() + (t[:, rows] * t[rows[:, None], [0, 1, 2]]).sum()

    i, rows = np.argmax(x[:, 0]), np.argsort(x[:, 1])
    np.testing.assert_allclose(fg.vjp(f, x)[0], f(x))

    def fixed(t: Any) -> Any:
        return t[i, 1] + t[rows, i].sum() + t[i].sum() + (t[:, rows] * t[rows[:, None], [0, 1, 2]]).sum()

    np.testing.assert_allclose(fg.grad(f)(x), fg.grad(fixed)(x))
    assert fg.make_graph(f)(x).outputs[0].type.shape == ()


def test_mask_of_unknown_value_says_what_to_do() -> None:
    with pytest.raises(ConcretizationError, match=r"np\.where\(mask, x, 0\)"):
        fg.make_graph(lambda x: x[x > 0])(np.ones(3))


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (3, OutOfBoundsError, "axis 0 of extent 3"),
        ((0, -5), OutOfBoundsError, "axis 1 of extent 4"),
        ((0, 0, 0), OutOfBoundsError, "too many indices: 3"),
        ([0, 7], OutOfBoundsError, "index 7"),
        ((..., 0, ...), ArgumentError, "one Ellipsis"),
        (1.0, DtypeError, "1.0"),
        ("a", DtypeError, "'a'"),
        (np.array([0.5]), DtypeError, "float64"),
        (np.ones(4, bool), OutOfBoundsError, "mask of shape"),
        (([0, 1], [0, 1, 2]), ShapeError, "index arrays"),
    ],
)
def test_wrong_indices(index: Any, error: type[FungradError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        fg.grad(lambda x: np.sum(x[index]))(np.ones((3, 4)))
    assert "test_indexing.py" in str(caught.value)


def test_update_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        fg.numpy.at(np.zeros(3))[:2].set(np.ones(3))
    with pytest.raises(DtypeError, match="astype"):
        fg.numpy.at(np.zeros(3, int))[0].set(0.5)
