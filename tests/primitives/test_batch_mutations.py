"""The checker of batch rules checked: every planted wrong rule must be caught.

Generic mutations spoil the result or the operands of a right rule; each is planted in every primitive and counted where
it changes something. Hand-written ones are the mistakes that people make in the rule of one primitive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, settings

from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.determinants import Cofactors, Det, LogDet
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.primitives.factorizations import PseudoInverse
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.linalg import Cholesky, Inverse, Solve, TriangularSolve
from fungrad.primitives.random import Threefry
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose, repeated
from fungrad.primitives.sort import ArgSort
from fungrad.testing.batch_rules import check_batch_rule, choices, mixed, operands_of_examples
from tests.support.examples import EXAMPLES, vary
from tests.support.matrix_mistakes import A, B
from tests.support.values import row_operands

Rule = Callable[..., Any]


class Mutant:
    """A primitive whose batch rule is replaced."""

    def __init__(self, op: Any, batch: Rule) -> None:
        self.op = op
        self.name = op.name
        self.evaluate = op.evaluate
        self.infer = op.infer
        self.batch = batch


def _of_result(change: Callable[[Any], Any]) -> Callable[[Any], Rule]:
    return lambda op: lambda size, inputs, batched: change(np.asarray(op.batch(size, inputs, batched)))


def _of_operands(change: Callable[[Any], Any]) -> Callable[[Any], Rule]:
    """The rule applied to other batches than the given ones."""

    def plant(op: Any) -> Rule:
        def batch(size: int, inputs: Any, batched: Any) -> Any:
            changed = [change(x) if has else x for x, has in zip(inputs, batched, strict=True)]
            return op.batch(size, changed, batched)

        return batch

    return plant


def _within(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A change of each example's elements."""
    return lambda x: np.stack([change(e.reshape(-1)).reshape(e.shape) for e in x]) if len(x) else x


def _loses_last_batch(op: Any) -> Rule:
    """All examples get the last batched operand of the first one."""

    def batch(size: int, inputs: Any, batched: Any) -> Any:
        last = max(i for i, has in enumerate(batched) if has)
        changed = [np.repeat(x[:1], size, 0) if i == last and size else x for i, x in enumerate(inputs)]
        return op.batch(size, changed, batched)

    return batch


def _other_dtype(x: Any) -> Any:
    return x.astype(np.float32 if x.dtype == np.float64 else np.float64)


GENERIC: dict[str, Callable[[Any], Rule]] = {
    "examples rolled": _of_result(lambda x: np.roll(x, 1, 0)),
    "examples reversed": _of_result(lambda x: x[::-1]),
    "the first example for all": _of_result(lambda x: np.repeat(x[:1], len(x), 0)),
    "one example lost": _of_result(lambda x: x[:-1]),
    "one example too many": _of_result(lambda x: np.concatenate([x, x[:1]])),
    "examples last": _of_result(lambda x: np.moveaxis(x, 0, -1)),
    "an axis too many": _of_result(lambda x: x[None]),
    "elements rolled": _of_result(_within(lambda e: np.roll(e, 1))),
    "elements reversed": _of_result(_within(lambda e: e[::-1])),
    "rolled through the examples": _of_result(lambda x: np.roll(x, 1)),
    "zero": _of_result(np.zeros_like),
    "another dtype": _of_result(_other_dtype),
    "operands rolled": _of_operands(lambda x: np.roll(x, 1, 0)),
    "the first operand for all": _of_operands(lambda x: np.repeat(x[:1], len(x), 0) if len(x) else x),
    "operands reversed within": _of_operands(_within(lambda e: e[::-1])),
    "one batch forgotten": _loses_last_batch,
}


def _point(name: str) -> tuple[Any, list[Any]]:
    """An example of a primitive with enough elements to tell mutations apart."""
    if name in ROWS:
        return ELEMENTWISE[name], row_operands(name, np.random.default_rng(7), (2, 3), np.float64)

    def good(application: Any) -> bool:
        op, inputs = application
        out = np.asarray(op.evaluate(*inputs))
        return (
            out.size > 3 and out.size < 40 and len(np.unique(out)) > 1 and all(x.size > 1 or not x.ndim for x in inputs)
        )

    return find(EXAMPLES[name](np.float64), good, settings=settings(max_examples=3000, database=None, derandomize=True))


def _results(op: Any, inputs: Any) -> list[Any]:
    """What a rule gives for each choice of batched operands."""
    batches = operands_of_examples(inputs, 3, np.random.default_rng(5), vary(getattr(op, "op", op)))
    return [np.asarray(op.batch(3, mixed(batches, inputs, batched), batched)) for batched in choices(len(inputs))]


def _differs(op: Any, mutant: Any, inputs: Any) -> bool:
    """Whether a mutation changed something that a user could see."""
    return any(
        m.shape != r.shape or m.dtype != r.dtype or not np.allclose(m, r, equal_nan=True)
        for m, r in zip(_results(mutant, inputs), _results(op, inputs), strict=True)
    )


def _killed(mutant: Any, inputs: Any) -> bool:
    """Whether the checker objects, on other examples than `_differs` looks at."""
    try:
        check_batch_rule(mutant, inputs, np.random.default_rng(11), vary=vary(getattr(mutant, "op", mutant)))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("name", EXAMPLES)
def test_generic_mutations_are_caught(name):
    op, inputs = _point(name)
    assert not _killed(op, inputs), "the right rule must pass"
    survivors, planted = [], 0
    for mutation, plant in GENERIC.items():
        mutant = Mutant(op, plant(op))
        if not _differs(op, mutant, inputs):
            continue
        planted += 1
        if not _killed(mutant, inputs):
            survivors.append(mutation)
    assert planted >= 5, f"only {planted} mutations change anything at this point"  # isnan is False for all
    assert not survivors, f"not caught: {survivors}"


def test_changing_an_operand_is_caught():
    op = ELEMENTWISE["sin"]

    def batch(size, inputs, batched):
        out = op.batch(size, inputs, batched)
        inputs[0][...] += 1e-6
        return out

    assert _killed(Mutant(op, batch), [np.array([1.0, 2.0])])


# -- mistakes in one rule ----------------------------------------------------------------------------------------------

X = np.array([[0.3, -0.7, 1.1], [1.3, 0.4, -0.2]])
CUBE = np.arange(27.0).reshape(3, 3, 3) / 7
INDEX = np.array([0, -1, 1])
PADDED = Pad((1,), (2,), (1,))
THREE = np.array([0.5, 1.5, -2.5])  # as many as the examples: a wrong broadcast has the right shape


def _where(batched: tuple[bool, ...], wrong: Callable[..., Any]) -> Callable[[Any], Rule]:
    """A mistake that is made only for one choice of batched operands."""
    return lambda op: lambda size, xs, flags: wrong(*xs) if flags == batched else op.batch(size, xs, flags)


def _alone(wrong: Callable[[Any], Any]) -> Callable[[Any], Rule]:
    """A mistake in the rule of a primitive with one operand."""
    return _where((True,), wrong)


def _unshifted(op: Any) -> Rule:
    """The axes of an example taken for those of the batch."""
    return lambda size, xs, batched: op.evaluate(*repeated(size, xs, batched))


def _spoiled(change: Callable[..., Any]) -> Callable[[Any], Rule]:
    """The right rule on other operands."""
    return lambda op: lambda size, xs, batched: op.batch(size, change(*xs), batched)


MISTAKES: dict[str, tuple[Any, list[Any], Callable[[Any], Rule]]] = {
    "elementwise: a shared operand aligned with the examples": (
        ELEMENTWISE["sub"],
        [THREE, THREE[::-1]],
        _where((True, False), lambda x, y: x - y[: len(x), None]),
    ),
    "select: a condition of the first example": (
        ELEMENTWISE["select"],
        [X > 0, X, -2 * X],
        _where((True, True, True), lambda c, x, y: np.where(c[:1], x, y)),
    ),
    "convert: not at all": (Convert(np.dtype(np.float32)), [X], _alone(lambda x: x)),
    "broadcast: new axes before the examples": (
        Broadcast((3, 3)),
        [THREE],
        _alone(lambda x: np.broadcast_to(x[:, None] if len(x) != 3 else x, (len(x), 3, 3))),
    ),
    "reshape: column-major": (Reshape((3, 2)), [X], _alone(lambda x: x.reshape((-1, 3, 2), order="F"))),
    "transpose: the examples moved": (Transpose((2, 0, 1)), [CUBE], _alone(lambda x: x.transpose(3, 0, 1, 2))),
    "slice: steps forgotten": (Slice((0,), (5,), (2,)), [np.arange(5.0)], _alone(lambda x: x[:, 0:5])),
    "slice: the examples sliced": (Slice((1,), (3,), (1,)), [THREE], _alone(lambda x: x[1:3])),
    "pad: fill of the first example": (
        PADDED,
        [THREE, np.array(7.0)],
        _where((True, True), lambda x, fill: PADDED.batch(len(x), [x, fill[:1].sum()], (True, False))),
    ),
    "pad: fill inside too": (
        PADDED,
        [THREE, np.array(7.0)],
        _where((True, True), lambda x, fill: np.repeat(fill[:, None], 8, 1)),
    ),
    "concatenate: along the examples": (Concatenate(0), [X, X + 1], _unshifted),
    "flip: another axis": (Flip((0,)), [X], _unshifted),
    "sum: over the examples": (Sum((0,)), [CUBE], _unshifted),
    "max: over the examples": (Reduce("max", (0,)), [CUBE], _unshifted),
    "prod: sum instead": (Reduce("prod", (0,)), [X], _alone(lambda x: x.sum(1))),
    "argmax: over the examples": (ArgReduce("max", 0), [CUBE], _unshifted),
    "argmin: of argmax": (ArgReduce("min", 0), [CUBE], _alone(lambda x: np.argmax(x, 1))),
    "cumsum: over the examples": (CumSum(0), [CUBE], _unshifted),
    "cumsum: reverse forgotten": (CumSum(0, True), [X], _alone(lambda x: np.cumsum(x, 1))),
    "argsort: over the examples": (ArgSort(0), [CUBE], _unshifted),
    "dot: every example with every other": (
        Dot((1,), (0,)),
        [CUBE[0], CUBE[1]],
        _where((True, True), lambda a, b: np.einsum("nij,mjk->nik", a, b)),
    ),
    "dot: examples of the second side not moved": (
        Dot((1,), (0,)),
        [CUBE[0], CUBE[1]],
        _where((False, True), lambda a, b: np.einsum("ij,njk->ink", a, b)),
    ),
    "dot: a vector on the second side not moved": (
        Dot((1,), (0,)),
        [CUBE[0], THREE],
        _where((False, True), lambda a, b: np.einsum("ij,nj->in", a, b)),
    ),
    "dot: batch axes before the examples": (
        Dot((2,), (1,), (0,), (0,)),
        [CUBE, CUBE + 1],
        _where((True, True), lambda a, b: np.einsum("nbij,nbjk->bnik", a, b)),
    ),
    "gather: the examples indexed": (Gather(), [CUBE[0], INDEX], _where((True, False), lambda x, i: x[i])),
    "gather: from the first example": (
        Gather(),
        [CUBE[0], INDEX],
        _where((True, True), lambda x, i: x[0][i]),
    ),
    "gather: negative positions clipped": (
        Gather(),
        [CUBE[0], INDEX],
        _spoiled(lambda x, i: [x, np.maximum(i, 0)]),
    ),
    "scatter: the first update wins": (
        Scatter(),
        [CUBE[0], CUBE[1], np.array([1, 1, 1])],
        _spoiled(lambda x, u, i: [x, np.flip(u, -2), i]),
    ),
    "scatter: examples write into one array": (
        Scatter(),
        [CUBE[0], CUBE[1], INDEX],
        lambda op: lambda size, xs, batched: np.repeat(op.batch(size, xs, batched)[-1:], size, 0),
    ),
    "scatter_add: examples add into one array": (
        ScatterAdd(),
        [CUBE[0], CUBE[1], INDEX],
        lambda op: lambda size, xs, batched: np.repeat(op.batch(size, xs, batched).sum(0, keepdims=True), size, 0),
    ),
    "scatter_add: repeated positions once": (
        ScatterAdd(),
        [CUBE[0], CUBE[1], np.array([1, 1, 0])],
        lambda op: Scatter().batch,
    ),
    "threefry: every example with the first key": (
        Threefry((3,)),
        [np.array([1, 2], np.uint32), np.array(5, np.uint64)],
        _where((True, True), lambda key, start: Threefry((3,)).evaluate(np.repeat(key[:1], len(key), 0), start)),
    ),
    "cholesky: transposed": (Cholesky(), [A], _alone(lambda a: np.swapaxes(np.linalg.cholesky(a), 1, 2))),
    "inverse: of the mean": (Inverse(), [A], _alone(lambda a: np.repeat(np.linalg.inv(a.mean(0))[None], len(a), 0))),
    "solve: columns of the examples mixed": (
        Solve(),
        [A, B],
        _where((False, True), lambda a, b: np.linalg.solve(a, b).reshape(b.shape[0], 2, 3).swapaxes(1, 2)),
    ),
    "solve: every example with the first matrix": (
        Solve(),
        [A, B],
        _where((True, True), lambda a, b: np.linalg.solve(np.repeat(a[:1], len(a), 0), b)),
    ),
    "triangular_solve: the general matrix": (TriangularSolve(True), [A, B], lambda op: Solve().batch),
    "det: of the product": (Det(), [A], _alone(lambda a: np.full(len(a), np.prod(np.linalg.det(a))))),
    "cofactors: transposed": (Cofactors(), [A], _alone(lambda a: np.swapaxes(Cofactors().evaluate(a), 1, 2))),
    "pseudoinverse: of the transposed": (
        PseudoInverse(1e-6),
        [A],
        _alone(lambda a: np.linalg.pinv(np.swapaxes(a, 1, 2))),
    ),
    "logdet: sign and logarithm swapped": (LogDet(), [A], _alone(lambda a: LogDet().evaluate(a)[:, ::-1])),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_a_rule_is_caught(mistake):
    op, inputs, plant = MISTAKES[mistake]
    assert not _killed(op, inputs)
    assert _killed(Mutant(op, plant(op)), inputs)


def test_every_family_has_a_mistake_of_its_own():
    families = {"Elementwise", *EXAMPLES} - set(ROWS)
    assert {type(op).__name__ for op, _, _ in MISTAKES.values()} == families
