"""Random programs, compiled, against NumPy.

Every intermediate value is an output, and each equation is checked on the compiled program's own operands, so that no
tolerance has to allow for what earlier equations did: at most 2 ulp for elementwise operations, rounding for sums and
products of many numbers, nothing at all for everything else. Then the same program with few outputs, fused, and the
printed source as plain Python.
"""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

from fungrad.evaluate import evaluate
from fungrad.ir.graph import Const, Graph
from fungrad.ir.verify import verify
from fungrad.jit.emit_python import run_source
from fungrad.jit.loops import Apply, Assign, Loop
from fungrad.jit.runtime import Compiled
from fungrad.primitives.contract import Dot
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.index import ScatterAdd
from fungrad.primitives.reduce import CumSum, Reduce, Sum
from tests.jit.vectormath_errors import BOUND
from tests.support.programs import programs, same_bits
from tests.support.ulps import ulp_distance

EXACT_ROWS = frozenset(
    [
        "neg",
        "add",
        "sub",
        "mul",
        "div",
        "square",
        "sqrt",
        "reciprocal",
        "abs",
        "sign",
        "copysign",
        "floor",
        "ceil",
        "rint",
        "trunc",
        "maximum",
        "minimum",
        "fmax",
        "fmin",
        "clip",
        "select",
        "stop_gradient",
        "fmod",
    ]
)


def check_equations(graph: Graph, inputs, outputs):
    """Each equation on the values that the program itself computed for its operands."""
    values = dict(zip(graph.inputs, inputs, strict=True))
    values |= {v: x for v, x in zip(graph.outputs, outputs, strict=True) if not isinstance(v, Const)}
    for eqn in graph.equations:
        if eqn.output not in values or any(x not in values for x in eqn.inputs if not isinstance(x, Const)):
            continue
        operands = [x.value if isinstance(x, Const) else values[x] for x in eqn.inputs]
        operands = [np.asarray(x)[()] for x in operands]
        with np.errstate(all="ignore"):
            expected = np.asarray(eqn.op.evaluate(*operands))
        found = np.asarray(values[eqn.output])
        message = f"{eqn.op} {eqn.op.name}\nof {operands}\ngives {found}\nexpected {expected}"
        assert found.dtype == expected.dtype, message
        assert found.shape == expected.shape, message
        if same_bits(found, expected):
            continue
        assert expected.dtype.kind == "f", message
        if isinstance(eqn.op, Elementwise):
            assert eqn.op.row not in EXACT_ROWS, message
            assert np.all(ulp_distance(found, expected) <= 1 + BOUND.get(eqn.op.row, 1.0)), message
        elif isinstance(eqn.op, Sum | CumSum | Dot | Reduce | ScatterAdd):
            check_rounding(eqn.op, operands, found, expected, message)
        else:
            raise AssertionError(message)


def check_rounding(op, operands, found, expected, message):
    """Sums differ by rounding, relative to the sum of magnitudes; nan and inf where NumPy has them."""
    with np.errstate(all="ignore"):
        sizes = [np.abs(x) if x.dtype.kind == "f" else x for x in operands]
        scale = np.asarray(op.evaluate(*sizes), np.float64)
    if isinstance(op, Reduce):
        assert op.kind == "prod", message
    eps = np.finfo(expected.dtype).eps
    count = max(np.size(x) for x in operands) + 2
    finite = np.isfinite(scale) & (scale < np.finfo(expected.dtype).max / 4) & (scale > np.finfo(expected.dtype).tiny)
    with np.errstate(all="ignore"):
        near = np.abs(found.astype(np.float64) - expected.astype(np.float64)) <= eps * count * scale
    # beyond the range of floats, the order of operations decides what overflows or underflows
    assert np.all(near | ~finite | (found == expected)), message
    assert np.all((np.isnan(found) == np.isnan(expected)) | ~finite), message


def has_reassociation(program):
    """Whether some loop adds or multiplies floats in an order that the compiler may choose."""

    def walk(statements):
        for s in statements:
            if isinstance(s, Loop):
                yield from walk(s.body)
            elif isinstance(s, Assign) and isinstance(s.value, Apply):
                yield not s.value.exact and s.value.dtype.kind == "f"

    return any(walk(program.body))


def check_each_equation(graph, inputs):
    verify(graph)
    kept = [x.copy() for x in inputs]
    compiled = Compiled(graph)
    verify(compiled.graph)
    outputs = compiled(inputs)
    for x, old in zip(inputs, kept, strict=True):
        assert same_bits(x, old)
    check_equations(graph, inputs, outputs)
    check_equations(graph, inputs, run_source(compiled.program, inputs))


def check_fused(graph, inputs):
    """With only the last results as outputs most values are never stored. Nothing may change but the order of sums."""
    exported = Compiled(graph)
    last = Graph(graph.inputs, graph.equations, graph.outputs[-2:], graph.name, graph.input_names)
    fused = Compiled(last)
    expected, found = exported(inputs)[-2:], fused(inputs)
    again = fused(inputs)
    for e, f, a in zip(expected, found, again, strict=True):
        assert same_bits(f, a), "two calls differ"
        if not (has_reassociation(fused.program) or has_reassociation(exported.program)):
            assert same_bits(e, f)
    check_conditioned(last, inputs, found)


def check_conditioned(graph, inputs, found):
    """Against the interpreter, with a tolerance measured by disturbing the inputs of the interpreter a little."""
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        expected = [np.asarray(x, np.float64) for x in evaluate(graph, *[x[()] for x in inputs])]
        spread = [np.zeros(x.shape) for x in expected]
        for scale in (1, -1, 2, -3):
            moved = [
                (x * (1 + scale * 8 * np.finfo(x.dtype).eps * rng.uniform(0.5, 1, x.shape))).astype(x.dtype)[()]
                if x.dtype.kind == "f"
                else x[()]
                for x in inputs
            ]
            disturbed = [np.asarray(x, np.float64) for x in evaluate(graph, *moved)]
            for s, e, d in zip(spread, expected, disturbed, strict=True):
                s[...] = np.fmax(s, np.where(np.isfinite(e - d), np.abs(e - d), np.where(same(e, d), 0, np.inf)))
        for f, e, s in zip(found, expected, spread, strict=True):
            f = np.asarray(f)
            loose = 1e-3 if any(x.type.dtype == np.float32 for x in outputs_of(graph)) else 1e-9
            near = np.abs(f.astype(np.float64) - e) <= loose * np.fmax(np.abs(e), 1e-3) + 1000 * s
            assert np.all(near | same(f.astype(np.float64), e) | ~np.isfinite(e) | ~np.isfinite(s)), (f, e, s)


def outputs_of(graph):
    return [v for eqn in graph.equations for v in eqn.outputs] + list(graph.inputs)


def same(x, y):
    return (x == y) | (np.isnan(x) & np.isnan(y))


NO_SHRINKING = [Phase.explicit, Phase.generate]  # it would compile thousands of programs


@settings(max_examples=25, phases=NO_SHRINKING)
@given(programs())
def test_each_equation_of_a_compiled_program(drawn):
    check_each_equation(*drawn)


@settings(max_examples=25, phases=NO_SHRINKING)
@given(programs())
def test_fused_programs_compute_the_same(drawn):
    check_fused(*drawn)


@pytest.mark.fuzz
@settings(max_examples=300, phases=NO_SHRINKING, derandomize=False)
@given(programs(max_steps=40))
def test_many_programs(drawn):
    check_each_equation(*drawn)
    check_fused(*drawn)
