"""Passes take legal graphs to legal graphs of the same meaning, and do what their docstrings show."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph, Var
from fungrad.ir.types import array_type
from fungrad.ir.verify import verify
from fungrad.passes import PASSES, optimize
from fungrad.passes.canonical_dots import canonical_dots
from fungrad.passes.prune import prune
from fungrad.passes.share import share
from fungrad.passes.simplify import simplify
from fungrad.primitives.contract import Dot
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.primitives.reduce import Sum
from fungrad.primitives.shape import Broadcast, Reshape, Transpose
from fungrad.trace import bind, trace
from tests.support.programs import programs, same_bits

X = np.arange(6.0).reshape(2, 3) - 2.5


def run(graph, inputs):
    with np.errstate(all="ignore"):
        return [np.asarray(x) for x in evaluate(graph, *[np.asarray(x)[()] for x in inputs])]


def with_last_outputs(graph, count=3):
    """The graph with few outputs, so that there is something to prune."""
    return Graph(graph.inputs, graph.equations, graph.outputs[-count:], graph.name, graph.input_names)


def is_exact(graph):
    return not any(isinstance(eqn.op, Dot | Sum) for eqn in graph.equations)


@pytest.mark.parametrize("transform", [prune, simplify, share], ids=lambda f: f.__name__)
@settings(max_examples=60, phases=[Phase.generate])
@given(programs())
def test_exact_passes_change_no_bit(transform, drawn):
    graph, inputs = drawn
    for before in (graph, with_last_outputs(graph)):
        after = verify(transform(before))
        assert [v.type for v in after.inputs] == [v.type for v in before.inputs]
        assert [x.type for x in after.outputs] == [x.type for x in before.outputs]
        if transform is simplify and not is_exact(graph):
            continue  # a contraction of transposed operands may call another kernel of BLAS: checked below
        for x, y in zip(run(before, inputs), run(after, inputs), strict=True):
            assert same_bits(x, y)


def tame(inputs):
    """The inputs without infinities, nan and huge numbers."""
    return [np.clip(np.nan_to_num(x), -3, 3).astype(x.dtype) if x.dtype.kind == "f" else x for x in inputs]


@settings(max_examples=60, phases=[Phase.generate])
@given(programs())
def test_contractions_keep_their_meaning(drawn):
    """Each `Dot` alone, before and after, on the operands the interpreter has for it."""
    graph, inputs = drawn
    values = dict(zip(graph.inputs, tame(inputs), strict=True))
    for eqn in graph.equations:
        operands = [values[x] if isinstance(x, Var) else x.value for x in eqn.inputs]
        operands = [np.asarray(x)[()] for x in operands]
        with np.errstate(all="ignore"):
            values[eqn.output] = eqn.op.evaluate(*operands)
        if not isinstance(eqn.op, Dot):
            continue
        operands = [np.asarray(x)[()] for x in tame([np.asarray(x) for x in operands])]
        alone, _ = trace(lambda a, b, op=eqn.op: [bind(op, a, b)], [x.type for x in eqn.inputs], purpose="a test")
        expected = eqn.op.evaluate(*operands)
        for transform in (canonical_dots, simplify, optimize):
            (found,) = run(verify(transform(alone)), operands)
            if found.dtype.kind == "f":
                bound = eqn.op.evaluate(*map(np.abs, operands)) * 50 * np.finfo(found.dtype).eps
                assert np.all(np.abs(found - expected) <= bound)
            else:
                np.testing.assert_array_equal(found, expected)


@settings(max_examples=40, phases=[Phase.generate])
@given(programs())
def test_the_whole_list_of_passes_is_legal_and_stable(drawn):
    graph, _ = drawn
    for transform in PASSES:
        graph = verify(transform(graph))
    for eqn in graph.equations:
        if isinstance(eqn.op, Dot) and eqn.inputs[0].type.dtype != np.bool_:
            lead = len(eqn.op.batch_a)
            assert eqn.op.batch_a == eqn.op.batch_b == tuple(range(lead)), "a batch axis that does not lead"
            assert lead <= 1
            assert all(x.type.ndim == lead + 2 for x in eqn.inputs)
            assert len(eqn.op.contract_a) == 1
    assert len(optimize(graph).equations) <= len(graph.equations)


# -- what the docstrings show ----------------------------------------------------------------------------------------


def names(graph):
    return [eqn.op.name for eqn in graph.equations]


def record(f, *args):
    return fg.make_graph(f)(*args)


def test_prune_drops_what_nobody_uses():
    def f(x, unused):
        np.cos(x)
        return np.sin(x)

    graph = prune(record(f, X, X))
    assert names(graph) == ["sin"]
    assert len(graph.inputs) == 2


def test_share_computes_equal_things_once():
    graph = share(record(lambda x: np.sin(x) * np.sin(x), X))
    assert names(graph) == ["sin", "mul"]
    assert graph.equations[1].inputs[0] is graph.equations[1].inputs[1]


def test_share_tells_negative_zero_and_dtypes_apart():
    assert len(share(record(lambda x: (x * 0.0, x * -0.0), X)).equations) == 2
    assert len(share(record(lambda x: (x.astype(np.float32), x.astype(np.int64)), X)).equations) == 2
    assert len(share(record(lambda x: (x * 2.0, x * 2.0), X)).equations) == 1


def test_share_follows_chains():
    assert len(share(record(lambda x: np.cos(np.sin(x)) + np.cos(np.sin(x)), X)).equations) == 3


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * 1.0,
        lambda x: 1.0 * x,
        lambda x: x / 1.0,
        lambda x: x - 0.0,
        lambda x: np.negative(-x),
        lambda x: x.T.T,
        lambda x: x.reshape(6).reshape(2, 3),
    ],
)
def test_simplify_removes_what_does_nothing(f):
    graph = prune(simplify(record(f, X)))
    assert names(graph) == []
    assert graph.outputs == graph.inputs


@pytest.mark.parametrize(
    "f", [lambda x: x * 0.0, lambda x: x + 0.0, lambda x: x - (-0.0), lambda x: x / x, lambda x: 0.0 - x]
)
def test_simplify_keeps_what_changes_special_values(f):
    special = np.array([[np.inf, -np.inf, np.nan], [-0.0, 0.0, 1.0]])
    before = record(f, special)
    after = simplify(before)
    assert len(after.equations) == 1
    assert same_bits(run(before, [special])[0], run(after, [special])[0])


SPECIAL = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e308, 5e-324])
SIGNS = {
    "neg": (lambda x, y: np.negative(-x), []),
    "neg of a multiple": (lambda x, y: -(2.5 * x), ["mul"]),
    "neg of a multiple, other order": (lambda x, y: -(x * -0.0), ["mul"]),
    "add": (lambda x, y: x + -y, ["sub"]),
    "add, other order": (lambda x, y: -x + y, ["sub"]),
    "add of two": (lambda x, y: -x + -y, ["neg", "sub"]),
    "sub": (lambda x, y: x - -y, ["add"]),
    "mul": (lambda x, y: -x * -y, ["mul"]),
    "mul by a number": (lambda x, y: 2.5 * -x, ["mul"]),
    "div": (lambda x, y: -x / -y, ["div"]),
    "div by a number": (lambda x, y: -x / 2.5, ["div"]),
    "div of a number": (lambda x, y: 2.5 / -x, ["div"]),
    "kept: neg of a difference": (lambda x, y: -(x - y), ["sub", "neg"]),
    "kept: mul of one": (lambda x, y: -x * y, ["neg", "mul"]),
}


@pytest.mark.parametrize("name", SIGNS)
def test_signs_cost_nothing_and_keep_all_bits(name):
    f, left = SIGNS[name]
    x, y = (x.ravel() for x in np.meshgrid(SPECIAL, SPECIAL))
    before = record(f, x, y)
    after = prune(simplify(before))
    assert names(after) == left
    for old, new in zip(run(before, (x, y)), run(after, (x, y)), strict=True):
        assert same_bits(old, new)


def test_signs_of_integers():
    x = np.array([0, 1, -(2**63), 2**63 - 1])
    for f in (lambda x: x - -x, lambda x: -x + x, lambda x: -x * -x, lambda x: -(3 * x)):
        before = record(f, x)
        assert same_bits(run(before, [x])[0], run(prune(simplify(before)), [x])[0])


def test_simplify_merges_movements_and_turns_minus_one_into_a_sign():
    graph = prune(simplify(record(lambda x: np.transpose(np.transpose(x[None], (2, 1, 0)), (1, 0, 2)) * -1.0, X)))
    assert sum(isinstance(eqn.op, Transpose) for eqn in graph.equations) == 1
    assert "neg" in names(graph)
    double = prune(
        simplify(
            trace(
                lambda x: [bind(Broadcast((4, 2, 3)), bind(Broadcast((2, 3)), x))],
                [array_type((3,), X.dtype)],
                purpose="t",
            )[0]
        )
    )
    assert names(double) == ["broadcast"]
    assert isinstance(simplify(record(lambda x: x.reshape(6).reshape(3, 2), X)).equations[-1].op, Reshape)


def test_simplify_folds_constants():
    graph, _ = trace(
        lambda x: [bind(ELEMENTWISE["add"], x, bind(ELEMENTWISE["sin"], np.float64(1.0)))],
        [array_type((), X.dtype)],
        purpose="t",
    )
    assert names(graph) == ["add"]


def test_canonical_dots_of_every_kind():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 4)), np.random.default_rng(1).normal(size=(4, 3, 2))
    cases = {
        "abc,cde->abde": 1,
        "abc,cba->": 0,  # a sum of products
        "abc,cda->abd": 1,
        "abc,dbe->abcde": 0,  # nothing is summed
        "abc,cbd->bad": 1,
    }
    for subscripts, dots in cases.items():
        graph = canonical_dots(record(lambda a, b, s=subscripts: np.einsum(s, a, b), a, b))
        assert sum(isinstance(eqn.op, Dot) for eqn in graph.equations) == dots
        (found,) = run(verify(graph), [a, b])
        np.testing.assert_allclose(found, np.einsum(subscripts, a, b), rtol=1e-12, atol=1e-13)
