"""njit kernels as primitives: against the same functions in NumPy, under every transformation."""

import threading

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import lax
from fungrad.extend import array_type, njit_primitive
from fungrad.extend.kernel_call import KernelCall
from fungrad.ir.types import type_of
from fungrad.jit.emit_python import run_source
from fungrad.testing import check_grads
from tests.extend.kernels import decay, loss, numpy_decay, numpy_loss, numpy_softplus, per_example, softplus

X = np.array([0.3, -0.7, 1.1, 0.4])
ROWS = np.random.default_rng(0).normal(size=(3, 4))
NEAR = {"rtol": 1e-11, "atol": 1e-11}


def close(found, expected):
    for a, b in zip(fg.tree.leaves(found), fg.tree.leaves(expected), strict=True):
        assert type_of(a) == type_of(b)
        np.testing.assert_allclose(a, b, **NEAR)


COMPOSITIONS = {
    "f": lambda f: f,
    "grad": lambda f: fg.grad(f, (0, 1)),
    "jit": fg.jit,
    "jit(grad)": lambda f: fg.jit(fg.grad(f, (0, 1))),
    "grad(jit)": lambda f: fg.grad(fg.jit(f), (0, 1)),
    "jvp": lambda f: lambda x, r: fg.jvp(f, (x, r), (np.cos(x), 0.5)),
    "jit(jvp)": lambda f: fg.jit(lambda x, r: fg.jvp(f, (x, r), (np.cos(x), 0.5))),
    "hessian": lambda f: fg.hessian(f, (0, 1)),
    "jit(hessian)": lambda f: fg.jit(fg.hessian(f, (0, 1))),
    "grad(grad)": lambda f: fg.grad(lambda x, r: np.sum(fg.grad(f)(x, r) ** 2), (0, 1)),
    "jit(grad(grad))": lambda f: fg.jit(fg.grad(lambda x, r: fg.grad(f, 1)(x, r) ** 2, (0, 1))),
    "vmap": lambda f: lambda x, r: fg.vmap(f, (0, None))(np.stack([x, 2 * x]), r),
    "vmap over both": lambda f: lambda x, r: fg.vmap(f)(np.stack([x, 2 * x]), np.stack([r, r / 2])),
    "vmap of one operand": lambda f: lambda x, r: fg.vmap(f, (None, 0))(x, np.stack([r, r / 2])),
    "vmap(vmap)": lambda f: lambda x, r: fg.vmap(fg.vmap(f, (None, 0)), (0, None))(np.stack([x, 2 * x]), x[:3] / 4),
    "jit(vmap(grad))": lambda f: fg.jit(
        lambda x, r: fg.vmap(fg.grad(f, (0, 1)), (0, None))(np.stack([x, 2 * x, -x]), r)
    ),
    "grad(vmap)": lambda f: fg.grad(lambda x, r: np.sum(fg.vmap(f, (0, None))(np.stack([x, 2 * x]), r) ** 2), (0, 1)),
    "grad(vmap(vmap))": lambda f: fg.grad(
        lambda x, r: np.sum(fg.vmap(fg.vmap(f, (None, 0)), (0, None))(np.stack([x, 2 * x]), r * x)), (0, 1)
    ),
    "vmap(jit(hessian))": lambda f: lambda x, r: fg.vmap(fg.jit(fg.hessian(f)), (0, None))(np.stack([x, 2 * x]), r),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_kernels_are_what_numpy_would_be(name):
    transform = COMPOSITIONS[name]
    close(transform(loss)(X, 0.4), transform(numpy_loss)(X, 0.4))


def test_gradients_are_those_of_differences():
    check_grads(loss, (X, 0.4))


@settings(max_examples=15)
@given(st.data())
def test_elements_broadcast_as_in_numpy(data):
    shape = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
    other = tuple(data.draw(st.sampled_from([1, n])) for n in shape[data.draw(st.integers(0, len(shape))) :])
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x, k = np.asarray(rng.normal(size=shape), dtype), np.asarray(rng.uniform(0.5, 2, size=other), dtype)
    tolerance = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": 1e-6 if dtype == np.float32 else 1e-12}
    expected = numpy_softplus(x, k)
    for f in (softplus, fg.jit(softplus)):
        found = f(x, k)
        assert found.shape == expected.shape
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, **tolerance)
    pulled, wanted = (fg.grad(lambda x, k, g=g: np.sum(g(x, k)), (0, 1))(x, k) for g in (softplus, numpy_softplus))
    for found, right in zip(pulled, wanted, strict=True):
        assert type_of(found) == type_of(right)
        np.testing.assert_allclose(found, right, rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-5)


def test_python_numbers_take_the_dtype_of_arrays():
    assert softplus(np.ones(2, np.float32), 2.0).dtype == np.float32
    assert type(softplus(1.0, 2.0)) is np.float64
    assert fg.jit(softplus)(np.ones(2, np.float32), 2.0).dtype == np.float32


def test_inside_loops():
    def run(f, x, rate):
        def step(carry, r):
            return f(carry, r)

        last, totals = lax.scan(step, x, rate * np.array([0.1, 0.5, 0.9]))
        halved = lax.while_loop(lambda c: f(c, 0.5)[1] > 0.01, lambda c: f(c, 0.5)[0] / 3, last)
        return np.sum(halved) + np.sum(totals)

    for transform in (lambda f: f, fg.jit, lambda f: fg.jit(fg.grad(f, (0, 1))), lambda f: fg.grad(fg.jit(f))):
        found, expected = (transform(lambda x, r, f=f: run(f, x, r))(X, 0.8) for f in (decay, numpy_decay))
        close(found, expected)
    mapped = fg.jit(fg.vmap(lambda x: run(decay, x, 0.8)))
    np.testing.assert_allclose(mapped(ROWS), per_example(lambda x: run(numpy_decay, x, 0.8), ROWS), **NEAR)


def test_compiled_code_calls_the_kernel_itself(monkeypatch):
    step = fg.jit(fg.vmap(fg.grad(loss), (0, None)))
    expected = step(ROWS, 0.3)
    hosts = step._compiled((ROWS, 0.3), {}).program.hosts
    assert hosts
    assert all(isinstance(host.op, KernelCall) for host in hosts)

    def refuse(self, *arrays):
        raise AssertionError("evaluated by Python")

    monkeypatch.setattr(KernelCall, "evaluate", refuse)
    fresh = fg.jit(fg.vmap(fg.grad(loss), (0, None)))
    np.testing.assert_array_equal(fresh(ROWS, 0.3), expected)
    with pytest.raises(AssertionError, match="evaluated by Python"):
        decay(X, 0.3)


def test_the_printed_loops_compute_the_same():
    step = fg.jit(fg.grad(loss))
    (found,) = run_source(step._compiled((X, 0.3), {}).program, [X, np.float64(0.3)])
    np.testing.assert_allclose(found, step(X, 0.3), **NEAR)


def test_njit_callers():
    kernel = fg.jit(fg.grad(loss)).dispatcher(X, 0.4)

    @numba.njit
    def descend(x, rate):
        for _ in range(3):
            x = x - 0.1 * kernel(x, rate)
        return x

    x = X
    for _ in range(3):
        x = x - 0.1 * fg.grad(numpy_loss)(x, 0.4)
    np.testing.assert_allclose(descend(X, 0.4), x, **NEAR)


def test_threads():
    step = fg.jit(fg.grad(loss))
    inputs = np.random.default_rng(1).normal(size=(4, 40, 4))
    expected = [[step(x, 0.3) for x in rows] for rows in inputs]
    found = [None] * 4

    def work(i):
        found[i] = [step(x, 0.3) for x in inputs[i]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, expected)


def test_one_machine_code_for_different_kernels():
    """The disk cache knows programs, which do not contain a kernel: its address is passed at each call."""

    @numba.njit
    def plus(x, result):
        for i in range(x.size):
            result[i] = x[i] + 1

    @numba.njit
    def times(x, result):
        for i in range(x.size):
            result[i] = x[i] * 5

    first, second = (njit_primitive(kernel, out=lambda x: x) for kernel in (plus, times))
    np.testing.assert_array_equal(fg.jit(lambda x: 2 * first(x))(X), 2 * (X + 1))
    before = fg.cache.entries()
    np.testing.assert_array_equal(fg.jit(lambda x: 2 * second(x))(X), 2 * (X * 5))
    assert fg.cache.entries() == before


@pytest.mark.parametrize("transform", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_operands_are_dense_and_stay_as_they_are(transform):
    wide = np.arange(16.0).reshape(4, 4)
    frozen = wide.copy()
    frozen.flags.writeable = False
    f = transform(decay)
    for x in (wide[1], wide[:, 1], wide[::-1, 2], frozen[0]):
        kept = x.copy()
        found = f(x, 0.5)
        close(found, numpy_decay(x, 0.5))
        found[0][:] = -1
        np.testing.assert_array_equal(x, kept)
    close(f(np.zeros(0), 0.5), (np.zeros(0), np.float64(0)))


def test_a_batch_rule_of_the_user():
    sizes = []

    @numba.njit
    def double(x, result):
        for i in range(x.size):
            result.flat[i] = 2 * x.flat[i]

    rows = njit_primitive(double, out=lambda x: x)

    def batch(size, operands, batched):
        sizes.append(size)
        return rows(*operands)

    f = njit_primitive(double, out=lambda x: x, batch=batch)
    np.testing.assert_array_equal(fg.vmap(f)(ROWS), 2 * ROWS)
    np.testing.assert_array_equal(fg.jit(fg.vmap(f))(ROWS), 2 * ROWS)
    assert set(sizes) == {3}
    wrong = njit_primitive(double, out=lambda x: x, batch=lambda size, operands, batched: operands[0][0])
    with pytest.raises(fg.errors.KernelError, match=r"batch rule of the kernel double must return \[f64\[3,4\]\]"):
        fg.vmap(wrong)(ROWS)


def test_integers_and_booleans():
    @numba.njit
    def count(flags, weights, result, any_set):
        result[0] = 0
        any_set[()] = False
        for i in range(flags.size):
            if flags[i]:
                result[0] += weights[i]
                any_set[()] = True

    f = njit_primitive(count, out=lambda flags, weights: (array_type(1, np.int64), array_type((), bool)))
    flags, weights = np.array([True, False, True]), np.array([1, 2, 4])
    for g in (f, fg.jit(f)):
        total, some = g(flags, weights)
        assert total.tolist() == [5]
        assert some.dtype == bool
        assert some
    mapped = fg.jit(fg.vmap(f, (0, None)))(np.array([[True, True, False], [False] * 3]), weights)
    assert mapped[0].tolist() == [[3], [0]]
    assert mapped[1].tolist() == [True, False]


def test_numba_is_loaded_when_a_kernel_comes():
    from tests.test_layers import run

    assert run("import sys, fungrad.extend; print('numba' in sys.modules)") == "False"
