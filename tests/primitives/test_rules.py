"""Every primitive at drawn examples, in float32 and float64: all that `fungrad.testing.check_primitive` checks."""

import importlib
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings

import fungrad as fg
from fungrad import primitives, regions
from fungrad.ir.primitive import Primitive
from fungrad.jit.call import Call
from fungrad.primitives.elementwise import ROWS, Elementwise
from fungrad.primitives.factorizations import Factorization
from fungrad.primitives.linalg import LinearSolver, MatrixFunction
from fungrad.primitives.linear import Linear
from fungrad.regions.inline import Inline, KeptCustomVjp
from fungrad.regions.one_graph import OneGraph
from fungrad.regions.region import Region
from fungrad.testing import check_primitive
from fungrad.testing.primitive import check_compiled, check_higher_orders
from fungrad.testing.strategies import rngs
from tests.support.examples import EXAMPLES, application_with_elements, smooth_part, vary
from tests.support.factorizations import FACTORIZATIONS
from tests.support.regions import REGIONS
from tests.support.several_results import SEVERAL_RESULTS
from tests.support.values import rows_with_values

each = pytest.mark.parametrize("name", EXAMPLES)
each_float = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


def primitive_classes(package):
    """Every primitive that the modules of a package define."""
    found = set()
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found |= {x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Primitive)}
    return found


def test_every_primitive_has_examples():
    abstract = {Primitive, Linear, Elementwise, MatrixFunction, LinearSolver, Factorization}
    classes = primitive_classes(primitives) - abstract
    assert {cls.__name__ for cls in classes} | set(ROWS) == {*EXAMPLES, *FACTORIZATIONS}
    assert rows_with_values() == set(ROWS)


def test_every_region_has_examples():
    """`KeptCustomVjp` is only on tapes, for what `CustomVjp` stands for in graphs."""
    classes = primitive_classes(regions) - {Primitive, Region, Inline, OneGraph, KeptCustomVjp} | {Call}
    assert {cls.__name__ for cls in classes} == set(REGIONS)


@each
@each_float
def test_primitive(name, dtype):
    @settings(max_examples=6)
    @given(EXAMPLES[name](dtype))
    def check(application):
        op, inputs = application
        check_primitive(op, inputs, smooth=smooth_part(op), vary=vary(op), order=1, compiled=False)

    check()


@each
def test_second_and_third_derivatives(name):
    """In every pairing of forward and reverse mode, against differences."""
    op, inputs = application_with_elements(name, 0)
    check_higher_orders(op, inputs, order=3)


@each
@each_float
def test_compiled(name, dtype):
    @settings(max_examples=2)
    @given(EXAMPLES[name](dtype), rngs())
    def check(application, rng):
        op, inputs = application
        check_compiled(op, inputs, rng, vary(op))

    check()


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, made in SEVERAL_RESULTS.items() for i in range(len(made(float)))]
)
@each_float
def test_primitive_with_several_results(name, number, dtype):
    example = SEVERAL_RESULTS[name](dtype)[number]
    inputs = example.drawn(np.random.default_rng(number), dtype)
    order = 1 if dtype is np.float32 else 2 if name == "Adjoint" else 3  # an adjoint is a derivative already
    check_primitive(example.op, inputs, order=order, compiled=dtype is np.float64)


def test_two_gradients_share_no_memory():
    x = np.ones((3, 3))
    gradients = fg.grad(lambda a, b, c: np.sum(a + b + np.transpose(c)), argnums=(0, 1, 2))(x, x, x)
    for i, a in enumerate(gradients):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in (*gradients[:i], x))
