"""Work that is shared among threads: the same bits for any number of them, from any caller, also after a fork."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad.errors import StaticArgumentError
from fungrad.jit import call, lower_nest
from fungrad.jit.call import compiled
from fungrad.jit.emit_python import run_source
from fungrad.jit.loops import Loop
from tests.jit.test_random_programs import check_each_equation, check_fused
from tests.support.programs import programs

ROOT = Path(__file__).parent.parent.parent
RNG = np.random.default_rng(0)


def waves(x):
    return np.sum(np.tanh(np.sin(x) * np.exp(-x * x)))


def softmax_rows(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum((e / np.sum(e, axis=1, keepdims=True)) ** 2)


def layer(w, b, x):
    return np.sum(np.tanh(x @ w + b) ** 2)


def column_statistics(x):
    return np.mean(x, axis=0), np.max(np.abs(x), axis=0), np.sum(np.sin(x), axis=(0, 1))


CASES = {
    "elementwise": (fg.value_and_grad(waves), (RNG.normal(size=30_011),)),
    "rows": (fg.value_and_grad(softmax_rows), (RNG.normal(size=(203, 301)).astype(np.float32),)),
    "columns": (column_statistics, (RNG.normal(size=(3001, 37)),)),
    "products": (
        fg.value_and_grad(layer, (0, 1, 2)),
        (RNG.normal(size=(300, 200)), RNG.normal(size=200), RNG.normal(size=(150, 300))),
    ),
    "rosenbrock": (
        fg.grad(lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)),
        (RNG.normal(size=100_000),),
    ),
}


def shared_loops(program):
    found, pending = [], list(program.body)
    while pending:
        statement = pending.pop()
        if isinstance(statement, Loop):
            found += [statement] if statement.work else []
            pending += statement.body
    return found


@pytest.mark.parametrize("name", [name for name in CASES if name != "products"])
def test_long_loops_are_shared(name):
    f, arguments = CASES[name]
    assert shared_loops(fg.jit(f)._compiled(arguments, {}).program)


def test_short_loops_are_not():
    f = fg.jit(fg.grad(waves))
    assert not shared_loops(f._compiled((np.ones(30),), {}).program)


@pytest.mark.parametrize("name", CASES)
def test_the_bits_do_not_depend_on_the_number_of_threads(name):
    f, arguments = CASES[name]
    one = fg.tree.leaves(fg.jit(f, threads=1)(*arguments))
    for threads in (2, 3, 8):
        compiled = fg.jit(f, threads=threads)
        for _ in range(5):
            for a, b in zip(one, fg.tree.leaves(compiled(*arguments)), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CASES)
def test_shared_loops_compute_what_the_interpreter_does(name):
    f, arguments = CASES[name]
    tolerance = 2e-4 if arguments[0].dtype == np.float32 else 1e-9
    for a, b in zip(fg.tree.leaves(fg.jit(f)(*arguments)), fg.tree.leaves(f(*arguments)), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(programs())
def test_random_programs_in_small_chunks(drawn):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_nest.NestLowering, "_work", lambda self, nest: 10**9)
        patch.setattr(lower_nest, "WHOLE_VECTORS", 2)
        check_each_equation(*drawn)
        check_fused(*drawn)


def test_the_printed_source_of_shared_loops():
    for f, x in ((fg.value_and_grad(waves), RNG.normal(size=5000)), (column_statistics, RNG.normal(size=(700, 3)))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lower_nest, "CHUNK_WORK", 100)
            compiled = fg.jit(f)._compiled((x,), {})
            assert shared_loops(compiled.program)
            for a, b in zip(run_source(compiled.program, [x]), compiled([x]), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def softmax(x):
    e = np.exp(x)
    return e / np.sum(e, axis=1, keepdims=True)


PADDED = {
    "front": lambda x: softmax(np.pad(x, [(1, 0), (0, 0)])),
    "back": lambda x: softmax(np.pad(x, [(0, 1), (0, 0)])),
    "both": lambda x: softmax(np.pad(x, [(7, 300), (0, 0)])),
    "gradient of neighbours": fg.grad(lambda x: np.sum((softmax(x)[1:] - softmax(x)[:-1]) ** 2)),
    "gradient of some rows": fg.grad(lambda x: np.sum(np.log(softmax(x))[1:, 0] ** 2)),
}


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("shape", [(300, 40), (1000, 40), (600, 300)])
def test_pieces_of_a_loop_over_rows_have_rows_of_their_own(name, shape):
    """Where it is cut at padding, some pieces are shared and others not."""
    f, x = PADDED[name], RNG.normal(size=shape)
    one = fg.jit(f, threads=1)(x)
    np.testing.assert_allclose(one, f(x), rtol=1e-10, atol=1e-13)
    for threads in (2, 3):
        compiled = fg.jit(f, threads=threads)
        for _ in range(10):
            np.testing.assert_array_equal(compiled(x), one)


def test_several_python_threads_at_once():
    f, arguments = CASES["elementwise"]
    compiled = fg.jit(f)
    expected = fg.tree.leaves(compiled(*arguments))
    wrong = []

    def work():
        for _ in range(200):
            found = fg.tree.leaves(compiled(*arguments))
            if not all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORKING = """
import os, threading, time
import numpy as np
import fungrad as fg

x = np.linspace(-3, 3, 50_000)
f = fg.jit(fg.value_and_grad(lambda x: np.sum(np.tanh(np.sin(x) * np.exp(-x * x)))), threads=2)
expected = f(x)
stop = threading.Event()

def busy():
    while not stop.is_set():
        f(x)

thread = threading.Thread(target=busy)
thread.start()
for i in range(20):
    child = os.fork()
    if child == 0:
        found = f(x)  # the pool of the parent is in the middle of its work
        os._exit(0 if found[0] == expected[0] and np.array_equal(found[1], expected[1]) else 1)
    deadline = time.monotonic() + 60
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            status = "hung"
            break
        time.sleep(0.001)
    assert status == 0, status
stop.set()
thread.join()
assert np.array_equal(f(x)[1], expected[1])
print("alive")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_children_of_a_fork_have_threads_of_their_own():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "alive"


def test_the_number_of_threads_can_be_set_from_outside():
    code = "from fungrad.jit.thread_pool import default_threads; print(default_threads())"
    for value, expected in (
        ("3", "3"),
        ("0", str(len(os.sched_getaffinity(0)))),
        ("x", str(len(os.sched_getaffinity(0)))),
    ):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FUNGRAD_NUM_THREADS": value}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == expected


def test_derivatives_and_batches_use_as_many(monkeypatch):
    seen = []

    def remembered(graph, donated=(), threads=None):
        seen.append(threads)
        return compiled(graph, donated, threads)

    monkeypatch.setattr(call, "compiled", remembered)
    f = fg.jit(lambda x: np.sum(np.sin(x) * x), threads=1)
    x = np.arange(6.0)
    for g in (fg.grad(f), lambda x: fg.jvp(f, (x,), (x,)), lambda x: fg.vmap(f)(x[:, None]), fg.hessian(f)):
        seen.clear()
        g(x)
        assert set(seen) == {1}


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_threads(threads):
    with pytest.raises(StaticArgumentError, match="threads must be a positive int"):
        fg.jit(waves, threads=threads)


def test_shared_loops_inside_a_native_loop():
    def f(x):
        return fg.lax.scan(lambda c, _: (np.tanh(c + 0.1 * np.sin(c)), np.sum(c)), x, None, length=5)

    x = RNG.normal(size=20_000)
    compiled = fg.jit(f)
    assert shared_loops(compiled._compiled((x,), {}).program)
    for a, b in zip(fg.tree.leaves(compiled(x)), fg.tree.leaves(f(x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_dispatcher_shares_its_loops():
    import numba

    f, arguments = CASES["elementwise"]
    kernel = fg.jit(f).dispatcher(*arguments)

    @numba.njit
    def twice(x):
        value, slope = kernel(x)
        return value + kernel(x + slope)[0]

    value, slope = f(*arguments)
    np.testing.assert_allclose(twice(*arguments), value + f(arguments[0] + slope)[0], rtol=1e-10)
