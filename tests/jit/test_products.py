"""Generated matrix products equal NumPy's, for every flag and for sizes around each tile's edge."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fungrad as fg
from fungrad.jit import shared_products
from fungrad.jit.products import MOST_WORK, PIECE_TILES, PIECES, Product, pieces

ROOT = Path(__file__).parent.parent.parent
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


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(61, 83, 700), (200, 300, 150), (197, 290, 300), (4, 4, 1025), (500, 17, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_products_in_blocks_and_pieces(shape, transposed, dtype):
    m, n, k = shape
    rng = np.random.default_rng(m)
    a = rng.normal(size=(k, m) if transposed[0] else (m, k)).astype(dtype)
    b = rng.normal(size=(n, k) if transposed[1] else (k, n)).astype(dtype)
    f = product(*transposed)
    exact = f(a.astype(np.longdouble), b.astype(np.longdouble))
    bound = k * np.finfo(dtype).eps * f(np.abs(a), np.abs(b))
    assert np.all(np.abs(fg.jit(f)(a, b) - exact) <= bound)


@given(m=st.integers(1, 3000), n=st.integers(1, 3000), k=st.integers(1, 3000), flags=st.tuples(*[st.booleans()] * 2))
def test_pieces_are_not_empty_and_few_enough_to_fit_in_caches(m, n, k, flags):
    cut = pieces(Product(32, *flags, m, n, k))
    assert 1 <= cut.rows <= cut.tiles <= cut.rows * PIECE_TILES
    assert 1 <= cut.columns <= cut.panels
    assert cut.count <= 2 * PIECES or m * n * k >= cut.count * MOST_WORK // 2


@pytest.mark.parametrize("shape", [(8, 8, 257), (30, 50, 600), (300, 310, 257), (50, 900, 513), (13, 17, 256)])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("donated", [(), (2,)])
def test_what_is_added_is_added_once_even_where_the_result_is_written_over_it(shape, transposed, dtype, donated):
    m, n, k = shape
    rng = np.random.default_rng(k)
    a = rng.normal(size=(k, m) if transposed[0] else (m, k)).astype(dtype)
    b = rng.normal(size=(n, k) if transposed[1] else (k, n)).astype(dtype)
    c = rng.normal(size=(m, n)).astype(dtype)

    def update(a, b, c):
        return c - dtype(0.25) * product(*transposed)(a, b)

    exact = update(*(x.astype(np.longdouble) for x in (a, b, c)))
    bound = 2 * k * np.finfo(dtype).eps * (product(*transposed)(np.abs(a), np.abs(b)) + np.abs(c))
    place = c.copy()
    found = fg.jit(update, donate_argnums=donated)(a, b, place)
    assert np.shares_memory(found, place) == bool(donated)
    assert np.all(np.abs(found - exact) <= bound)


GUARDED = """
import ctypes, mmap
import numpy as np
import fungrad as fg

libc = ctypes.CDLL(None, use_errno=True)

def before_a_forbidden_page(shape, dtype):
    # an array that ends where memory ends: reading one byte more kills the process
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer((ctypes.c_char * size).from_address(start + mmap.PAGESIZE - size), dtype).reshape(shape)
    array[...] = 1.0
    return memory, array

for dtype in (np.float32, np.float64):
    for m, n, k in ((2, 3, 5), (7, 9, 4), (13, 17, 6)):
        for transpose in (False, True):
            keep_a, a = before_a_forbidden_page((k, m) if transpose else (m, k), dtype)
            keep_b, b = before_a_forbidden_page((n, k) if transpose else (k, n), dtype)
            f = fg.jit(lambda a, b: a.mT @ b.mT) if transpose else fg.jit(lambda a, b: a @ b)
            assert np.all(f(a, b) == k)
print("alive")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
def test_a_product_never_reads_beyond_its_operands():
    run = subprocess.run([sys.executable, "-c", GUARDED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "alive", f"exit code {run.returncode}: {run.stderr[-2000:]}"


def test_programs_share_the_code_of_products():
    a, b = np.ones((5, 7)), np.ones((7, 3))
    shared_products.kept.cache_clear()
    np.testing.assert_allclose(fg.jit(lambda a, b: np.tanh(a @ b))(a, b), np.full((5, 3), np.tanh(7.0)))
    np.testing.assert_array_equal(fg.jit(lambda a, b: np.sqrt(a @ b))(a, b), np.full((5, 3), np.sqrt(7.0)))
    assert shared_products.kept.cache_info()[:2] == (1, 1)  # hits, misses


def test_a_program_keeps_the_code_of_its_products():
    """Also when others have taken their place in what is kept for later programs."""
    f = fg.jit(lambda a, b: a @ b)
    a, b = np.ones((5, 7)), np.ones((7, 3))
    f(a, b)
    code = weakref.ref(shared_products.library_of("fungrad_product_64_0_0_5_3_7_none_0"))
    shared_products.kept.cache_clear()
    gc.collect()
    np.testing.assert_array_equal(f(a, b), np.full((5, 3), 7.0))
    assert code() is shared_products.library_of("fungrad_product_64_0_0_5_3_7_none_0")
    del f
    shared_products.kept.cache_clear()
    gc.collect()
    assert code() is None
