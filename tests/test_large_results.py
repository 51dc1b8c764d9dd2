"""Large results: their memory is used again, and only when nobody can see it."""

import gc
import pickle
import threading

import numpy as np
import pytest

import fungrad as fg
from fungrad import large_results
from fungrad.ir.types import array_type
from fungrad.large_results import LARGE, maker
from fungrad.numpy.promotion import frozen

N = LARGE // 8
X = np.arange(float(N))


@pytest.fixture(autouse=True)
def nothing_free(monkeypatch):
    monkeypatch.setattr(large_results, "_FREE", {})


def address(x):
    return x.ctypes.data


def free_bytes():
    gc.collect()
    return sum(block.nbytes for block in large_results._FREE.values())


@fg.jit
def twice(x):
    return 2 * x


def test_they_are_arrays_like_others():
    y = twice(X)
    assert type(y) is np.ndarray
    assert y.flags.writeable
    assert y.flags.c_contiguous
    assert y.flags.aligned
    np.testing.assert_array_equal(y, 2 * X)
    y[0] = 7.0
    y.flags.writeable = False
    y.flags.writeable = True
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(y)), y)
    np.testing.assert_array_equal(twice(y), 2 * y)


def test_memory_of_a_dropped_result_is_used_again():
    y = twice(X)
    place = address(y)
    z = twice(X)
    assert address(z) != place
    del y
    assert address(twice(X)) == place


def test_memory_is_not_free_as_long_as_there_is_a_view_of_it():
    views = [twice(X)[10:20], memoryview(twice(X)), np.asarray(twice(X)).reshape(2, -1).T]
    before = [np.array(v) for v in views]
    twice(X + 1.0)
    for old, new in zip(before, views, strict=True):
        np.testing.assert_array_equal(old, new)
    assert free_bytes() == X.nbytes


def test_small_results_have_memory_of_their_own():
    assert fg.jit(lambda x: 2 * x)(X[: N // 2]).flags.owndata
    assert free_bytes() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.bool_, np.uint16])
def test_shapes_and_dtypes(dtype):
    type = array_type((2, 3, LARGE), np.dtype(dtype))
    x = maker(type)()
    assert (x.shape, x.dtype) == (type.shape, type.dtype)
    assert x.flags.c_contiguous


def test_little_is_kept(monkeypatch):
    monkeypatch.setattr(large_results, "_KEPT", 2 * X.nbytes)
    many = [twice(X) for _ in range(5)]
    del many
    assert free_bytes() == 2 * X.nbytes
    twice(np.arange(N + 1.0))
    assert free_bytes() <= 2 * X.nbytes


def test_blocks_that_are_too_large_push_nothing_out(monkeypatch):
    small = twice(X)
    del small
    monkeypatch.setattr(large_results, "_KEPT", X.nbytes)
    large = twice(np.arange(2.0 * N))
    del large
    assert free_bytes() == X.nbytes


@pytest.mark.parametrize(
    "transformed",
    [lambda f: fg.grad(lambda x: np.sum(f(x))), lambda f: fg.vmap(f), lambda f: lambda x: fg.jvp(f, (x,), (x,))[1]],
    ids=["grad", "vmap", "jvp"],
)
def test_they_are_not_copied_on_the_way_to_the_user(transformed):
    result = transformed(twice)(X)
    assert type(result.base) is large_results._Held
    result.flags.writeable = False
    assert frozen(result) is result
    assert frozen(result[1:]) is not result


def test_results_that_somebody_looks_at_while_they_are_made():
    """Making a large array runs Python code, which may find the tuple of results before it is complete."""
    found = []

    def look(phase, info):
        found.extend(x for x in gc.get_objects() if type(x) is tuple and len(x) == 3)

    f = fg.jit(lambda x: (2 * x, 3 * x, 4 * x))
    f(X)
    threshold = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(1)
    try:
        results = f(X)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(look)
    for factor, y in zip((2, 3, 4), results, strict=True):
        np.testing.assert_array_equal(y, factor * X)


def test_threads_never_share_a_block():
    wrong = []

    def work(seed):
        x = X + seed
        for _ in range(30):
            y = twice(x)
            if not np.array_equal(y, 2 * x):
                wrong.append(seed)
            del y

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
