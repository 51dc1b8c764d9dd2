"""Derivatives at numbers for which rules have branches: where all neighbours agree, so does the point between them."""

from functools import partial
from itertools import permutations, product

import numpy as np
import pytest
from scipy import special

import fungrad as fg
from fungrad import nn
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.trace import bind

SPECIAL = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0]
STEP = 1e-5
_UNARY = ("entr", "log_expit", "logit", "ndtr", "log_ndtr", "erfc", "erfcx", "expit", "gammaln", "psi")
POLE = 1e2  # larger derivatives are next to one
FUNCTIONS = {
    **{
        name: (partial(bind, ELEMENTWISE[name]), len(row.partials))
        for name, row in ROWS.items()
        if any(row.partials) and name not in ("select", "stop_gradient")
    },
    **{f"np.{name}": (getattr(np, name), 1) for name in ("sinc", "log2", "positive", "absolute", "square")},
    **{f"nn.{name}": (getattr(nn, name), 1) for name in ("softplus", "silu", "gelu", "sigmoid", "elu", "leaky_relu")},
    **{f"special.{name}": (getattr(special, name), 1) for name in _UNARY},
    **{f"special.{name}": (getattr(special, name), 2) for name in ("xlogy", "xlog1py", "rel_entr", "betaln")},
    **{f"np.{name}": (getattr(np, name), 2) for name in ("power", "float_power", "logaddexp2")},
}


def derivatives(f, points):
    """The first and the second derivatives of `f` at columns of points, as an array (derivative, point)."""
    places = range(len(points))

    def first(i, xs):
        return fg.grad(lambda *ys: np.sum(f(*ys)), i)(*xs)

    def one(j):
        return [np.ones_like(x) * (i == j) for i, x in enumerate(points)]

    with np.errstate(all="ignore"):
        firsts = [first(i, points) for i in places]
        seconds = [fg.jvp(lambda *xs, i=i: first(i, xs), points, one(j))[1] for i in places for j in places]
    return np.array([*firsts, *seconds])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_small_numbers(dtype):
    """Where x**-1 is a number, but x**-2 is not."""
    small = dtype({np.float32: 1e-20, np.float64: 1e-170}[dtype])
    for x in (small, -small):
        second = fg.grad(fg.grad(lambda x, y: np.sum(x**y)))
        np.testing.assert_array_equal([second(x, dtype(y)) for y in (0, 1, 2)], [0, 0, 2])
    mixed = fg.grad(fg.grad(lambda x, y: np.sum(x**y)), 1)
    np.testing.assert_allclose(mixed(small, dtype(0)), 1 / small, rtol=1e-6)
    polynomial = fg.hessian(lambda x: np.sum(x ** np.arange(4, dtype=dtype)))
    for hessian in (polynomial, fg.jit(polynomial)):
        with np.errstate(over="ignore", invalid="ignore"):  # in what is not chosen
            found = hessian(small)
        np.testing.assert_allclose(found, 2.0, rtol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_point_stands_out(name):
    f, count = FUNCTIONS[name]
    points = np.array(list(product(SPECIAL, repeat=count))).T
    sizes = permutations([STEP, 0.7 * STEP, 0.4 * STEP][:count])
    steps = [np.array(signs) * size for size in sizes for signs in product([1, -1], repeat=count)]
    around = np.array([derivatives(f, list(points + step[:, None])) for step in steps])
    low, high = around.min(axis=0), around.max(axis=0)
    size = 1e-3 * np.maximum(1.0, np.abs(low))
    regular = np.all(np.abs(around) < POLE, axis=(0, 1))
    smooth = regular & (high - low <= size)
    assert np.any(smooth)
    found = derivatives(f, list(points))
    off = smooth & ~(np.abs(found - low) <= 2 * size)
    assert not np.any(off), [(k, points[:, i], found[k, i], low[k, i]) for k, i in np.argwhere(off)]
