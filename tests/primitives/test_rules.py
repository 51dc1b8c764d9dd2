"""Every primitive, every argument, float32 and float64: the rules against differences, each other and the contract."""

import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fungrad as fg
from fungrad import primitives
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import type_of
from fungrad.passes.prune import prune
from fungrad.primitives.elementwise import ROWS, Elementwise
from fungrad.primitives.linalg import LinearSolver, MatrixFunction
from fungrad.primitives.linear import Linear
from fungrad.primitives.shape import Reshape, Slice, Transpose
from fungrad.trace import bind, trace
from tests.support.derivatives import RTOL, check_rules, differentiable, random_like
from tests.support.examples import EXAMPLES, rngs
from tests.support.values import rows_with_values

VIEWS = (Reshape, Slice, Transpose)
FLOATS = [np.float32, np.float64]
each = pytest.mark.parametrize("name", EXAMPLES)
each_float = pytest.mark.parametrize("dtype", FLOATS, ids=["f32", "f64"])


def primitive_classes():
    """Every primitive that fungrad/primitives defines."""
    found = set()
    for info in pkgutil.iter_modules(primitives.__path__):
        module = importlib.import_module(f"fungrad.primitives.{info.name}")
        found |= {x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Primitive)}
    return found - {Primitive, Linear, Elementwise, MatrixFunction, LinearSolver}


def test_every_primitive_has_examples():
    assert {cls.__name__ for cls in primitive_classes()} | set(ROWS) == set(EXAMPLES)
    assert rows_with_values() == set(ROWS)


def draw_with(name, dtype):
    return given(st.tuples(EXAMPLES[name](dtype), rngs()))


@each
@each_float
def test_rules(name, dtype):
    @settings(max_examples=12)
    @draw_with(name, dtype)
    def check(drawn):
        (op, inputs), rng = drawn
        check_rules(op, inputs, rng)

    check()


@each
@each_float
def test_infer_agrees_with_evaluate(name, dtype):
    @settings(max_examples=15)
    @given(EXAMPLES[name](dtype))
    def check(application):
        op, inputs = application
        out = op.evaluate(*inputs)
        assert type_of(out) == op.infer(*map(type_of, inputs))

    check()


@each
@each_float
def test_nothing_unwanted_is_computed(name, dtype):
    """The rule, recorded for each set of wanted inputs, contains no operation that does not reach a wanted cotangent
    (views cost nothing and do not count)."""

    @settings(max_examples=6)
    @given(EXAMPLES[name](dtype))
    def check(application):
        op, inputs = application
        out_type = op.infer(*map(type_of, inputs))
        if not out_type.is_float:
            return
        types = [type_of(x) for x in inputs]
        floats = [i for i, t in enumerate(types) if t.is_float]
        for chosen in [[], *([i] for i in floats), floats]:
            wanted = [i in chosen for i in range(len(types))]

            def rule(ct, out, *xs, wanted=wanted):
                return [c for c in op.vjp(ct, xs, out, wanted) if c is not None]

            graph, _ = trace(rule, [out_type, out_type, *types], purpose="a rule")
            kept = set(prune(graph).equations)
            dead = [eqn for eqn in graph.equations if eqn not in kept and not isinstance(eqn.op, VIEWS)]
            assert not dead, f"wanted {chosen}: computed in vain: {[eqn.op for eqn in dead]}"

    check()


def through_fungrad(op, inputs):
    """A function of the float operands that applies the primitive, and those operands."""
    floats = [i for i, x in enumerate(inputs) if differentiable(x)]

    def f(*xs):
        mixed = list(inputs)
        for i, x in zip(floats, xs, strict=True):
            mixed[i] = x
        return bind(op, *mixed)

    return f, [inputs[i] for i in floats], floats


def is_differentiable(op, inputs):
    out = op.infer(*map(type_of, inputs))
    return out.is_float and any(map(differentiable, inputs))


@each
@each_float
def test_eager_vjp_is_the_rule(name, dtype):
    """`fungrad.vjp` gives what the rule gives; the cotangents are the caller's own."""

    @settings(max_examples=10)
    @draw_with(name, dtype)
    def check(drawn):
        (op, inputs), rng = drawn
        if not is_differentiable(op, inputs):
            return
        f, primals, floats = through_fungrad(op, inputs)
        out, pullback = fg.vjp(f, *primals)
        expected_out = op.evaluate(*inputs)
        np.testing.assert_array_equal(out, expected_out)
        ct = random_like(expected_out, rng)
        rule = op.vjp(ct, inputs, expected_out, [differentiable(x) for x in inputs])
        expected = [np.zeros_like(inputs[i]) if rule[i] is None else np.array(rule[i]) for i in floats]
        kept = [np.array(x) for x in (*inputs, ct, out)]
        found = pullback(ct)
        for c, e in zip(found, expected, strict=True):
            np.testing.assert_array_equal(c, e)
            assert type_of(c) == type_of(e)
        for c in found:  # spoil them all: nothing else may notice
            if isinstance(c, np.ndarray):
                c[...] = np.nan
        for x, old in zip((*inputs, ct, out), kept, strict=True):
            np.testing.assert_array_equal(x, old)
        for c, e in zip(pullback(ct), expected, strict=True):
            np.testing.assert_array_equal(c, e)

    check()


def test_two_gradients_share_no_memory():
    x = np.ones((3, 3))
    gradients = fg.grad(lambda a, b, c: np.sum(a + b + np.transpose(c)), argnums=(0, 1, 2))(x, x, x)
    for i, a in enumerate(gradients):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (*gradients[:i], x))


@each
def test_second_derivative(name):
    """The vjp of the vjp, in the primals and in the cotangent, against differences of the rule."""

    @settings(max_examples=4)
    @draw_with(name, np.float64)
    def check(drawn):
        (op, inputs), rng = drawn
        if not is_differentiable(op, inputs):
            return
        f, primals, _ = through_fungrad(op, inputs)
        out = op.evaluate(*inputs)
        if out.dtype != np.float64:
            return  # rounding to float32 is too rough for differences
        ct = random_like(out, rng)
        weights = [random_like(np.asarray(x), rng) for x in primals]

        def first(ct, *xs):
            """<w, J^T ct>, a number; its derivative along ct is J w."""
            cts = fg.vjp(f, *xs)[1](ct)
            return sum(np.sum(w * c) for w, c in zip(weights, cts, strict=True))

        def directional(along):
            moved = [np.array(x, copy=True) for x in (ct, *primals)]
            step = 2.0**-12

            def at(s):
                return float(first(*(x + s * v for x, v in zip(moved, along, strict=True))))

            coarse, fine = (at(step) - at(-step)) / (2 * step), (at(step / 2) - at(-step / 2)) / step
            return (4 * fine - coarse) / 3

        gradients = fg.grad(first, argnums=tuple(range(len(primals) + 1)))(ct, *primals)
        for position in range(len(primals) + 1):
            along = [
                random_like(np.asarray(x), rng) if i == position else np.zeros_like(x)
                for i, x in enumerate((ct, *primals))
            ]
            found = float(np.vdot(gradients[position], along[position]))
            expected = directional(along)
            scale = float(np.vdot(np.abs(gradients[position]), np.abs(along[position]))) + abs(expected) + 1
            assert abs(found - expected) <= 1e-6 * scale, f"operand {position}: {found}, differences give {expected}"

    check()


@each
@each_float
def test_compiled_vjp_is_the_eager_one(name, dtype):
    @settings(max_examples=2)
    @draw_with(name, dtype)
    def check(drawn):
        (op, inputs), rng = drawn
        if not is_differentiable(op, inputs):
            return
        f, primals, _ = through_fungrad(op, inputs)
        ct = random_like(op.evaluate(*inputs), rng)

        def pulled(ct, *xs):
            out, pullback = fg.vjp(f, *xs)
            return out, pullback(ct)

        eager, compiled = pulled(ct, *primals), fg.jit(pulled)(ct, *primals)
        for e, c in zip([eager[0], *eager[1]], [compiled[0], *compiled[1]], strict=True):
            assert type_of(e) == type_of(c)
            np.testing.assert_allclose(c, e, rtol=RTOL[c.dtype] / 10, atol=RTOL[c.dtype] / 10)

    check()


def layouts(x):
    """The same numbers in other memory layouts: Fortran order, negative strides, gaps, read-only."""
    x = np.asarray(x)
    yield np.array(x, order="F")
    backwards = tuple(slice(None, None, -1) for _ in x.shape)
    yield np.array(x[backwards], order="C")[backwards]
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    gaps = tuple(slice(None, None, 2) for _ in x.shape)
    wide[gaps] = x
    yield wide[gaps] if x.ndim else wide
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen


@each
@each_float
def test_memory_layout_does_not_matter(name, dtype):
    @settings(max_examples=4)
    @draw_with(name, dtype)
    def check(drawn):
        (op, inputs), rng = drawn
        expected = op.evaluate(*inputs)
        ct = random_like(expected, rng) if differentiable(expected) else None
        wanted = [differentiable(x) for x in inputs]
        rule = [] if ct is None else op.vjp(ct, inputs, expected, wanted)
        tolerance = {"rtol": RTOL[np.dtype(dtype)] / 10, "atol": RTOL[np.dtype(dtype)] / 10}
        for changed in zip(*map(layouts, inputs), strict=True):
            kept = [x.copy() for x in changed]
            out = op.evaluate(*changed)
            np.testing.assert_allclose(out, expected, **tolerance)
            for c, e in zip([] if ct is None else op.vjp(ct, changed, out, wanted), rule, strict=True):
                assert (c is None) == (e is None)
                if c is not None:
                    np.testing.assert_allclose(c, e, **tolerance)
            for x, old in zip(changed, kept, strict=True):
                np.testing.assert_array_equal(x, old)

    check()
