"""Graphs as text: golden files, updated by `pytest --update-golden`."""

import numpy as np

import fungrad as fg
from fungrad.ir.graph import Const, Graph, Var, constant
from fungrad.ir.printing import identifiers, print_parameter, print_primitive
from fungrad.ir.types import array_type
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.primitives.reduce import Sum

X = np.ones((4, 3))


def network(params, x, label):
    h = np.maximum(x @ params["w1"] + params["b1"], 0.0)
    logits = h @ params["w2"]
    return -np.sum(np.where(label, logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True)), 0.0))


PARAMS = {"w1": np.ones((3, 5)), "b1": np.zeros(5), "w2": np.ones((5, 2))}
LABEL = np.eye(2, dtype=bool)[[0, 1, 1, 0]]


def test_scalar_graph(golden):
    golden("scalar", str(fg.make_graph(lambda x: (2 * x + 1) ** 2)(3.0)))


def test_network_graph(golden):
    golden("network", str(fg.make_graph(network)(PARAMS, X, LABEL)))


def test_gradient_graph(golden):
    golden("network_grad", str(fg.make_graph(fg.grad(network))(PARAMS, X, LABEL)))


def test_optimized_gradient_graph(golden):
    golden("network_grad_optimized", str(fg.jit(fg.grad(network)).graph(PARAMS, X, LABEL)))


def test_source_of_a_small_program(golden):
    f = fg.jit(lambda x, i: np.sum(np.sin(x)[i] * 2.0, axis=0) + np.sort(x[0]))
    golden("source", f.source(X, np.array([0, 2])).replace(__file__, "test_printing.py"))


def test_movements_and_constants(golden):
    def f(x, k):
        y = np.concatenate([x[::2, 1:], np.full((1, 2), 7.0)])
        return (
            y.T,
            np.pad(x, 1),
            np.cumsum(x, axis=1),
            x.astype(np.float32) * np.float32(0.1),
            x[k],
            np.arange(4.0) + x[:, 0],
        )

    golden("movements", str(fg.make_graph(f)(X, np.array([1, -1]))))


def test_calls_inside_graphs_are_named_not_printed(golden):
    inner = fg.jit(lambda x: np.sin(x) * 2.0)
    golden("call", str(fg.make_graph(fg.grad(lambda x: np.sum(inner(x))))(X)))


def test_empty_graphs():
    assert str(Graph((), (), ())) == "{ ->\n  return  }"
    assert str(Graph((), (), (Const(np.float64(1.5)),))) == "{ ->\n  return 1.5 }"


def test_parameters_and_primitives():
    assert print_primitive(ELEMENTWISE["sin"]) == "sin"
    assert print_primitive(Sum((0,))) == "sum[axes=(0,)]"
    assert print_primitive(Dot((1,), (0,))) == "dot[contract_a=(1,), contract_b=(0,)]"
    assert print_primitive(Convert(np.dtype(np.float32))) == "convert[dtype=float32]"
    assert print_parameter((1, 2)) == "(1, 2)"


def test_identifiers_are_names_of_python():
    paths = ["x", "params['w1'][0]", "args[2].bias", "lambda", "2nd", "ä", "i0", "out1", "x-y"]
    names = identifiers(paths)
    assert names[:3] == ["x", "params_w1_0", "args_2_bias"]
    assert all(name.isidentifier() for name in names)
    assert names[3] == "lambda_"
    assert not {"i0", "out1"} & set(names)


def test_var_names_are_unique_when_inputs_clash():
    a, b = Var(array_type((), np.dtype("f8"))), Var(array_type((), np.dtype("f8")))
    text = str(Graph((a, b), (), (a, b), "f", ("x", "x")))
    assert text == "{ x:f64[], a:f64[] ->\n  return x, a }"


def test_filled_constants_keep_one_element():
    filled = constant(np.full((1000, 1000), 3.0))
    assert filled.scalar == 3.0
    assert filled.value.base is not None or filled.value.strides == (0, 0)
    assert constant(np.array([0.0, -0.0])).scalar is None
    assert constant(np.array([1.0, 2.0, 1.0])).scalar is None
    assert constant(np.array([np.nan, np.nan])).scalar is None or np.isnan(constant(np.array([np.nan, np.nan])).scalar)
