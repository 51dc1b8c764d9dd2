"""`jit` as users call it: what comes back, what is compiled when, nesting, host calls, threads, njit interop."""

import copy
import importlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

import fungrad as fg
from fungrad.errors import DtypeError, FungradError, OutOfBoundsError, SingularMatrixError
from fungrad.ir.types import array_type
from fungrad.jit.emit_python import run_source
from fungrad.jit.runtime import Compiled
from fungrad.primitives.index import Gather
from fungrad.primitives.sort import ArgSort
from fungrad.trace import bind, trace

X = np.array([0.3, -0.7, 1.1])

# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x",
    [2, 2.5, True, np.float32(2), np.float64(2), np.int32(2), np.bool_(True), np.ones(2, np.float32), np.array(2.0)],
    ids=repr,
)
@pytest.mark.parametrize("f", [lambda x: x + x, lambda x: x * 2.5, lambda x: x, lambda x: np.sin(x), lambda x: x > 1])
def test_results_have_the_type_that_plain_python_gives(f, x):
    plain = f(x)
    if np.asarray(plain).dtype == np.float16:
        with pytest.raises(DtypeError, match="float16"):  # the sine of a bool
            fg.jit(f)(x)
        return
    ours = fg.jit(f)(x)
    if isinstance(plain, np.ndarray) and plain.ndim == 0:
        plain = plain[()]
    assert type(ours) is type(plain)
    assert np.asarray(ours).dtype == np.asarray(plain).dtype
    np.testing.assert_allclose(ours, plain, rtol=1e-7)


def test_python_numbers_are_weak_as_in_numpy():
    x = np.ones(3, np.float32)
    assert fg.jit(lambda x, s: x * s)(x, 2.0).dtype == np.float32
    assert fg.jit(lambda x, s: x * s)(x, np.float64(2.0)).dtype == np.float64
    assert fg.jit(lambda s: (s + 1) * x)(2.0).dtype == np.float32


def test_pytrees_in_and_out():
    def f(params, *, scale):
        w, (b, none) = params["w"], params["rest"]
        return {"out": [w * scale + b], "b": (b, none)}

    out = fg.jit(f)({"w": X, "rest": (1.0, None)}, scale=2.0)
    assert set(out) == {"out", "b"}
    assert out["b"] == (1.0, None)
    assert type(out["b"][0]) is float
    np.testing.assert_array_equal(out["out"][0], X * 2 + 1)


def test_constants_and_strings_in_the_result_are_returned():
    out = fg.jit(lambda x: {"x": x, "name": "model", "k": 3, "c": X, "n": None})(1.0)
    assert out["name"] == "model"
    assert out["k"] == 3
    out["c"][0] = 9
    assert X[0] == 0.3, "a constant of the program was handed out"


def test_outputs_never_alias_inputs_or_each_other():
    x = np.arange(6.0).reshape(2, 3)
    outs = fg.jit(lambda x: (x, x, x.T, x.reshape(-1), x[:1], x + 0))(x)
    for i, a in enumerate(outs):
        assert a.flags.writeable
        assert not np.shares_memory(a, x)
        assert not any(np.shares_memory(a, b) for b in outs[:i])


def test_repeated_calls_give_fresh_arrays():
    f = fg.jit(lambda x: np.sin(x) * 2)
    first = f(X)
    kept = first.copy()
    f(X + 1)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_empty_and_0d_arrays(shape):
    x = np.ones(shape)

    def f(x):
        return np.sin(x) + 1, np.sum(x), np.concatenate([x.reshape(-1), x.reshape(-1)]), x.T

    for a, b in zip(fg.jit(f)(x), f(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)
        assert np.shape(a) == np.shape(b)


def test_any_memory_layout_of_inputs():
    f = fg.jit(lambda x, y: x @ y + 1)
    x = np.arange(12.0).reshape(3, 4)
    frozen = x.copy()
    frozen.flags.writeable = False
    unaligned = np.frombuffer(bytes(1) + x.tobytes(), offset=1).reshape(3, 4)
    expected = x @ x.T + 1
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[::-1].copy()[::-1], frozen, unaligned):
        np.testing.assert_allclose(f(same, x.T), expected, rtol=1e-14)


# -- what is compiled ------------------------------------------------------------------------------------------------


def test_one_program_for_each_signature():
    traced = []

    @fg.jit
    def f(x):
        traced.append(x.type)
        return x * 2

    for x in (X, X + 1, X.astype(np.float32), X[:2], X[:2], 1.0, 2.0, np.float64(1.0)):
        f(x)
    assert len(traced) == 5  # f64[3], f32[3], f64[2], weak f64[], f64[]


def test_static_arguments_by_position_and_name():
    @fg.jit
    def power(x, n):
        return x**n

    traced = []

    def f(x, n, *, mode="a"):
        traced.append((n, mode))
        for _ in range(n):
            x = x * 2
        return x + (1.0 if mode == "a" else 0.0)

    by_position = fg.jit(f, static_argnums=1, static_argnames="mode")
    assert by_position(1.0, 3) == 9.0
    assert by_position(2.0, 3) == 17.0
    assert by_position(1.0, 3, mode="b") == 8.0
    assert by_position(1.0, 2) == 5.0
    assert by_position(x=1.0, n=2) == 5.0
    assert traced.count((3, "a")) == 1
    by_name = fg.jit(f, static_argnames=("n", "mode"))
    assert by_name(1.0, 3) == by_name(1.0, n=3) == 9.0
    assert fg.jit(f, static_argnums=-1)(1.0, 3) == 9.0


def test_static_arguments_of_equal_value_and_other_type_are_told_apart():
    f = fg.jit(lambda x, n: x * n, static_argnums=1)
    x = np.ones(2, np.int64)
    assert f(x, 2).dtype == np.int64
    assert f(x, 2.0).dtype == np.float64
    assert f(x, True).dtype == np.int64


def test_keyword_arguments_in_any_order():
    f = fg.jit(lambda a, b: a - b)
    assert f(a=5.0, b=3.0) == f(b=3.0, a=5.0) == f(5.0, b=3.0) == 2.0


def test_as_a_decorator_with_options_and_without():
    @fg.jit(static_argnames=("n",))
    def f(x, n):
        """Doc."""
        return x * n

    assert f(2.0, n=3) == 6.0
    assert f.__name__ == "f"
    assert f.__doc__ == "Doc."


def test_a_method_can_be_compiled():
    class Model:
        @fg.jit
        def double(self):
            return 2 * self

    assert Model.double(2.0) == 4.0


def test_closed_over_arrays_are_constants_of_the_program():
    c = np.array([1.0, 2.0, 3.0])
    f = fg.jit(lambda x: x * c)
    np.testing.assert_array_equal(f(X), X * c)
    c[0] = 100.0  # as in every tracing compiler, the program keeps what it saw
    np.testing.assert_array_equal(f(X), X * [1.0, 2.0, 3.0])


def test_graph_and_source_can_be_read():
    f = fg.jit(lambda x: np.sum(np.sin(x) * 2.0))
    assert "sin x" in str(f.graph(X))
    source = f.source(X)
    assert "np.sin" in source
    assert "for i0 in range(3)" in source
    compile(source, "source", "exec")


# -- numbers ---------------------------------------------------------------------------------------------------------


def test_float32_sum_of_many_ones_is_exact():
    n = 20_000_000
    assert fg.jit(np.sum)(np.broadcast_to(np.float32(1), (n,))) == n


@pytest.mark.parametrize("shape", [(20_000, 300), (300, 20_000)])
def test_float32_sums_over_either_axis_are_accurate(shape):
    x = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    for axis in (0, 1):
        found = fg.jit(lambda x, axis=axis: np.sum(x, axis=axis))(x)
        np.testing.assert_allclose(found, np.sum(x, axis=axis, dtype=np.float64), rtol=3e-6)


@pytest.mark.parametrize("index", [3, -4, 10**12])
def test_out_of_bounds_raises(index):
    f = fg.jit(lambda x, i: x[i])
    with pytest.raises(OutOfBoundsError, match="out of bounds for axis 0 of extent 3"):
        f(X, np.array([0, index]))
    np.testing.assert_array_equal(f(X, np.array([0, 2])), X[[0, 2]])


def test_out_of_bounds_raises_in_the_python_source_too():
    graph, _ = trace(
        lambda x, i: [bind(Gather(), x, i)], [array_type((3,), X.dtype), array_type((2,), np.dtype("i8"))], purpose="t"
    )
    with pytest.raises(OutOfBoundsError):
        run_source(Compiled(graph).program, [X, np.array([0, 3])])


# -- nesting ---------------------------------------------------------------------------------------------------------


def loss(x):
    return np.sum(np.tanh(x) * x)


D_LOSS = (1 - np.tanh(X) ** 2) * X + np.tanh(X)
D2_LOSS = 2 * (1 - np.tanh(X) ** 2) * (1 - np.tanh(X) * X)


@pytest.mark.parametrize(
    "gradient",
    [
        fg.jit(fg.grad(loss)),
        fg.grad(fg.jit(loss)),
        fg.jit(fg.grad(fg.jit(loss))),
        fg.jit(fg.jit(fg.grad(loss))),
        fg.grad(lambda x: fg.jit(lambda y: loss(y))(x)),
        fg.grad(fg.jit(fg.jit(loss))),
    ],
)
def test_jit_and_grad_commute(gradient):
    np.testing.assert_allclose(gradient(X), D_LOSS, rtol=1e-14)


@pytest.mark.parametrize(
    "second",
    [
        lambda x: fg.grad(lambda y: np.sum(fg.grad(fg.jit(loss))(y)))(x),
        lambda x: fg.grad(lambda y: np.sum(fg.jit(fg.grad(loss))(y)))(x),
        lambda x: fg.jit(fg.grad(lambda y: np.sum(fg.grad(loss)(y))))(x),
        lambda x: fg.grad(fg.jit(lambda y: np.sum(fg.grad(fg.jit(loss))(y))))(x),
    ],
)
def test_second_derivatives_through_jit(second):
    np.testing.assert_allclose(second(X), D2_LOSS, rtol=1e-13)


def test_third_derivative_of_a_compiled_function():
    f = fg.jit(lambda x: x**4)
    assert fg.grad(fg.grad(fg.grad(f)))(2.0) == pytest.approx(48.0, rel=1e-14)
    assert fg.jit(fg.grad(fg.grad(fg.grad(f))))(2.0) == pytest.approx(48.0, rel=1e-14)


def test_jit_that_closes_over_a_tracer():
    def f(x):
        return np.sum(fg.jit(lambda y: y * x)(x + 1))  # x (x + 1)

    np.testing.assert_allclose(fg.grad(f)(X), 2 * X + 1, rtol=1e-15)
    np.testing.assert_allclose(fg.jit(fg.grad(f))(X), 2 * X + 1, rtol=1e-15)
    np.testing.assert_allclose(f(X), np.sum(X * (X + 1)))


def test_only_some_arguments_differentiated_through_jit():
    f = fg.jit(lambda x, n, y: np.sum(x * y) * n)
    assert fg.grad(f, argnums=(0, 2))(2.0, 3, 5.0) == (15.0, 6.0)


def test_gradient_of_compiled_function_with_unused_and_integer_parts():
    f = fg.jit(lambda x, i, unused: (x[i], i * 2))
    out, pullback = fg.vjp(lambda x: f(x, np.array([2, 2]), x)[0], X)
    np.testing.assert_array_equal(out, X[[2, 2]])
    np.testing.assert_array_equal(pullback(np.array([1.0, 10.0]))[0], [0, 0, 11.0])


def test_jit_of_a_long_chain():
    def f(x):
        for _ in range(1500):
            x = np.sin(x) + 0.001
        return x

    plain = f(np.float64(0.5))
    assert fg.jit(f)(np.float64(0.5)) == pytest.approx(plain, rel=1e-12)


# -- host calls, threads, njit ---------------------------------------------------------------------------------------


def sorted_twice(x):
    """Native, host (ArgSort), native, host, native."""
    order = bind(ArgSort(0), np.sin(x) * 2)
    y = bind(Gather(), x, order) + 1
    return bind(Gather(), y, bind(ArgSort(0), -y)) * 3


def test_host_calls_between_native_parts():
    f = fg.jit(sorted_twice)
    np.testing.assert_allclose(f(X), sorted_twice(X), rtol=1e-15)
    assert "host(" in f.source(X)


def test_host_calls_from_many_threads():
    f = fg.jit(sorted_twice)
    inputs = [np.random.default_rng(i).normal(size=200) for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for x, found in zip(inputs, pool.map(f, inputs), strict=True):
            np.testing.assert_allclose(found, sorted_twice(x), rtol=1e-15)


def test_exceptions_of_host_calls_propagate():
    f = fg.jit(lambda x, y: np.sin(x * 1.0)[0] + x**y)
    with pytest.raises(ValueError, match="negative integer powers"):
        f(np.array([2, 3]), np.array([-1, 1]))
    np.testing.assert_allclose(f(np.array([2, 3]), np.array([1, 1])), np.sin(2) + np.array([2, 3]))


def test_concurrent_first_calls_trace_and_compile_correctly():
    for round in range(3):
        f = fg.jit(lambda x, k=round: np.sum(np.sin(x) * k))
        barrier = threading.Barrier(6)

        def call(i, f=f, barrier=barrier):
            barrier.wait()
            return f(np.full(4, float(i)))

        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(call, range(6)))
        np.testing.assert_allclose(found, [4 * np.sin(i) * round for i in range(6)], rtol=1e-14)


def test_gradient_called_from_a_users_njit_loop():
    A = np.array([[3.0, 1.0], [1.0, 2.0]])
    b = np.array([1.0, -1.0])
    gradient = fg.jit(fg.grad(lambda x: 0.5 * x @ (A @ x) - b @ x)).dispatcher(np.zeros(2))

    @numba.njit
    def descend(x, steps, rate):
        for _ in range(steps):
            x = x - rate * gradient(x)
        return x

    np.testing.assert_allclose(descend(np.zeros(2), 200, 0.2), np.linalg.solve(A, b), rtol=1e-10)
    with pytest.raises(ValueError, match="compiled for shape"):
        descend(np.zeros(3), 1, 0.1)
    with pytest.raises(numba.TypingError, match="compiled for dtype float64"):
        gradient(np.zeros(2, np.float32))


def test_dispatcher_with_several_results_numbers_and_layouts():
    f = fg.jit(lambda p, s: {"sum": np.sum(p["x"]) * s, "y": p["x"].T * s}).dispatcher({"x": np.ones((2, 3))}, 2.0)

    @numba.njit
    def use(x):
        total, y = f(x, 3.0)
        return total + y[2, 1]

    x = np.arange(6.0).reshape(2, 3)
    assert use(x) == use(np.asfortranarray(x)) == 15 * 3 + 15
    with pytest.raises(FungradError):
        fg.jit(lambda x: 3).dispatcher(1.0)


def test_dispatcher_reports_bounds():
    f = fg.jit(lambda x, i: x[i]).dispatcher(X, np.array([1]))
    with pytest.raises(IndexError, match=r"gather at .*test_jit.py:\d+: an index is out of bounds for axis 0"):
        f(X, np.array([7]))


def test_errors_of_numpy_pass_through_the_callers_of_a_dispatcher():
    solve = fg.jit(lambda a, b: np.linalg.solve(a, b)).dispatcher(np.eye(2), np.ones(2))

    @numba.njit
    def twice(a, b):
        return solve(a, solve(a, b))

    np.testing.assert_allclose(twice(2 * np.eye(2), np.ones(2)), [0.25, 0.25])
    for _ in range(2):
        with pytest.raises(SingularMatrixError, match=r"solve: the matrix \(2, 2\) is singular, at .*test_jit.py"):
            twice(np.zeros((2, 2)), np.ones(2))


def test_errors_of_numpy_are_caught_in_njit_code():
    solve = fg.jit(lambda a, b: np.linalg.solve(a, b)).dispatcher(np.eye(2), np.ones(2))

    @numba.njit
    def first(a, b):
        try:
            return solve(a, b)[0]
        except Exception:
            return -1.0

    assert [first(np.zeros((2, 2)), np.ones(2)), first(np.eye(2), np.ones(2))] == [-1.0, 1.0]


def test_other_errors_of_host_calls_keep_their_class():
    def fail(x):
        raise KeyError(float(x))

    def f(x):
        fg.debug.callback(fail, x)
        return x * 2

    with pytest.raises(KeyError, match=r"3\.5"):
        fg.jit(f).dispatcher(1.0)(3.5)


def test_a_dispatcher_uses_as_many_threads(monkeypatch):
    seen = []

    native = importlib.import_module("fungrad.jit.native")
    monkeypatch.setattr(native, "compile_dispatcher", lambda program, threads: seen.append(threads))
    for threads in (1, 3):
        fg.jit(lambda x: np.sin(x), threads=threads).dispatcher(X)
    assert seen == [1, 3]


def test_an_argument_changed_in_place_is_traced():
    def double(x):
        x *= 2
        return np.sum(x)

    x = np.ones(3)
    assert fg.jit(double)(x) == 6.0
    np.testing.assert_array_equal(x, np.ones(3))  # the caller's array is not changed
    np.testing.assert_array_equal(fg.jit(fg.grad(double))(x), np.full(3, 2.0))


def test_numba_does_not_cache_callers_of_a_dispatcher(tmp_path):
    kernel = fg.jit(fg.grad(lambda w: np.sum(w**2))).dispatcher(X)
    source = tmp_path / "caller.py"
    source.write_text("def call(w):\n    return kernel(w)\n")
    namespace = {"kernel": kernel}
    exec(compile(source.read_text(), str(source), "exec"), namespace)
    with pytest.warns(numba.core.errors.NumbaWarning, match="annot cache"):
        np.testing.assert_allclose(numba.njit(cache=True)(namespace["call"])(X), 2 * X)


def test_names_of_arguments_never_meet_those_of_generated_code():
    def f(x, dense__x, a__total, at__0, i0, best__value, out0, kernel__status, check__x, a__2, np_, range):
        rest = dense__x + a__total + i0 + best__value + out0 + kernel__status + check__x + a__2 + np_ + range
        twice = x * 2
        return np.sum(twice, keepdims=True) * rest + (twice * 3)[::-1] + x[at__0] + np.argmax(x)

    numbers = [np.full(3, float(i)) for i in np.arange(1, 11)]
    arguments = (X, numbers[0], numbers[1], np.array([2, 0, 1]), *numbers[2:])
    np.testing.assert_allclose(fg.jit(f)(*arguments), f(*arguments))
    np.testing.assert_allclose(fg.jit(f).dispatcher(*arguments)(*arguments), f(*arguments))
    program = fg.jit(f)._compiled(arguments, {}).program
    np.testing.assert_allclose(run_source(program, arguments)[0], f(*arguments))


def test_a_dispatcher_refuses_constants_and_truncation():
    with pytest.raises(FungradError, match="do not depend on its arguments"):
        fg.jit(lambda x: (x * 2, 3.0)).dispatcher(X)
    with pytest.raises(FungradError, match="returns nothing"):
        fg.jit(lambda x: None).dispatcher(X)
    with pytest.raises(numba.core.errors.TypingError, match="n: compiled for i64"):
        fg.jit(lambda x, n: x * n).dispatcher(X, 2)(X, 2.7)


@pytest.mark.parametrize(
    ("compiled_for", "narrower", "wider"),
    [
        (np.int8(3), [True, np.int8(4)], [300, np.uint8(200)]),
        (np.float32(3), [True, 2, np.float32(0.5)], [0.5]),
        (3, [np.int32(2), np.uint8(7)], [np.uint64(2**63)]),
        (3.0, [2, False, np.float32(0.5)], []),
    ],
)
def test_a_dispatcher_takes_numbers_that_fit(compiled_for, narrower, wider):
    f = fg.jit(lambda n: n + n * 1).dispatcher(compiled_for)
    for n in narrower:
        assert f(n) == 2 * n
    for n in wider:
        with pytest.raises(numba.TypingError, match="does not fit"):
            f(n)


def test_a_dispatcher_may_have_arguments_named_as_errors():
    for f in (lambda ValueError: ValueError * 2, lambda MemoryError, IndexError: MemoryError + IndexError):
        arguments = [X] * f.__code__.co_argcount
        np.testing.assert_array_equal(fg.jit(f).dispatcher(*arguments)(*arguments), X * 2)


@pytest.mark.parametrize("given", [(1.0, 2.0, 3.0), [1.0, 2.0, 3.0]])
def test_a_dispatcher_refuses_sequences(given):
    with pytest.raises(numba.TypingError, match="compiled for an array f64"):
        fg.jit(lambda a: a * 2).dispatcher(X)(given)


def test_an_unknown_integer_may_not_wrap():
    small = np.arange(50, 55, dtype=np.uint8)
    for f in (lambda x, n: x + n, lambda x, n: x < n):
        with pytest.raises(FungradError, match="static argument"):
            fg.jit(f)(small, 300)
    np.testing.assert_array_equal(fg.jit(lambda x, n: x + n)(small, np.uint8(3)), small + np.uint8(3))


def test_static_arguments_that_are_equal_but_not_the_same():
    f = fg.jit(lambda x, s: np.copysign(x, s), static_argnums=1)
    assert np.all(f(np.ones(2), 0.0) == 1)
    assert np.all(f(np.ones(2), -0.0) == -1)
    g = fg.jit(lambda x, y, n=3: x * y * n, static_argnums=-1)
    np.testing.assert_array_equal(g(np.ones(2), np.ones(2)), [3, 3])


def test_jit_on_a_method():
    class Model:
        @fg.jit(static_argnums=0)
        def double(self, x):
            return 2 * x

    np.testing.assert_array_equal(Model().double(X), 2 * X)


@fg.jit
def pickled_by_name(x):
    return np.sin(x)


def test_compiled_functions_are_pickled_and_copied():
    """By name, or by the function inside; before and after the first call."""
    for f in (pickled_by_name, fg.jit(np.cos, threads=1), fg.jit(np.sum, static_argnums=1)):
        arguments = (X, 0) if f._static_positions else (X,)
        for _ in range(2):
            for again in (pickle.loads(pickle.dumps(f)), copy.copy(f), copy.deepcopy(f)):
                assert again._options == f._options
                np.testing.assert_array_equal(again(*arguments), f(*arguments))
    assert pickle.loads(pickle.dumps(pickled_by_name)) is pickled_by_name
