"""`Each`: a function of one row, for all rows; beside a Python loop over them."""

import numpy as np
import pytest

import fungrad as fg
from fungrad import lax
from fungrad.errors import ShapeError
from fungrad.ir.types import type_of
from fungrad.regions import each as module
from fungrad.regions.each import Each, each
from tests.support.compositions import check_same

RNG = np.random.default_rng(5)
A = RNG.uniform(1.0, 50.0, 7)
W = RNG.normal(size=(7, 3))


def row(a, w):
    """Newton's square root, for as long as it takes, beside something that needs no loop."""
    root = lax.while_loop(lambda x: np.abs(x * x - a) > 1e-13 * a, lambda x: 0.5 * (x + a / x), a)
    return [root * w, np.sum(np.sin(w)) * a]


def closed(a, w):
    return [np.sqrt(a)[:, None] * w, np.sum(np.sin(w), axis=1) * a]


def close(found, expected):
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)


def test_rows_and_their_derivatives():
    check_same(lambda a, w: each(row, a, w), closed, (A, W), rtol=1e-8)


@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_examples_are_more_rows(wrap):
    many = np.stack([A, 2 * A])
    found = wrap(fg.vmap(lambda a, w: each(row, a, w), in_axes=(0, None)))(many, W)
    close(found, [np.stack(x) for x in zip(*(closed(a, W) for a in many), strict=True)])


def test_rows_are_evaluated_in_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 3)
    close(each(row, A, W), closed(A, W))


@pytest.mark.parametrize("wrap", [lambda f: f, fg.jit], ids=["eager", "jit"])
def test_no_rows(wrap):
    roots, sums = wrap(lambda a, w: each(row, a, w))(A[:0], W[:0])
    assert roots.shape == (0, 3)
    assert sums.shape == (0,)


def test_what_nobody_reads_is_not_computed():
    graph = fg.jit(lambda a, w: each(row, a, w)[1]).graph(A, W)
    (op,) = [eqn.op for eqn in graph.equations if isinstance(eqn.op, Each)]
    assert len(op.graph.outputs) == 1
    assert not any(eqn.op.name == "while" for eqn in op.graph.equations)
    np.testing.assert_allclose(fg.jit(lambda a, w: each(row, a, w)[1])(A, W), closed(A, W)[1])


def test_compiled_rows_are_one_loop():
    source = fg.jit(lambda a, w: each(row, a, w)).source(A, W)
    assert "host(" not in source
    assert source.count("while True") == 1


def test_operands_of_another_length():
    op = Each(fg.make_graph(lambda a: [a])(1.0), 3)
    with pytest.raises(ShapeError, match="3 rows"):
        op.infer(type_of(np.ones(4)))
