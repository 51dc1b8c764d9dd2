"""Generated matrix products equal NumPy's, for every flag and for sizes around each tile's edge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad.jit.loops import Gemm
from fungrad.jit.small_products import LIMIT, MAX_K, is_small

EDGES = [2, 3, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 31, 33]


def product(transpose_a, transpose_b):
    return lambda a, b: (a.mT if transpose_a else a) @ (b.mT if transpose_b else b)


@given(
    m=st.sampled_from(EDGES),
    n=st.sampled_from(EDGES),
    k=st.sampled_from([1, *EDGES]),
    batch=st.sampled_from([(), (3,)]),
    flags=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_product_equals_numpy(m, n, k, batch, flags, dtype, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(*batch, *((k, m) if flags[0] else (m, k)))).astype(dtype)
    b = rng.normal(size=(*batch, *((n, k) if flags[1] else (k, n)))).astype(dtype)
    f = product(*flags)
    exact = f(a.astype(np.longdouble), b.astype(np.longdouble))
    bound = k * np.finfo(dtype).eps * f(np.abs(a), np.abs(b))
    assert np.all(np.abs(fg.jit(f)(a, b) - exact) <= bound)


@pytest.mark.parametrize("shape", [(400, 400, 400), (4, 4, MAX_K + 1)])
def test_larger_products_go_to_blas(shape):
    m, n, k = shape
    a, b = np.ones((m, k)), np.ones((k, n))
    (call,) = [s for s in fg.jit(product(False, False))._compiled((a, b), {}).program.body if isinstance(s, Gemm)]
    assert not is_small(call)
    assert m * n * k > LIMIT or k > MAX_K
    np.testing.assert_array_equal(fg.jit(product(False, False))(a, b), np.full((m, n), float(k)))


def test_a_product_never_reads_beyond_its_operands():
    # the last panel of columns is narrower than a vector; nan after the end of b would show in the result
    memory = np.full(64, np.nan)
    b = memory[:15].reshape(5, 3)
    b[...] = 1.0
    np.testing.assert_array_equal(fg.jit(product(False, False))(np.ones((2, 5)), b), np.full((2, 3), 5.0))
