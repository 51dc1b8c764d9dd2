"""What `vmap` means: axes, pytrees, nesting, other transformations, sharing, and what it refuses."""

import re
from typing import NamedTuple

import numpy as np
import pytest

import fungrad as fg
from fungrad.context import STATE
from fungrad.errors import (
    ArgumentError,
    AxisError,
    ConcretizationError,
    DtypeError,
    OutOfBoundsError,
    ShapeError,
    TreeError,
)
from fungrad.evaluate import evaluate
from fungrad.ir.verify import verify
from fungrad.jit.call import Call
from fungrad.transforms.batch import batched_graph

vmap, grad, jit = fg.vmap, fg.grad, fg.jit
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
Y = RNG.normal(size=(4, 3))
W = RNG.normal(size=(3, 2))


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


# -- axes ------------------------------------------------------------------------------------------------------------


def test_one_argument():
    found = vmap(lambda x: np.sum(x * x))(X)
    assert type(found) is np.ndarray
    same(found, [np.sum(x * x) for x in X])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -1, -2, -3])
def test_every_axis(axis, out):
    x = RNG.normal(size=(2, 3, 4))
    found = vmap(lambda a: np.cumsum(a, axis=0) @ np.ones((a.shape[1], 5)), axis, out)(x)
    expected = [np.cumsum(a, axis=0) @ np.ones((a.shape[1], 5)) for a in np.moveaxis(x, axis, 0)]
    same(found, np.stack(expected, out))


def test_axes_are_prefixes_of_pytrees():
    class Pair(NamedTuple):
        a: object
        b: object

    tree = {"u": (X, X.T), "v": Pair(X, 2.0)}
    found = vmap(
        lambda t, s: {"sum": t["u"][0] + t["u"][1], "scaled": (t["v"].a * t["v"].b * s,)},
        in_axes=({"u": (0, 1), "v": Pair(0, None)}, None),
        out_axes={"sum": 1, "scaled": 0},
    )(tree, 3.0)
    same(found["sum"], 2 * X.T)
    same(found["scaled"][0], 6 * X)
    found = vmap(lambda t: (t[0] + t[1], t[0]), in_axes=([0, None],), out_axes=(0, -1))([X, X[0]])
    same(found[0], X + X[0])
    same(found[1], X.T)


def test_lists_of_axes_and_numpy_integers():
    same(vmap(lambda a, b: a + b, in_axes=[0, np.int64(1)])(X, Y.T), X + Y)


def test_keywords_are_mapped_over_axis_0():
    found = vmap(lambda x, w, *, y: x @ w * y["scale"], in_axes=(0, None))(X, W, y={"scale": np.arange(4.0)})
    same(found, X @ W * np.arange(4.0)[:, None])


def test_shared_numbers_and_strings_reach_the_function_as_they_are():
    def f(x, mode, n):
        assert type(n) is int
        return np.sum(x[:n]) if mode == "sum" else x[0]

    same(vmap(f, (0, None, None))(X, "sum", 2), X[:, :2].sum(1))
    same(vmap(f, (0, None, None))(X, "first", 2), X[:, 0])


def test_shared_arrays_take_traced_indices_and_are_known_masks():
    table, index = RNG.normal(size=(5, 2)), np.array([[4, -1, 0], [1, 1, 2]])
    same(vmap(lambda t, i: t[i], (None, 0))(table, index), table[index])
    same(vmap(lambda t, i: t[i, 1], (None, 1), 1)(table, index), table[index, 1])
    mask = np.array([True, False, True])
    same(vmap(lambda x, m: x[m], (0, None))(X, mask), X[:, mask])
    same(vmap(lambda x, m: (x[m > 0.5], m * 2), (0, None), (1, None))(X, mask * 1.0)[0], X[:, mask].T)
    same(vmap(lambda x, m: (x, m * 2), (0, None), (0, None))(X, mask * 1.0)[1], mask * 2.0)


def test_shared_arrays_are_not_changed_in_place():
    def f(x, w):
        w *= 2.0
        w[0] = x[0]
        return x + w, w

    w = np.ones(3)
    found = vmap(f, (0, None))(X, w)
    np.testing.assert_array_equal(w, np.ones(3))
    expected = np.stack([X[:, 0], *[np.full(4, 2.0)] * 2], 1)
    same(found[0], X + expected)
    same(found[1], expected)


def test_axis_size_without_a_mapped_argument():
    same(vmap(lambda x: x + 1, None, axis_size=3)(X), np.stack([X + 1] * 3))
    same(vmap(lambda: np.ones(2), axis_size=3)(), np.ones((3, 2)))
    assert vmap(lambda x: x, None, None, axis_size=3)("kept") == "kept"
    same(vmap(lambda x: x, axis_size=4)(X), X)


@pytest.mark.parametrize("size", [0, 1])
def test_few_examples(size):
    x = np.ones((size, 3), np.float32)
    found = vmap(lambda x: (np.sort(x)[::-1], np.argmax(x), x @ W, 1.0))(x)
    assert [a.shape for a in found] == [(size, 3), (size,), (size, 2), (size,)]
    assert [a.dtype for a in found] == [np.float32, np.int64, np.float64, np.float64]
    assert vmap(grad(lambda w, x: np.sum(np.tanh(x @ w))), (None, 0))(W, x).shape == (size, 3, 2)


def test_results_that_do_not_depend_on_the_example():
    w = W.copy()

    def f(x):
        return x, w, 3, np.float32(2.0), {"y": np.arange(2)}

    found = vmap(f, out_axes=(0, -1, 0, 0, None))(X)
    same(found[1], np.stack([w] * 4, -1))
    assert found[2].dtype == np.int64
    assert found[3].dtype == np.float32
    assert found[3].shape == (4,)
    np.testing.assert_array_equal(found[4]["y"], [0, 1])
    found[1][...] = 0.0  # the caller's own
    np.testing.assert_array_equal(w, W)


def test_results_share_no_memory_with_arguments_or_each_other():
    x = X.copy()
    found = vmap(lambda x: (x, x, x.T, x[:2]))(x)
    found += vmap(lambda x: (x, x), 1, 1)(x)
    for i, a in enumerate(found):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (*found[:i], x))


def test_in_place_operators_belong_to_the_example():
    def f(x, y):
        total = np.zeros_like(x)
        total += x
        x *= 2.0
        row = x[:2]
        row[0] = y[1]
        return total, x

    x = X.copy()
    found = vmap(f)(x, Y)
    np.testing.assert_array_equal(x, X)
    same(found[0], X)
    expected = 2 * X
    expected[:, 0] = Y[:, 1]
    same(found[1], expected)


def test_python_numbers_do_not_widen():
    x = X.astype(np.float32)
    assert vmap(lambda x, c: x * c + 1, (0, None))(x, 2.0).dtype == np.float32
    assert vmap(lambda x: x * np.float64(2))(x).dtype == np.float64  # as in NumPy
    assert vmap(lambda x: x[0] * 2.0)(x).dtype == np.float32


def test_the_function_is_called_once_and_keeps_its_name():
    calls = []

    def square(x):
        """The square."""
        calls.append(x.shape)
        return x * x

    mapped = vmap(square)
    mapped(X)
    assert calls == [(3,)]
    assert (mapped.__name__, mapped.__doc__) == ("square", "The square.")


# -- other transformations ---------------------------------------------------------------------------------------------


def loss(params, x, y):
    h = np.tanh(x @ params["w"] + params["b"])
    return np.mean((h - y) ** 2)


PARAMS = {"w": W, "b": np.array([0.1, -0.2])}
TARGETS = RNG.normal(size=(4, 2))


def test_per_example_gradients():
    expected = [grad(loss)(PARAMS, x, y) for x, y in zip(X, TARGETS, strict=True)]
    found = vmap(grad(loss), (None, 0, 0))(PARAMS, X, TARGETS)
    for key in PARAMS:
        same(found[key], np.stack([e[key] for e in expected]))
    values, again = vmap(fg.value_and_grad(loss), (None, 0, 0))(PARAMS, X, TARGETS)
    same(values, [loss(PARAMS, x, y) for x, y in zip(X, TARGETS, strict=True)])
    same(again["w"], found["w"])


def test_gradient_of_vmap_is_the_sum():
    found = grad(lambda p: np.sum(vmap(loss, (None, 0, 0))(p, X, TARGETS)))(PARAMS)
    expected = vmap(grad(loss), (None, 0, 0))(PARAMS, X, TARGETS)
    for key in PARAMS:
        same(found[key], expected[key].sum(0))


def test_hessian_from_vmap_of_vjp():
    f = lambda x: np.sum(np.sin(x) * x[::-1] ** 2)  # noqa: E731
    _, pullback = fg.vjp(grad(f), X[0])
    (hessian,) = vmap(pullback)(np.eye(3))
    same(hessian, hessian.T)
    rows = [grad(lambda x, i=i: grad(f)(x)[i])(X[0]) for i in range(3)]
    same(hessian, np.stack(rows))


@pytest.mark.parametrize("order", [2, 3])
def test_gradients_of_gradients_of_vmap(order):
    def repeated(f):
        for _ in range(order):
            f = grad(f)
        return f

    cube = lambda x: x**4 * np.sin(x)  # noqa: E731
    x = X[:, 0]
    expected = np.array([repeated(cube)(v) for v in x])
    np.testing.assert_allclose(vmap(repeated(cube))(x), expected, rtol=1e-11)
    inner = lambda s: np.sum(vmap(repeated(cube))(s * x))  # noqa: E731
    np.testing.assert_allclose(grad(inner)(1.0), np.sum(vmap(grad(repeated(cube)))(x) * x), rtol=1e-10)


def test_outer_levels_may_be_closed_over():
    def f(w):
        mapped = vmap(lambda x: vmap(lambda y: np.tanh(w @ x) * y)(x) + w)
        return np.sum(mapped(X))

    def by_hand(w):
        return np.sum(np.tanh(X @ w)[:, None] * X + w)

    w = np.array([0.3, -0.1, 0.2])
    same(f(w), by_hand(w))
    same(grad(f)(w), grad(by_hand)(w))
    same(jit(grad(f))(w), grad(by_hand)(w))


def test_nested_with_mixed_axes():
    a, b = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 6))
    outer = vmap(vmap(np.dot, (None, 1)), (0, None))
    same(outer(a, b), a @ b)
    same(vmap(vmap(np.dot, (0, None)), (None, 1), 1)(a, b), a @ b)
    same(vmap(vmap(vmap(lambda x: x * 2)))(np.ones((2, 3, 4))), np.full((2, 3, 4), 2.0))


def test_graph_of_vmap_names_the_users_line():
    graph = fg.make_graph(vmap(grad(loss), (None, 0, 0)))(PARAMS, X, TARGETS)
    assert {e.where.file for e in graph.equations} == {__file__}
    lines = loss.__code__.co_firstlineno
    assert {e.where.line for e in graph.equations} == {lines + 1, lines + 2}
    assert not any(type(e.op) is Call for e in graph.equations)


def calls(f, *args):
    """How often compiled code is entered, by the sizes of the batches."""
    seen = []
    evaluate = Call.evaluate

    def counted(self, *arrays):
        seen.append([np.shape(a) for a in arrays])
        return evaluate(self, *arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "evaluate", counted)
        result = f(*args)
    return result, seen


def test_compiled_functions_stay_compiled_under_vmap():
    f = jit(lambda x, c: {"y": np.sin(x) * c, "s": np.sum(x)})
    found, seen = calls(vmap(f, (0, None)), X, 2.0)
    assert seen == [[(4, 3), ()]]
    same(found["y"], np.sin(X) * 2)
    same(found["s"], X.sum(1))
    f = jit(lambda x, t: (x + 1, t * 2))  # a result that no example influences
    same(vmap(f, (0, None))(X, Y[0])[1], np.stack([2 * Y[0]] * 4))
    f = jit(lambda w, x: np.sum(np.tanh(x @ w)))
    found, seen = calls(vmap(grad(f), (None, 0)), W, X)
    assert (4, 3) in seen[0]
    same(found, vmap(grad(lambda w, x: np.sum(np.tanh(x @ w))), (None, 0))(W, X))
    found, seen = calls(vmap(vmap(jit(np.sin))), X)
    assert seen == [[(4, 3)]]
    same(found, np.sin(X))
    same(grad(lambda x: np.sum(vmap(jit(np.sin))(x)))(X), np.cos(X))


@pytest.mark.parametrize(
    "f",
    [
        lambda w, x: vmap(jit(lambda x: x @ w))(x),
        lambda w, x: vmap(jit(grad(lambda w, x: np.sum(np.tanh(x @ w)))), (None, 0))(w, x),
        lambda w, x: vmap(grad(jit(lambda w, x: np.sum(np.tanh(x @ w)))), (None, 0))(w, x),
    ],
)
def test_compiled_functions_become_part_of_a_compiled_program(f):
    expected = f(W, X)
    same(jit(f)(W, X), expected)
    assert not any(type(e.op) is Call for e in jit(f).graph(W, X).equations)
    assert not any(type(e.op) is Call for e in fg.make_graph(f)(W, X).equations)
    assert STATE.programs == 0


@pytest.mark.parametrize("forced", [False, True])
def test_batched_graph(forced):
    graph = fg.make_graph(lambda x, w: (x * w, np.sin(w)))(X[0], Y[0])
    found = verify(batched_graph(graph, 4, (True, False), (False, forced)))
    assert [str(v.type) for v in found.inputs] == ["f64[4,3]", "f64[3]"]
    product, sine = evaluate(found, X, Y[0])
    same(product, X * Y[0])
    same(sine, np.stack([np.sin(Y[0])] * 4) if forced else np.sin(Y[0]))


def test_a_failed_trace_leaves_no_program_behind():
    with pytest.raises(ConcretizationError):
        jit(lambda x: x if x > 0 else -x)(1.0)
    assert STATE.programs == 0


# -- beside JAX --------------------------------------------------------------------------------------------------------

M = RNG.normal(size=(4, 3, 5))
K = RNG.normal(size=(4, 5, 2))
I = RNG.integers(0, 3, size=(4, 6))  # noqa: E741

FUNCTIONS = {
    "matmul": (lambda np: lambda a, b: a @ b, (0, 0), 0, (M, K)),
    "matmul, left shared": (lambda np: lambda a, b: a @ b, (None, 0), 0, (M[0], K)),
    "matmul, right shared": (lambda np: lambda a, b: a @ b, (1, None), 1, (M, RNG.normal(size=(5, 2)))),
    "matmul of stacks": (lambda np: lambda a, b: a @ b, (None, -1), -1, (M, RNG.normal(size=(5, 2, 3)))),
    "matrix and vector": (lambda np: lambda a, b: np.tanh(a @ b), (None, 0), 0, (M[0], K[:, :, 0])),
    "einsum": (lambda np: lambda a, b: np.einsum("ij,jk->ki", a, b), (0, 0), 2, (M, K)),
    "einsum over a diagonal": (
        lambda np: lambda a, b: np.einsum("ii,i->i", a, b),
        (2, None),
        0,
        (RNG.normal(size=(3, 3, 4)), X[0]),
    ),
    "einsum of three": (
        lambda np: lambda a, b, c: np.einsum("ij,jk,i->k", a, b, c),
        (None, 0, 1),
        0,
        (M[0], K, X.T),
    ),
    "tensordot": (lambda np: lambda a, b: np.tensordot(a, b, axes=((1,), (0,))), (0, None), -1, (M, K[0])),
    "indexing": (lambda np: lambda x, i: x[i], (0, 0), 0, (X, I)),
    "indexing, positions shared": (lambda np: lambda x, i: x[i, 1:], (0, None), 0, (M, I[0])),
    "indexing, table shared": (lambda np: lambda x, i: x[i] * 2, (None, 0), 1, (X, I)),
    "indexing by an integer": (lambda np: lambda x, i: x[i], (1, 0), 0, (X.T, I[:, 0])),
    "indexing, mixed": (lambda np: lambda x, i: x[:, i, None, ::-1][0], (0, 0), 0, (RNG.normal(size=(4, 2, 3, 5)), I)),
    "take_along_axis": (
        lambda np: lambda x: np.take_along_axis(x, np.argsort(x, axis=0), axis=0),
        (0,),
        0,
        (M,),
    ),
    "slices": (lambda np: lambda x: x[1:, ::2] - x[:-1, -1:], (0,), 0, (M,)),
    "cumsum": (lambda np: lambda x: np.cumsum(x, axis=1), (2,), 0, (M,)),
    "cumsum, flattened": (lambda np: np.cumsum, (0,), 0, (M,)),
    "sort": (lambda np: lambda x: np.sort(x, axis=0), (0,), 1, (M,)),
    "argmax": (lambda np: lambda x: (np.argmax(x), np.argmin(x, axis=1)), (0,), 0, (M,)),
    "max and var": (lambda np: lambda x: (np.max(x, axis=0), np.var(x)), (1,), 0, (M,)),
    "any and all": (lambda np: lambda x: (np.any(x > 1.0), np.all(x > -1.0, axis=0)), (0,), 0, (M,)),
    "where": (lambda np: lambda c, x, y: np.where(c > 0, x, y), (0, None, 1), 0, (X, X[0], Y.T)),
    "concatenate": (lambda np: lambda x, y: np.concatenate([x, y, x * 2]), (0, None), 1, (X, Y[0])),
    "stack": (lambda np: lambda x, y: np.stack([x, y], axis=-1), (None, 0), 0, (X[0], Y)),
    "pad": (lambda np: lambda x: np.pad(x, ((1, 2), (0, 1))), (0,), 0, (M,)),
    "reshape": (lambda np: lambda x: np.reshape(x.T, (-1,)), (1,), 0, (M,)),
    "transpose": (lambda np: lambda x: np.transpose(x, (1, 0))[::-1], (0,), -1, (M,)),
    "broadcast": (lambda np: lambda x, y: x[:, None] * y + 1.0, (0, 1), 0, (X, Y.T)),
    "broadcast_to": (lambda np: lambda x: np.broadcast_to(x, (2, 5, 3)), (0,), 0, (X,)),
    "outer": (lambda np: np.outer, (0, None), 0, (X, Y[0])),
    "softmax": (lambda np: lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x))), (0,), 0, (X,)),
    "clip and power": (lambda np: lambda x, y: np.clip(np.abs(x) ** y, 0.1, 2.0), (0, None), 0, (X, Y[0])),
    "roll and diff": (lambda np: lambda x: (np.roll(x, 1), np.diff(x)), (0,), 0, (X,)),
    "norm": (lambda np: lambda x: np.sqrt(np.sum(x * x, axis=-1)), (0,), 0, (M,)),
    "prod": (lambda np: lambda x: np.prod(x, axis=1), (0,), 0, (M,)),
}


@pytest.fixture(scope="module")
def jax():
    module = pytest.importorskip("jax")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


def compare(ours, theirs):
    for a, b in zip(fg.tree.leaves(ours), fg.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_jax(name, jax):
    make, in_axes, out_axes, args = FUNCTIONS[name]
    ours, theirs = make(np), make(jax.numpy)
    mapped, other = vmap(ours, in_axes, out_axes), jax.vmap(theirs, in_axes, out_axes)
    device = [jax.numpy.asarray(x) for x in args]
    expected = other(*device)
    compare(mapped(*args), expected)
    compare(jit(mapped)(*args), expected)
    floats = tuple(i for i, x in enumerate(args) if x.dtype.kind == "f")

    def scalar(np, f):
        def total(*xs):
            outs = [x for x in fg.tree.leaves(f(*xs)) if np.issubdtype(x.dtype, np.floating)]
            return sum([np.sum(np.sin(x)) for x in outs], 0.0)

        return total

    if fg.tree.leaves(mapped(*args))[0].dtype != np.float64:
        return
    expected = jax.grad(scalar(jax.numpy, other), floats)(*device)
    compare(grad(scalar(np, mapped), floats)(*args), expected)
    expected = jax.vmap(jax.grad(scalar(jax.numpy, theirs), floats), in_axes)(*device)
    compare(vmap(grad(scalar(np, ours), floats), in_axes)(*args), expected)


PAIRS = [((0, 0), (0, 0)), ((None, 1), (0, None)), ((0, None), (1, 1)), ((1, -1), (-1, 0))]


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_nested_as_jax(outer, inner, jax):
    a, b = RNG.normal(size=(3, 3, 3, 3)), RNG.normal(size=(3, 3, 3, 3))

    def make(np):
        return lambda x, y: np.tanh(x @ y) + np.sum(x, axis=0) * y

    ours = vmap(vmap(make(np), inner, 1), outer, -1)
    theirs = jax.vmap(jax.vmap(make(jax.numpy), inner, 1), outer, -1)
    compare(ours(a, b), theirs(a, b))
    compare(jit(ours)(a, b), theirs(a, b))


# -- what is refused ---------------------------------------------------------------------------------------------------


REFUSED = {
    "not a function": (lambda: vmap(X), ArgumentError, "vmap takes a function, got ndarray"),
    "axis that is no int": (lambda: vmap(np.sin, 0.5), ArgumentError, "in_axes must be an int, None or a pytree"),
    "axis that is a bool": (lambda: vmap(np.sin, 0, (True,)), ArgumentError, "out_axes must be an int.*got True"),
    "axes that are no tuple": (
        lambda: vmap(lambda p: p["a"], {"a": 0}),
        ArgumentError,
        "in_axes must be an int, None or a tuple with one item for each positional argument, got {'a': 0}",
    ),
    "a shared array of objects": (
        lambda: vmap(lambda x, t: x, (0, {"t": None}))(X, {"t": np.array([None, "a"])}),
        DtypeError,
        r"t\['t'\]: dtype object is not supported",
    ),
    "size that is no int": (lambda: vmap(np.sin, axis_size=-1), ArgumentError, "axis_size must be a non-negative int"),
    "wrong number of axes": (
        lambda: vmap(np.sin, (0, None))(X),
        ArgumentError,
        r"in_axes=\(0, None\) has 2 item\(s\), but the function was called with 1",
    ),
    "different extents": (
        lambda: vmap(lambda a, b: a, (0, {"p": 1, "q": 0}))(X, {"p": X, "q": X}),
        ShapeError,
        r"a has 4 along axis 0, b\['p'\] has 3 along axis 1, b\['q'\] has 4 along axis 0.*None leaves",
    ),
    "extent against axis_size": (
        lambda: vmap(lambda a: a, axis_size=5)(X),
        ShapeError,
        "a has 4 along axis 0, axis_size is 5",
    ),
    "rank too small": (
        lambda: vmap(lambda a: a, 1)({"k": X[0]}),
        AxisError,
        r"in_axes is 1 for a\['k'\], which is f64\[3\]. Give an axis from -1 to 0",
    ),
    "no axis at all": (
        lambda: vmap(lambda a: a)(np.float64(1.0)),
        AxisError,
        r"f64\[\]. Give None, since it has no axes",
    ),
    "a Python number": (
        lambda: vmap(lambda a, c: a * c)(X, 2.0),
        ArgumentError,
        "c is a Python number, which has no axis to map over. Put None at its place in in_axes",
    ),
    "a string": (lambda: vmap(lambda a, c: a)(X, "relu"), TreeError, "c is a builtins.str"),
    "another tree": (
        lambda: vmap(lambda p: p["w"], ({"w": 0, "b": None},))({"w": X}),
        TreeError,
        re.escape("in_axes for p is {'w': 0, 'b': None}, which does not fit the structure of p, {'w': *}"),
    ),
    "a list where there is a tuple": (
        lambda: vmap(lambda p: p[0], ([0, 0],))((X, X)),
        TreeError,
        re.escape("in_axes for p is [0, 0], which does not fit the structure of p, (*, *)"),
    ),
    "another tree of results": (
        lambda: vmap(lambda p: (p, p), out_axes=(0, 0, 0))(X),
        TreeError,
        re.escape("is (0, 0, 0), which does not fit the structure of the result of <lambda>, (*, *)"),
    ),
    "nothing mapped": (lambda: vmap(np.sin, None)(X), ArgumentError, "no argument is mapped.*Give axis_size"),
    "no leaves": (lambda: vmap(lambda a: 1)({}), ArgumentError, "no argument is mapped"),
    "a batched result without an axis": (
        lambda: vmap(lambda x: {"y": x}, out_axes=None)(X),
        ArgumentError,
        re.escape("out_axes is None for the result of <lambda>['y'], but it depends on the example"),
    ),
    "no such axis of the result": (
        lambda: vmap(np.sum, out_axes=1)(X),
        AxisError,
        r"out_axes is 1 for the result of sum, which is f64\[4\]. Give an axis from -1 to 0",
    ),
    "a result that is no array": (
        lambda: vmap(lambda x: "name")(X),
        TreeError,
        "the result of <lambda> is a builtins.str",
    ),
    "if": (lambda: vmap(lambda x: x if x > 0 else -x)(X[0]), ConcretizationError, "under vmap.*np.where"),
    "if inside grad": (
        lambda: vmap(grad(lambda x: x if x > 0 else -x))(X[0]),
        ConcretizationError,
        "under vmap.*np.where",
    ),
    "float()": (lambda: vmap(lambda x: float(x))(X[0]), ConcretizationError, "would become a plain float"),
    "a mask": (lambda: vmap(lambda x: x[x > 0])(X), ConcretizationError, "under vmap.*np.where"),
    "out of bounds in one example": (
        lambda: vmap(lambda x, i: x[i])(X, np.array([0, 2, 3, 1])),
        OutOfBoundsError,
        "index 3 is out of bounds",
    ),
    "below the bounds": (
        lambda: vmap(lambda x, i: x[i], (None, 0))(X[0], np.array([0, -4])),
        OutOfBoundsError,
        "index -4 is out of bounds for axis 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call()


def test_leaked_tracer():
    box = []
    vmap(lambda x: box.append(x) or x)(X)
    with pytest.raises(fg.errors.LeakedTracerError, match="made under vmap"):
        np.sin(box[0])


def test_control_flow_on_shared_values_is_plain_python():
    f = lambda x, flag: x if flag > 0 else -x  # noqa: E731
    same(vmap(f, (0, None))(X, 1.0), X)
    same(vmap(f, (0, None))(X, np.array(-1.0)), -X)
    same(vmap(f, (0, None))(X, np.array([1.0])), X)
    found = vmap(lambda x, w: x * w if np.sum(w) > 0 else np.sum(w) + x, (0, None), 0)(X, -np.ones(3))
    same(found, X - 3)
    same(grad(lambda s: np.sum(vmap(f, (0, None))(s * X, s)))(2.0), np.sum(X))
