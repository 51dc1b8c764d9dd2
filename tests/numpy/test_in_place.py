"""Assignment in place gives what NumPy gives, or raises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad.errors import DtypeError, MutationError, ShapeError

X = np.arange(1.0, 13.0).reshape(3, 4)


def augmented(x):
    y = x * 1
    y += 1
    y -= x / 2
    y *= y
    y /= 3
    y **= 2
    y //= 7
    y %= 5
    return y + x


def aliases_follow(x):
    y = x * 2
    z = y
    z += 1
    return y * z


def view_sees_whole(x):
    y = x * 2
    row = y[1]
    y += 1
    return y * row


def whole_sees_view(x):
    y = x * 2
    row = y[1]
    row *= 3
    row[0] = 7
    return y


def view_of_view(x):
    y = x * 2
    block = y[1:, ::2]
    column = block[:, 1]
    column += 100
    block[0] = 5
    y[2] = y[0]
    return y * column[0] + block.sum()


def transposes_share(x):
    y = x * 2
    t = y.T
    t[0] += 1
    flipped = t[::-1, None]
    flipped[0] = -1
    y[0, 0] = 9
    return y + t.T + flipped.sum()


def loop_over_rows(x):
    y = x * 2
    for row in y:
        row /= row.sum()
    return y


def neighbours(x):
    y = np.zeros_like(x)
    y[0] = x[0]
    for i in range(1, 3):
        y[i] = y[i - 1] * x[i]
        y[i] += x[i - 1]
        y[i, 1:3] *= 2
        y[i][0] = 3
    return y


def copies_are_apart(x):
    y = x * 1
    kept = [y.copy(), +y, y.astype(float), np.array_split(y.copy(), 2)[0], np.copy(y), y[[0, 1]], y.flatten()]
    y += 1
    y[0] = 0
    return y * sum(k.sum() for k in kept)


def scalars_are_immutable(x):
    total = x.sum()
    before = total
    total += 1
    first = x[0, 0]
    first *= 2
    return total * before + first + x


def fancy_assignment(x):
    y = x.copy()
    y[[0, 2], 1:3] = -1
    y[np.array([[True, False, False, True]] * 3)] *= 2
    y[..., 0] = x[:, 1]
    y[1][2] = 4
    y[:] = y[::-1]
    return y


def sorted_in_place(x):
    y = -x
    y.sort(axis=1)
    y[0].fill(3)
    return y


def split_views(x):
    y = x * 1
    a, b = np.split(y, 2, axis=1)
    a += b
    np.squeeze(y[:, :1])[...] = 2
    return y


def swap(x):
    y = x.copy()
    y[0], y[1] = y[1].copy(), y[0].copy()
    y[[0, 2]] = y[[2, 0]]
    return y


def assigned_after_reshape(x):
    y = x.copy().reshape(4, 3)
    y[0] = 1
    return y


def indexed_by_numpy(x):
    y = x * 1
    for i in np.argsort([2, 0, 1]):
        row = y[i]
        row *= 3
    part = y[np.int64(1) : np.int64(3)]
    part += 1
    y[np.int64(0), :] *= 2
    y[(np.int64(1),)] += 5
    return y


def explicit_copies(x):
    y = x * 1
    flat, same = np.reshape(y, -1, copy=True), y.reshape(y.shape, copy=True)
    flat *= 0
    same *= 0
    return y


PROGRAMS = [
    indexed_by_numpy, explicit_copies,
    augmented, aliases_follow, view_sees_whole, whole_sees_view, view_of_view, transposes_share, loop_over_rows,
    neighbours, copies_are_apart, scalars_are_immutable, fancy_assignment, sorted_in_place, split_views, swap,
    assigned_after_reshape,
]  # fmt: skip


def differences(f: Any, x: Any) -> Any:
    slope = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        slope[i] = (np.sum(f(x + step)) - np.sum(f(x - step))) / 2e-6
    return slope


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_program_equals_numpy(f: Any) -> None:
    before = X.copy()
    value, pullback = fg.vjp(f, X)
    expected = f(X.copy())
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(pullback(np.ones_like(expected))[0], differences(f, X), rtol=1e-5, atol=1e-5)
    graph = fg.make_graph(f)(X)
    np.testing.assert_allclose(fg.evaluate.evaluate(graph, X)[0], expected, rtol=1e-13)


STEPS = [
    "y += 1",
    "y *= x",
    "y[0] = y[1]",
    "y[:, 1] -= 2",
    "v = y[1:]",
    "v *= 2",
    "v = y.T",
    "v += 1",
    "v[0] = 3",
    "v = y",
    "y = v",
    "v = v[::-1]",
    "y = y * 2",
    "v[0] += y[0, 0]",
    "w = v[0]",
    "w += 1",
    "v = w",
    "v = y[None, 0]",
]


@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=10))
def test_random_programs_equal_numpy(steps: list[str]) -> None:
    def run(x: Any) -> Any:
        names = {"x": x, "y": x * 1, "np": np}
        names["v"] = names["w"] = names["y"]
        for step in steps:
            exec(step, names)
        return names["y"].sum() + (names["v"] * names["v"]).sum() + names["w"].sum()

    x = np.arange(1.0, 10.0).reshape(3, 3)
    try:
        with np.errstate(all="ignore"):
            expected = run(x)
    except (ValueError, IndexError):
        with pytest.raises((ValueError, IndexError)):
            fg.vjp(run, x)
        return
    np.testing.assert_allclose(fg.vjp(run, x)[0], expected, rtol=1e-12)


def raises(error: Any, words: str, f: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        fg.grad(f)(X)
    assert "test_in_place.py" in str(caught.value)


def test_what_depends_on_layout_raises() -> None:
    def through_reshape(x: Any) -> Any:
        y = x * 1
        flat = y.reshape(-1)
        flat[0] = 5
        return y.sum()

    def through_two_reshapes(x: Any) -> Any:
        y = x * 1
        z = y.reshape(-1).reshape(4, 3)
        y += 1
        return z.sum()

    def through_broadcast(x: Any) -> Any:
        y = x[0] * 1
        wide = np.broadcast_to(y, (2, 4))
        y += 1
        return wide.sum()

    def through_ravel_of_a_part(x: Any) -> Any:
        y = x[0] * 1
        part = y[::2].ravel()
        part *= 0
        return y.sum()

    for f in (through_reshape, through_two_reshapes, through_broadcast, through_ravel_of_a_part):
        raises(MutationError, r"copy\(\)", f)


def test_shape_may_not_grow() -> None:
    def f(x: Any) -> Any:
        y = x[:1] * 1
        y += x
        return y.sum()

    raises(ShapeError, r"x = x \+ y", f)


def test_fractions_are_not_lost() -> None:
    def augmented_integers(x: Any) -> Any:
        y = (x > 0).astype(int)
        y += x
        return y.sum()

    def assigned_integers(x: Any) -> Any:
        y = np.zeros_like(x, dtype=int)
        y[0] = x[0]
        return y.sum()

    raises(DtypeError, "astype", augmented_integers)
    raises(DtypeError, "astype", assigned_integers)


def test_closed_over_arrays_may_change_afterwards() -> None:
    def f(x: Any) -> Any:
        c = np.zeros(3)
        total = 0.0
        for i in range(3):
            c[i] = i + 1
            total = total + np.sum(x * c)
        return total

    np.testing.assert_array_equal(fg.grad(f)(np.ones(3)), [3.0, 4.0, 3.0])


def test_under_nested_transformations() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        row = y[0]

        def inner(s: Any) -> Any:
            z = x * s
            z[1:] *= z[:-1]
            return (z * row).sum()

        y += fg.grad(inner)(1.5) * x
        return (y * row.sum()).sum()

    value, pullback = fg.vjp(f, X)
    graph = fg.make_graph(f)(X)
    np.testing.assert_allclose(fg.evaluate.evaluate(graph, X)[0], value, rtol=1e-12)

    def plain(x: Any) -> Any:  # the derivative of z[0], z[1] = s x0, s^2 x0 x1 by hand
        y = x * 2
        row = y[0].copy()
        slope = np.concatenate([x[:1], 2 * 1.5 * x[:-1] * x[1:]])
        y += (slope * row).sum() * x
        return (y * y[0].sum()).sum()

    np.testing.assert_allclose(value, plain(X), rtol=1e-12)
    np.testing.assert_allclose(pullback(np.float64(1))[0], differences(plain, X), rtol=1e-4)


def test_an_outer_array_cannot_be_changed_from_inside() -> None:
    def f(x: Any) -> Any:
        y = x * 1

        def inner(s: Any) -> Any:
            nonlocal y
            y += s
            return s * 1.0

        fg.grad(inner)(1.0)
        return y.sum()

    with pytest.raises(fg.errors.LeakedTracerError):
        fg.grad(f)(X)


def test_einsum_of_a_diagonal_ends_and_is_right():
    x = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(fg.grad(lambda x: np.sum(np.einsum("ii->i", x) ** 2))(x), np.diag(2 * np.diag(x)))
    assert fg.jit(lambda x: np.einsum("ii->", x))(x) == 12.0


def test_functional_updates_are_copies():
    v = np.ones(2)
    y = fg.numpy.at(np.zeros(2))[:].set(v)
    y += 1
    np.testing.assert_array_equal(v, [1, 1])

    def f(v):
        y = fg.numpy.at(np.zeros_like(v))[:].set(v)
        y += 1
        return np.sum(v)

    assert fg.value_and_grad(f)(v)[0] == 2.0


@pytest.mark.parametrize(
    "shared",
    [
        lambda x: x.conj(),
        lambda x: np.diff(x, n=0),
        lambda x: np.astype(x, np.float64, copy=False),
        lambda x: np.pad(array=x, pad_width=0),
        lambda x: np.astype(x, np.float64),
    ],
)
def test_what_returns_its_argument_shares_exactly_where_numpy_does(shared):
    def f(x):
        x = x * 1.0
        y = shared(x)
        y[...] = 7.0
        return np.sum(x)

    x = np.arange(3.0)
    assert fg.value_and_grad(f)(x)[0] == fg.jit(f)(x) == f(x)
