"""Gathers and scatters that are computed where they are read: equal to NumPy's, checked, and part of other loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
import fungrad.numpy as fnp
from fungrad.errors import OutOfBoundsError
from fungrad.jit.checked_index import Positions, Put, with_checked_indices
from fungrad.jit.loops import Loop

ROWS, COLUMNS, DEPTH = 5, 4, 3
X = np.random.default_rng(0).normal(size=(ROWS, COLUMNS, DEPTH))


def primitives(f, *args):
    return [type(eqn.op) for eqn in with_checked_indices(fg.make_graph(f)(*args)).equations]


@st.composite
def indexings(draw):
    """Some of X, and indices of its first two axes, of one shape: some known, some counting, some `Unknown`."""
    rows, columns = draw(st.sampled_from([1, COLUMNS, ROWS])), draw(st.sampled_from([1, COLUMNS]))
    shape = draw(st.sampled_from([(rows,), (rows, 1), (1, columns), (3,), (rows, columns), (2, 2), ()]))
    size, indices = math.prod(shape), []
    for extent in (rows, columns):
        axis = draw(st.integers(0, len(shape) - 1)) if shape else 0
        if shape and shape[axis] <= extent and draw(st.booleans()):
            indices.append(np.indices(shape)[axis])
        else:
            numbers = draw(st.lists(st.integers(-extent, extent - 1), min_size=size, max_size=size))
            found = np.array(numbers).reshape(shape)
            indices.append(Unknown(found) if draw(st.booleans()) else found)
    return draw(st.sampled_from([X, X[:, :, 0]]))[:rows, :columns], indices


class Unknown:
    """An index that compiled code takes as an argument."""

    def __init__(self, value):
        self.value = value


def split(indices):
    """The unknown indices, and a function that puts all together."""
    arguments = [i.value for i in indices if isinstance(i, Unknown)]

    def together(given):
        found = iter(given)
        return tuple(next(found) if isinstance(i, Unknown) else i for i in indices)

    return arguments, together


OPERANDS = {
    "an argument": lambda x: x,
    "cheap": lambda x: 2.0 * x - x[:, :1],
    "expensive": np.exp,
    "a movement": lambda x: x.T[::-1].T,
    "padded": lambda x: np.pad(x[1:], [(1, 0)] + [(0, 0)] * (x.ndim - 1)),
    "a sum": lambda x: x + np.sum(x, axis=1, keepdims=True),
    "of one row": lambda x: np.exp(x) * np.exp(np.sum(x, axis=tuple(range(1, x.ndim)), keepdims=True)),
}


@given(indexings(), st.sampled_from(sorted(OPERANDS)))
def test_picking(indexing, kind):
    x, indices = indexing
    given_indices, together = split(indices)

    def f(x, *given):
        y = OPERANDS[kind](x)
        return 3.0 * y[together(given)], y * y

    for found, expected in zip(fg.jit(f)(x, *given_indices), f(x, *given_indices), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)

    def total(x, *given):
        picked, squares = f(x, *given)
        return np.sum(np.sin(picked) * np.arange(picked.shape[-1] if picked.ndim else 1)) + np.sum(squares)

    expected = fg.grad(total)(x, *given_indices)
    np.testing.assert_allclose(fg.jit(fg.grad(total))(x, *given_indices), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("second", [np.zeros(ROWS, int), -np.ones(ROWS, int)])
def test_picking_a_row_of_one_element_that_is_computed_there(second):
    def f(x):
        y = np.exp(x)
        return 3.0 * y[np.arange(ROWS), second], y * y

    x = X[:, :1, 0].copy()
    for found, expected in zip(fg.jit(f)(x), f(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_what_counts_along_columns_is_not_read_in_step_with_rows():
    x, i, rows = X[:4].copy(), np.array([2, 0, -1, 2]), np.arange(4)

    def pick(x, i):
        y = np.exp(x) * np.sum(x, axis=(1, 2), keepdims=True)
        return y[i, rows] * 2, y

    def put(x, i):
        return fnp.at(np.zeros((4, 4)))[i, rows].add(np.exp(np.sum(x[:, 0], axis=1))) + x[:, :, 0]

    for found, expected in zip(fg.jit(pick)(x, i), pick(x, i), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_allclose(fg.jit(put)(x, i), put(x, i), rtol=1e-14)


@given(indexings(), st.booleans(), st.sampled_from([np.float32, np.float64, np.int32]))
def test_putting(indexing, add, dtype):
    x, indices = indexing
    given_indices, together = split(indices)
    shape = np.broadcast_shapes(*(np.shape(i.value if isinstance(i, Unknown) else i) for i in indices))
    shape += x.shape[2:]
    updates = np.arange(1, 1 + math.prod(shape)).reshape(shape).astype(dtype)
    start = np.full(x.shape, -0.0 if np.dtype(dtype).kind == "f" else 7, dtype)

    def computed(updates):
        """Expensive, and kept."""
        return np.sin(updates).astype(dtype) if np.dtype(dtype).kind == "f" else 2 * updates

    def f(updates, *given):
        place, new = fnp.at(start)[together(given)], computed(updates)
        return (place.add(new) if add else place.set(new)) * 1, new * new

    expected, new = start.copy(), computed(updates)
    if add:
        np.add.at(expected, together(given_indices), new)
    else:
        expected[together(given_indices)] = new
    found, squares = fg.jit(f)(updates, *given_indices)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-14)
    np.testing.assert_allclose(squares, new * new, rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_what_becomes_a_put():
    rows, columns = np.arange(ROWS), np.array([0, 1, 2, 3, 0])
    updates = np.ones(ROWS)
    zeros = np.zeros((ROWS, COLUMNS))

    def kinds(indices, start=zeros, *unknown):
        return primitives(lambda u, *more: 2 * fnp.at(start)[(*indices, *more)].add(u), updates, *unknown)

    assert Put in kinds((rows, columns))
    assert Put in kinds((rows,), zeros, columns)
    assert Put not in kinds((columns, columns)), "several updates may be of one element"
    assert Put not in kinds((), zeros[0], columns)
    assert Put not in kinds((rows, rows), np.zeros((ROWS, ROWS))), "nothing is left to choose"
    assert Put not in kinds((rows,), np.ones((2 * ROWS, COLUMNS)), columns), "not all rows are written"
    changed = primitives(lambda x, u: 2 * fnp.at(x)[rows, columns].add(u), zeros, updates)
    assert Put not in changed, "an array is changed where it is"
    result = primitives(lambda u: fnp.at(zeros)[rows, columns].add(u), updates)
    assert Put not in result, "nothing else is computed there"


def test_what_is_checked():
    square, i = np.ones((4, 4)), np.array([1, -2])
    twice = primitives(lambda x, i: x[i, i] + x[i, 0] + x[np.arange(2), i], square, i)
    assert twice.count(Positions) == 1, "an index of an axis is checked once"
    assert Positions not in primitives(lambda x: x[np.arange(3), np.array([0, -1, 2])], square)
    np.testing.assert_array_equal(fg.jit(lambda x, i: x[i, i])(X[:4, :, 0], i), X[:4, :, 0][i, i])


def cross_entropy(z, labels):
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(labels)), labels])


def test_cross_entropy_of_labels_with_its_gradient_is_one_pass_over_the_rows():
    z, labels = X[:, :, 0].copy(), np.array([0, 3, -1, 2, 1])
    f = fg.jit(fg.value_and_grad(cross_entropy))
    program = f._compiled((z, labels), {}).program
    loops = [s for s in program.body if isinstance(s, Loop)]
    assert len(loops) == 2, "one of the checks, one of the rows"
    assert sum(b.type.size for b in program.temps) <= 2 * COLUMNS + ROWS + 1, (
        "more than two rows and the labels is kept"
    )
    value, gradient = f(z, labels)
    expected, expected_gradient = fg.value_and_grad(cross_entropy)(z, labels)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-13, atol=1e-16)


def test_only_what_is_picked_is_computed():
    f = fg.jit(lambda x, i: np.exp(x)[i, 0, 0])
    (loop,) = [s for s in f._compiled((X, np.array([1, 2])), {}).program.body[2:] if isinstance(s, Loop)]
    assert loop.stop.value == 2
    assert not [b for b in f._compiled((X, np.array([1, 2])), {}).program.temps if b.type.size > 2]


@pytest.mark.parametrize("wrong", [4, -5])
def test_indices_out_of_bounds(wrong):
    z, labels = X[:, :, 0].copy(), np.array([0, 3, wrong, 2, 1])
    with pytest.raises(OutOfBoundsError, match=r"gather.*out of bounds for axis 1 of extent 4"):
        fg.jit(fg.value_and_grad(cross_entropy))(z, labels)
    with pytest.raises(OutOfBoundsError, match=r"scatter_add.*out of bounds for axis 1 of extent 4"):
        fg.jit(fg.grad(cross_entropy))(z, labels)
    put = fg.jit(lambda i: fnp.at(np.zeros((ROWS, COLUMNS)))[np.arange(ROWS), i].add(1.0))
    with pytest.raises(OutOfBoundsError, match=r"scatter_add.*out of bounds"):
        put(labels)
    with pytest.raises(OutOfBoundsError, match="out of bounds"):
        fg.jit(lambda x: x[np.arange(ROWS), labels])(z)


@pytest.mark.parametrize("write", ["set", "add"])
def test_indices_of_places_without_elements_are_checked(write):
    f = fg.jit(lambda x, i: getattr(fnp.at(x)[i], write)(1.0))
    assert f(np.zeros((3, 0)), np.array([2, -3])).shape == (3, 0)
    with pytest.raises(OutOfBoundsError, match=r"scatter.*out of bounds for axis 0 of extent 3"):
        f(np.zeros((3, 0)), np.array([2, 3]))


def test_what_is_printed_before_a_wrong_index_is_printed(capsys):
    def f(x, i):
        fg.debug.print("before {}", i)
        return 2.0 * x[np.arange(ROWS), i]

    with pytest.raises(OutOfBoundsError):
        fg.jit(f)(X, np.array([0, 1, 2, 3, 4]))
    assert "before [0 1 2 3 4]" in capsys.readouterr().out


@pytest.mark.parametrize("before", range(5))
def test_positions_have_names_of_their_own(before):
    """In a program so long that a value is called `at`."""

    def f(x, i):
        for _ in range(before):
            x = np.sin(x)
        for _ in range(12):
            x = np.sin(x) + (2.0 * x)[i]
        return x

    x, i = X[:, 0, 0].copy(), np.array([4, 0, 1, 2, 3])
    out, scope = np.empty_like(x), {"np": np}
    exec(fg.jit(f).source(x, i), scope)
    scope["f"](x, i, out)
    np.testing.assert_allclose(out, f(x, i), rtol=1e-12)


def test_chains_of_gathers_make_short_programs():
    y, indices = np.arange(9.0).reshape(3, 3), [np.array([[2, 0, 1]] * 3)] * 24

    def chain(depth):
        def f(y, *indices):
            for k in range(depth):
                y = y[indices[2 * k], indices[2 * k + 1]]
            return 2 * y

        return len(fg.jit(f).source(y, *indices))

    assert chain(12) < 3 * chain(6)


def test_a_pick_inside_loops_reads_positions_of_rows():
    """A row that is chosen, inside a loop over columns: what is loaded for the row is loaded after its position."""
    table, tokens = X[:, :, 0].copy(), np.array([3, 0, -1, 3])

    def f(t, i):
        return np.sum(np.tanh((t * t[:, :1])[i]) * t[i], axis=1)

    np.testing.assert_allclose(fg.jit(f)(table, tokens), f(table, tokens), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64])
def test_unsigned_indices_do_not_count_from_the_end(dtype):
    """Not even those that would be negative as int64."""
    functions = (lambda x, i: x[i], lambda x, i: fnp.at(x)[i].set(1.0), lambda x, i: fnp.at(x)[i].add(x[i]))
    for f in functions:
        np.testing.assert_array_equal(fg.jit(f)(X, np.array([4, 0], dtype)), f(X, np.array([4, 0])))
        for wrong in (np.iinfo(dtype).max, ROWS):
            with pytest.raises(OutOfBoundsError):
                fg.jit(f)(X, np.array([wrong], dtype))
