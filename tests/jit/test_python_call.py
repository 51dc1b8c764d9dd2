"""The call from Python: what fits, what does not, what comes back, and that nothing leaks or breaks."""

import gc
import os
import resource
import subprocess
import sys
import threading
from types import BuiltinFunctionType, FunctionType
from typing import NamedTuple

import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import DtypeError
from fungrad.jit import python_call, runtime
from fungrad.primitives.sort import ArgSort
from fungrad.trace import bind

X = np.arange(6.0).reshape(2, 3)


def calls(f, arguments, weak, numbers):
    """The native and the portable call of one program."""
    compiled = fg.jit(f)._compiled(arguments, {})
    native = compiled.call(weak, numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "layout_is_known", lambda: False)
        portable = compiled.call(weak, numbers)
    assert isinstance(native, BuiltinFunctionType)
    assert isinstance(portable, FunctionType)
    return native, portable


def test_the_native_call_is_used_here():
    assert python_call.layout_is_known()


def f(x, n, s, b):
    return x * s, np.sum(x), n + 1, n > 2, s * 2.0, x.astype(np.float32), b


WEAK = [None, int, float, bool]
NUMBERS = [None, None, int, bool, float, None, bool]
GOOD = (X, 3, 2.5, True)


def test_both_ways_of_calling_give_the_same():
    native, portable = calls(f, GOOD, WEAK, NUMBERS)
    for leaves in (GOOD, (X * 2, -5, -0.0, False), (X, 2**62, np.inf, True)):
        ours, theirs = native(leaves), portable(leaves)
        assert len(ours) == len(theirs) == 7
        for a, b, number in zip(ours, theirs, NUMBERS, strict=True):
            assert type(a) is type(b)
            assert number is None or type(a) is number
            np.testing.assert_array_equal(a, b)
            assert np.asarray(a).dtype == np.asarray(b).dtype


unaligned = np.frombuffer(bytes(1) + X.tobytes(), offset=1).reshape(2, 3)
MISFITS = [
    (X.T.copy().T, 3, 2.5, True),  # not row-major
    (X[:, ::2], 3, 2.5, True),
    (X[:1], 3, 2.5, True),
    (X.reshape(-1), 3, 2.5, True),
    (X[None], 3, 2.5, True),
    (X.astype(np.float32), 3, 2.5, True),
    (X.astype(">f8"), 3, 2.5, True),
    (unaligned, 3, 2.5, True),
    (X.view(np.matrix), 3, 2.5, True),
    (X.tolist(), 3, 2.5, True),
    (None, 3, 2.5, True),
    (np.float64(1), 3, 2.5, True),
    (1.0, 3, 2.5, True),
    (X, 2**63, 2.5, True),
    (X, -(2**63) - 1, 2.5, True),
    (X, 3.0, 2.5, True),
    (X, True, 2.5, True),
    (X, np.int64(3), 2.5, True),
    (X, 3, np.float64(2.5), True),
    (X, 3, 2, True),
    (X, 3, np.array(2.5), True),
    (X, 3, 2.5, 1),
    (X, 3, 2.5, np.True_),
    (X, 3, 2.5),
    (X, 3, 2.5, True, True),
    (),
]


@pytest.mark.parametrize("leaves", MISFITS, ids=range(len(MISFITS)))
def test_what_does_not_fit_is_not_run(leaves):
    native, portable = calls(f, GOOD, WEAK, NUMBERS)
    assert native(leaves) is None
    assert portable(leaves) is None
    assert native(list(GOOD)) is None


def test_0d_arrays_and_scalars_of_every_dtype():
    for dtype in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"):
        scalar = np.array([0, 1]).astype(dtype)[1]
        native, portable = calls(lambda x: (x, np.stack([x, x])), (scalar,), [None], [None, None])
        for leaf in (scalar, np.array(scalar)):
            for call in (native, portable):
                same, pair = call((leaf,))
                assert type(same) is type(scalar)
                assert same == scalar
                assert pair.dtype == scalar.dtype
                np.testing.assert_array_equal(pair, [scalar, scalar])


def test_a_call_with_other_types_after_many_with_the_same():
    g = fg.jit(lambda x: x * 2)
    leaves = [X, X.astype(np.float32), X[:1], X.T, 2.0, 2, True, np.float64(2), np.int32(3), np.array(2.0), X[::-1]]
    for _ in range(3):
        for x in leaves:
            found, expected = g(x), x * 2
            assert type(found) is type(expected)
            np.testing.assert_array_equal(found, expected)
    for bad, error in ((2**63, DtypeError), ("text", ValueError), (X.astype(complex), DtypeError)):
        with pytest.raises(error):
            g(bad)


class Point(NamedTuple):
    x: float
    y: float


def test_containers_are_told_apart_after_many_calls():
    g = fg.jit(lambda p: [type(p).__name__, 2.0 * sum(fg.tree.leaves(p))])
    containers = [(1.0, 2.0), [1.0, 2.0], {"a": 1.0, "b": 2.0}, {"a": 1.0, "c": 2.0}, Point(1.0, 2.0), (1.0, None, 2.0)]
    containers += [(1.0, (2.0,)), ((1.0,), 2.0), {1: 1.0, 2: 2.0}]
    for _ in range(3):
        for p in containers:
            assert g(p) == [type(p).__name__, 6.0]


def test_swapped_bytes_and_long_long():
    g = fg.jit(lambda x: x + 1)
    for _ in range(2):
        np.testing.assert_array_equal(g(np.arange(3, dtype=np.longlong)), [1, 2, 3])
        np.testing.assert_array_equal(g(np.arange(3, dtype=np.int64)), [1, 2, 3])
        with pytest.raises(DtypeError):
            g(X.astype(">f8"))


def test_references_are_given_back():
    g = fg.jit(lambda x, s, i: (x + s, np.sum(x), i + 1, s * 2.0))
    x, s = np.ones((3, 4)), 2.5
    g(x, s, 3)
    watched = [x, s, None, np.dtype(float), np.dtype(np.uint8), np.ndarray, np.float64]

    def counts():
        return [sys.getrefcount(o) for o in watched]

    gc.collect()
    before = counts()
    for _ in range(2000):
        g(x, s, 3)
        g._shortcuts[0].call((x.T, s, 3))  # does not fit
    after = counts()
    assert all(abs(a - b) < 200 for a, b in zip(before, after, strict=True)), (before, after)


def test_results_belong_to_the_caller():
    g = fg.jit(lambda x: (x + 1, x + 1))
    a, b = g(X)
    assert a.flags.owndata
    assert a.flags.writeable
    assert a.base is None
    assert not np.shares_memory(a, b)
    assert sys.getrefcount(a) == 2


def test_machine_code_goes_with_its_function():
    import weakref

    g = fg.jit(lambda x: x * 3)
    g(X)
    code = weakref.ref(g._code(g._program(*g._read((X,), {}), (X,), {}).graph)._code)
    assert code() is not None
    call = g._shortcuts[0].call
    del g
    gc.collect()
    assert code() is not None  # a call keeps what it runs
    np.testing.assert_array_equal(call((X,))[0], X * 3)
    del call
    gc.collect()
    assert code() is None


def test_a_compiled_function_that_calls_itself_through_numpy():
    """The inner call runs while the outer one has its temporaries in use."""
    inner = fg.jit(lambda x: np.sum(np.exp(x)) * np.sort(x))
    outer = fg.jit(lambda x: bind(ArgSort(0), x)[::-1] + np.sum(np.exp(x)) * inner(x))
    x = np.array([0.3, -1.0, 2.0])
    expected = np.argsort(x)[::-1] + np.sum(np.exp(x)) * (np.sum(np.exp(x)) * np.sort(x))
    np.testing.assert_allclose(outer(x), expected, rtol=1e-14)


def test_many_threads_run_one_program_at_once():
    g = fg.jit(lambda x: np.cumsum(np.sin(x)) @ np.cos(x[:, None] * np.ones((1, 20))))
    inputs = [np.random.default_rng(i).normal(size=500) for i in range(8)]
    expected = [g(x) for x in inputs]
    wrong = []

    def work(i):
        wrong.extend(1 for _ in range(100) if not np.array_equal(g(inputs[i]), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


FORKS = """
import faulthandler, os, sys, threading
import numpy as np
import fungrad as fg

X = np.arange(4.0)
first = threading.Thread(target=lambda: fg.jit(np.cos)(X))  # imports the compiler
first.start()
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(60, exit=True)
    os._exit(0 if np.array_equal(fg.jit(lambda x: x - 3)(X), X - 3) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
first.join()

g = fg.jit(lambda x: np.sin(x) + 1)
expected = g(X)
forks, threads, stop = int(sys.argv[1]), int(sys.argv[2]), False

def compile_on(start):
    k = start
    while not stop:
        fg.jit(lambda x: np.exp(x * 1e-9 * k) @ x)(X)  # a new program each time, and the last one is freed
        k += threads

compiling = [threading.Thread(target=compile_on, args=(i,)) for i in range(threads)]
for thread in compiling:
    thread.start()
for _ in range(forks):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(60, exit=True)
        good = np.array_equal(g(X), expected) and np.array_equal(fg.jit(lambda x: x - 3)(X), X - 3)
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop = True
for thread in compiling:
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("forks", "threads"), [(5, 0), (8, 2), pytest.param(300, 3, marks=pytest.mark.fuzz)], ids=["quiet", "busy", "long"]
)
def test_calls_and_compiles_after_a_fork(forks, threads):
    """Also while other threads compile. In a process of its own: what else this one imported may not survive a fork."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FUNGRAD_CACHE": "0"}
    command = [sys.executable, "-c", FORKS, str(forks), str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120 + forks, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.fuzz
def test_a_million_calls_do_not_grow():
    g = fg.jit(lambda x, s, i: (x + s, np.sum(x), i + 1, s * 2.0))
    x = np.ones(16)

    def grown(count):
        for _ in range(count):
            g(x, 2.5, 3)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = grown(20_000)
    assert grown(1_000_000) - before < 1000  # kilobytes


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("different", "kilobytes"),
    [
        (False, 20),  # found in the cache: LLVM's linker keeps some 8 kB for each library
        (True, 120),  # compiled: llvmlite frees no pass manager that has run, some 64 kB
    ],
)
def test_programs_that_come_and_go_do_not_pile_up(different, kilobytes):
    def grown(start, stop):
        for k in range(start, stop):
            fg.jit(lambda x, k=k: x * (k + 0.5 if different else 7.5))(X)
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = grown(0, 100)
    assert grown(100, 500) - before < 400 * kilobytes
