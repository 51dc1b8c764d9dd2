"""`verify` accepts what tracing makes and names the equation that breaks a rule; graphs are in A-normal form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings

import fungrad as fg
from fungrad.errors import GraphError, ShapeError
from fungrad.ir.graph import Const, Equation, Graph, Var, Where
from fungrad.ir.types import array_type
from fungrad.ir.verify import verify
from fungrad.primitives.elementwise import ELEMENTWISE
from tests.support.programs import programs

VECTOR = array_type((3,), np.dtype(np.float64))
MATRIX = array_type((2, 3), np.dtype(np.float64))
HERE = Where("model.py", 12)


def sine(x, out):
    return Equation(ELEMENTWISE["sin"], (x,), (out,), HERE)


def test_a_legal_graph_is_returned_unchanged():
    x, a = Var(VECTOR), Var(VECTOR)
    graph = Graph((x,), (sine(x, a),), (a, Const(np.float64(1.0))))
    assert verify(graph) is graph


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda x, a, m: Graph((x,), (sine(a, x),), (x,)),
            r"equation 0 \(sin, model.py:12\) uses a Var of type f64\[3\] before",
        ),
        (
            lambda x, a, m: Graph((x,), (sine(x, a), sine(x, a)), (a,)),
            r"equation 1 \(sin, model.py:12\) defines a Var .* already",
        ),
        (lambda x, a, m: Graph((x,), (sine(x, x),), (x,)), r"equation 0 .* already defined"),
        (lambda x, a, m: Graph((x, x), (), (x,)), r"input 1 defines a Var that is already defined"),
        (
            lambda x, a, m: Graph((x,), (sine(x, m),), (m,)),
            r"equation 0 .* records result f64\[2,3\], .* infers f64\[3\]",
        ),
        (lambda x, a, m: Graph((x,), (), (a,)), r"output 0 uses a Var of type f64\[3\] before"),
        (lambda x, a, m: Graph((x,), (sine(a, m), sine(x, a)), (a,)), r"equation 0 .* before"),
    ],
)
def test_broken_graphs_are_refused(build, message):
    with pytest.raises(GraphError, match=message):
        verify(build(Var(VECTOR), Var(VECTOR), Var(MATRIX)))


def test_operands_that_do_not_fit_are_refused():
    x, y, out = Var(VECTOR), Var(MATRIX), Var(VECTOR)
    with pytest.raises((GraphError, ShapeError), match="operand 0"):
        verify(Graph((x, y), (Equation(ELEMENTWISE["add"], (x, y), (out,), HERE),), (out,)))


def test_graphs_and_equations_cannot_be_changed():
    graph = fg.make_graph(np.sin)(1.0)
    with pytest.raises(AttributeError):
        graph.name = "g"
    with pytest.raises(AttributeError):
        graph.equations[0].op = None


@settings(max_examples=40, phases=[Phase.generate])
@given(programs())
def test_what_tracing_makes_is_legal_and_in_normal_form(drawn):
    graph, _ = drawn
    verify(graph)
    for eqn in graph.equations:
        assert all(isinstance(x, Var | Const) for x in eqn.inputs)
        assert eqn.outputs


@pytest.mark.parametrize("spoil", ["drop", "swap", "retype"])
@settings(max_examples=20, phases=[Phase.generate])
@given(programs(max_steps=12))
def test_a_spoilt_random_graph_is_refused(spoil, drawn):
    graph, _ = drawn
    equations = list(graph.equations)
    used = [i for i, e in enumerate(equations) if any(e.output in later.inputs for later in equations[i + 1 :])]
    if not used:
        return
    first = used[0]
    user = next(j for j in range(first + 1, len(equations)) if equations[first].output in equations[j].inputs)
    if spoil == "drop":
        del equations[first]
    elif spoil == "swap":
        equations[first], equations[user] = equations[user], equations[first]
    else:
        wrong = Var(array_type((7, 7, 7), np.dtype(np.int16)))
        equations[first] = replace(equations[first], outputs=(wrong,))
    with pytest.raises(GraphError, match="equation"):
        verify(replace(graph, equations=tuple(equations)))
