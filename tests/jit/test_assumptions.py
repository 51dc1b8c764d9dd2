"""Loops in two versions: results do not depend on whether arguments are ordinary, nor on where the others stand."""

import numpy as np
import pytest

import fungrad as fg

FUNCTIONS = {
    "map": lambda x: np.sin(x) + np.cos(2 * x),
    "sum": lambda x: np.sum(np.sin(x)),
    "sum of rows": lambda x: np.sum(np.cos(x.reshape(-1, 25)), axis=0),
    "cumulative": lambda x: np.cumsum(np.tan(x)),
    "largest": lambda x: np.argmax(np.sin(x)),
    "remainder": lambda x: np.sum(np.remainder(x, 0.1) + np.floor_divide(x, 3.0)),
    "both": lambda x: np.sum(np.sin(x.astype(np.float32)) + np.fmod(x, 0.3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("where", [(), (0,), (499,), (3, 77, 498)])
def test_large_arguments_among_others(name, where):
    x = np.random.default_rng(0).normal(size=500)
    x[list(where)] = 1e20
    f = FUNCTIONS[name]
    np.testing.assert_allclose(fg.jit(f)(x), f(x), rtol=1e-4 if name == "both" else 1e-9)


def test_a_second_run_starts_from_the_same_sum():
    """Twice as much would come out if the first version's sum stayed."""
    x = np.full(1000, 2.0**60)
    np.testing.assert_allclose(fg.jit(lambda x: np.sum(np.cos(x)))(x), 1000 * np.cos(2.0**60))


def test_indices_computed_from_large_arguments():
    """The first version may compute a wrong index, so it must neither check it nor write there."""
    x = np.random.default_rng(0).uniform(0, 1e3, 500)
    x[[3, 77]] = 1e30
    table = np.arange(10.0)

    def gather(x, table):
        return np.take(table, np.fmod(x, 10.0).astype(np.int64), axis=0)

    def scatter(x, table):
        out = 2.0 * table
        out[np.fmod(x, 10.0).astype(np.int64)] = 1.0
        return out

    for f in (gather, scatter):
        np.testing.assert_array_equal(fg.jit(f)(x[70:80], table), f(x[70:80], table.copy()))
        np.testing.assert_array_equal(fg.jit(f)(x, table), f(x, table.copy()))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "cos", "arctan2", "power", "hypot"])
def test_the_version_for_any_argument_gives_the_same_bits(name, dtype):
    """It calls shared functions where the other version has their code inside."""
    function = getattr(np, name)
    f = fg.jit(lambda x, y, turn: (function(x) if function.nin == 1 else function(x, y), np.sin(turn)))
    rng = np.random.default_rng(0)
    x, y, turn = (rng.uniform(0.1, 3, 40).astype(dtype) for _ in range(3))
    ordinary = f(x, y, turn)
    turn[7] = 1e30
    found = f(x, y, turn)
    np.testing.assert_array_equal(found[0], ordinary[0])
    np.testing.assert_allclose(found[1], np.sin(turn), rtol=4 * np.finfo(dtype).eps)
    assert np.count_nonzero(found[1] != ordinary[1]) >= 1
