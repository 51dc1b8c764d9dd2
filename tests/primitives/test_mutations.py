"""The checker of derivative rules checked: every planted wrong rule must be caught.

Generic mutations spoil the cotangents that a right rule gives; each is planted in every primitive. A mutation that
changes nothing at a point (such as reversing a symmetric cotangent) is not counted there. Hand-written ones are the
mistakes that people make in the rule of one primitive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import find, settings

from fungrad.ir.types import type_of
from fungrad.primitives.contract import Dot
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.reduce import CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose
from fungrad.testing.rules import check_rules
from fungrad.testing.values import differentiable
from tests.support.examples import EXAMPLES, smooth_part
from tests.support.factorizations import FACTORIZATIONS
from tests.support.matrix_mistakes import VJP_MISTAKES
from tests.support.values import row_operands


class Mutant:
    """A primitive whose VJP rule is replaced."""

    def __init__(self, op: Any, vjp: Callable[..., Any]) -> None:
        self.op = op
        self.name = op.name
        self.evaluate = op.evaluate
        self.infer = op.infer
        self.jvp = op.jvp
        self.linear_in = op.linear_in
        self.multiple = op.multiple
        self.vjp = vjp


def _each(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """A mutation of every cotangent alone."""

    def mutate(cts: list[Any], ct: Any, inputs: Any) -> list[Any]:
        return [None if c is None else change(np.asarray(c)) for c in cts]

    return mutate


def _only(position: int, change: Callable[[Any], Any]) -> Callable[..., Any]:
    def mutate(cts: list[Any], ct: Any, inputs: Any) -> list[Any]:
        return [change(np.asarray(c)) if i == position and c is not None else c for i, c in enumerate(cts)]

    return mutate


def _swap(cts: list[Any], ct: Any, inputs: Any) -> list[Any]:
    return [cts[1], cts[0], *cts[2:]] if len(cts) > 1 else cts


def _one_element(c: Any) -> Any:
    c = c.copy()
    if c.size:
        c.reshape(-1)[-1] = 0
    return c


def _roll(c: Any) -> Any:
    return np.roll(c, 1)


def _other_float(c: Any) -> Any:
    return c.astype(np.float32 if c.dtype == np.float64 else np.float64)


def _identity(cts: list[Any], ct: Any, inputs: Any) -> list[Any]:
    return [np.array(ct) if c is not None and c.shape == ct.shape else c for c in cts]


def _transposed(c: Any) -> Any:
    return np.ascontiguousarray(c.T).reshape(c.shape)


GENERIC: dict[str, Callable[..., Any]] = {
    "wrong sign": _each(np.negative),
    "wrong sign of the first": _only(0, np.negative),
    "wrong sign of the second": _only(1, np.negative),
    "factor 1.01": _each(lambda c: (c * c.dtype.type(1.01)).astype(c.dtype)),
    "factor 2": _each(lambda c: c * c.dtype.type(2)),
    "zero": _each(np.zeros_like),
    "forgotten": lambda cts, ct, inputs: [None] * len(cts),
    "swapped arguments": _swap,
    "the cotangent itself": _identity,
    "rolled by one": _each(_roll),
    "reversed": _each(lambda c: c.reshape(-1)[::-1].reshape(c.shape)),
    "transposed": _each(_transposed),
    "last element lost": _each(_one_element),
    "constant added": _each(lambda c: (c + c.dtype.type(0.01)).astype(c.dtype)),
    "absolute value": _each(np.abs),
    "another dtype": _each(_other_float),
    "an axis too many": _each(lambda c: c[None]),
}


def _differs(found: list[Any], right: list[Any]) -> bool:
    """Whether a mutation changed something that a user could see."""
    for c, e in zip(found, right, strict=True):
        if e is None:
            continue
        if c is None:
            if np.any(np.abs(e) > 0.02):
                return True
        elif (
            c.shape != e.shape
            or c.dtype != e.dtype
            or np.any(np.abs(np.asarray(c, float) - np.asarray(e, float)) > 0.005 * np.max(np.abs(e), initial=0.3))
        ):
            return True
    return False


def _planted(op: Any, change: Callable[..., Any]) -> Mutant:
    def vjp(ct: Any, inputs: Any, out: Any, wanted: Any) -> Any:
        return change(list(op.vjp(ct, inputs, out, wanted)), ct, inputs)

    return Mutant(op, vjp)


def _rule(op: Any, inputs: Any) -> tuple[Any, list[Any]]:
    out = op.evaluate(*inputs)
    ct = np.random.default_rng(3).uniform(0.5, 1.5, out.shape).astype(out.dtype)[()]
    return ct, list(op.vjp(ct, inputs, out, [differentiable(x) for x in inputs]))


def _point(name: str) -> tuple[Any, list[Any]] | None:
    """An example of a primitive with enough elements to tell mutations apart; None if it has no derivative."""
    strategy = EXAMPLES[name](np.float64)

    def good(application: Any) -> bool:
        op, inputs = application
        out = op.infer(*map(type_of, inputs))
        if not (out.is_float and any(map(differentiable, inputs))) or out.size == 0:
            return False
        if (
            sum(x.size > 3 for x in inputs if differentiable(x)) < min(2, sum(map(differentiable, inputs)))
            and name != "Pad"
        ):
            return False
        _, cts = _rule(op, inputs)
        return any(c is not None and np.any(np.abs(c) > 0.1) for c in cts)

    if name in ROWS and not any(ROWS[name].partials):
        return None
    if name in ("ArgReduce", "ArgSort", "Threefry"):
        return None
    if name in ROWS:
        application = (ELEMENTWISE[name], row_operands(name, np.random.default_rng(7), (2, 3), np.float64))
        assert good(application)
        return application
    return find(strategy, good, settings=settings(max_examples=3000, database=None, derandomize=True))


def _killed(mutant: Any, inputs: Any) -> bool:
    try:
        check_rules(mutant, inputs, np.random.default_rng(5), smooth_part(getattr(mutant, "op", mutant)))
    except AssertionError:
        return True
    return False


DIFFERENTIABLE = [
    n
    for n in EXAMPLES
    if n not in ("ArgReduce", "ArgSort", "Threefry") and not (n in ROWS and not any(ROWS[n].partials))
]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_generic_mutations_are_caught(name):
    op, inputs = _point(name)
    assert not _killed(op, inputs), "the right rule must pass"
    ct, right = _rule(op, inputs)
    survivors, planted = [], 0
    for mutation, change in GENERIC.items():
        if not _differs(change(right, ct, inputs), right):
            continue
        planted += 1
        if not _killed(_planted(op, change), inputs):
            survivors.append(mutation)
    assert planted >= 6, f"only {planted} mutations change anything at this point"
    assert not survivors, f"not caught: {survivors}"


def test_computing_for_nobody_is_caught():
    """A rule that ignores `wanted`."""
    op = ELEMENTWISE["mul"]
    inputs = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    assert _killed(Mutant(op, lambda ct, xs, out, wanted: op.vjp(ct, xs, out, [True, True])), inputs)


def test_changing_an_input_is_caught():
    op = ELEMENTWISE["sin"]

    def vjp(ct, inputs, out, wanted):
        inputs[0][...] += 1e-6
        return op.vjp(ct, inputs, out, wanted)

    assert _killed(Mutant(op, vjp), [np.array([1.0, 2.0])])


# -- mistakes in one rule -------------------------------------------------------------------------------------------

X = np.array([[0.3, -0.7, 1.1], [1.3, 0.4, -0.2]])
Y = np.array([[1.2, 0.5, -0.8], [0.6, -1.4, 0.9]])
P = np.array([[0.3, 0.7, 1.1], [1.3, 0.4, 0.2]])  # positive
S = np.array([[0.3, -0.7, 0.1], [0.6, 0.4, -0.2]])  # inside (-1, 1)

ROW_MISTAKES = {
    "sub: second not negated": ("sub", [X, Y], lambda ct, out, x, y: [ct, ct]),
    "mul: own operand": ("mul", [X, Y], lambda ct, out, x, y: [ct * x, ct * y]),
    "div: sign of the divisor": ("div", [X, Y], lambda ct, out, x, y: [ct / y, ct * x / y**2]),
    "div: divisor not squared": ("div", [X, Y], lambda ct, out, x, y: [ct / y, -ct * x / y]),
    "pow: exponent not lowered": ("pow", [P, Y], lambda ct, out, x, y: [ct * y * out, ct * out * np.log(x)]),
    "pow: log of the exponent": ("pow", [P, P + 1], lambda ct, out, x, y: [ct * y * out / x, ct * out * np.log(y)]),
    "sqrt: factor": ("sqrt", [P], lambda ct, out, x: [ct / out]),
    "sqrt: of the operand": ("sqrt", [P], lambda ct, out, x: [ct / (2 * x)]),
    "cbrt: exponent": ("cbrt", [P], lambda ct, out, x: [ct / (3 * out)]),
    "reciprocal: sign": ("reciprocal", [P], lambda ct, out, x: [ct * out * out]),
    "abs: always positive": ("abs", [X], lambda ct, out, x: [ct]),
    "copysign: sign of the wrong operand": ("copysign", [X, Y], lambda ct, out, x, y: [ct * np.sign(y), None]),
    "nextafter: of the other operand": ("nextafter", [X, Y], lambda ct, out, x, y: [None, ct]),
    "exp2: no log 2": ("exp2", [X], lambda ct, out, x: [ct * out]),
    "expm1: its own value": ("expm1", [X], lambda ct, out, x: [ct * out]),
    "log2: log 2 on the wrong side": ("log2", [P], lambda ct, out, x: [ct * np.log(2) / x]),
    "log1p: no one": ("log1p", [P], lambda ct, out, x: [ct / x]),
    "logistic: not squared": ("logistic", [X], lambda ct, out, x: [ct * (1 - out)]),
    "erfc: sign": ("erfc", [X], lambda ct, out, x: [ct * np.exp(-x * x) * 2 / np.sqrt(np.pi)]),
    "erfcx: without the scale": ("erfcx", [X], lambda ct, out, x: [-ct * 2 / np.sqrt(np.pi)]),
    "erf: factor": ("erf", [X], lambda ct, out, x: [ct * np.exp(-x * x) * 2 / np.pi]),
    "erf_inv: of the operand": ("erf_inv", [S], lambda ct, out, x: [ct * np.exp(x * x) * np.sqrt(np.pi) / 2]),
    "sin: of sin": ("sin", [X], lambda ct, out, x: [ct * out]),
    "cos: sign": ("cos", [X], lambda ct, out, x: [ct * np.sin(x)]),
    "tan: not squared": ("tan", [S], lambda ct, out, x: [ct * (1 + out)]),
    "arcsin: no root": ("arcsin", [S], lambda ct, out, x: [ct / (1 - x * x)]),
    "arccos: sign": ("arccos", [S], lambda ct, out, x: [ct / np.sqrt(1 - x * x)]),
    "arctan: sign inside": ("arctan", [S], lambda ct, out, x: [ct / (1 - x * x)]),
    "cosh: sign": ("cosh", [X], lambda ct, out, x: [-ct * np.sinh(x)]),
    "tanh: plus": ("tanh", [X], lambda ct, out, x: [ct * (1 + out * out)]),
    "arctanh: plus": ("arctanh", [S], lambda ct, out, x: [ct / (1 + x * x)]),
    "arctan2: arguments swapped": (
        "arctan2",
        [X, Y],
        lambda ct, out, y, x: [-ct * y / (x * x + y * y), ct * x / (x * x + y * y)],
    ),
    "hypot: no denominator": ("hypot", [X, Y], lambda ct, out, x, y: [ct * x, ct * y]),
    "logaddexp: shares swapped": (
        "logaddexp",
        [X, Y],
        lambda ct, out, x, y: [ct * np.exp(y - out), ct * np.exp(x - out)],
    ),
    "remainder: truncated quotient": ("remainder", [-P, P + 0.15], lambda ct, out, x, y: [ct, -ct * np.trunc(x / y)]),
    "fmod: floored quotient": ("fmod", [-P, P + 0.15], lambda ct, out, x, y: [ct, -ct * np.floor(x / y)]),
    "maximum: to the smaller": (
        "maximum",
        [X, Y],
        lambda ct, out, x, y: [np.where(x < y, ct, 0), np.where(y < x, ct, 0)],
    ),
    "maximum: ties counted twice": ("maximum", [X, X], lambda ct, out, x, y: [ct, ct]),
    "maximum: ties to the first": ("maximum", [X, X], lambda ct, out, x, y: [ct, 0 * ct]),
    "minimum: ties to nobody": ("minimum", [X, X], lambda ct, out, x, y: [0 * ct, 0 * ct]),
    "clip: passes outside": ("clip", [X, S - 0.3, S + 0.3], lambda ct, out, x, a, b: [ct, ct * (x < a), ct * (x > b)]),
    "clip: bounds swapped": (
        "clip",
        [X, S - 0.3, S + 0.3],
        lambda ct, out, x, a, b: [ct * (out == x), ct * (x > b), ct * (x < a)],
    ),
    "select: branches swapped": ("select", [X > 0, X, Y], lambda ct, out, c, x, y: [None, ct * ~c, ct * c]),
    "select: no mask": ("select", [X > 0, X, Y], lambda ct, out, c, x, y: [None, ct, ct]),
    "stop_gradient: lets through": ("stop_gradient", [X], lambda ct, out, x: [ct]),
}


@pytest.mark.parametrize("mistake", ROW_MISTAKES)
def test_mistake_in_a_row_is_caught(mistake):
    row, inputs, rule = ROW_MISTAKES[mistake]
    op = ELEMENTWISE[row]
    assert not _killed(op, inputs)

    def vjp(ct, xs, out, wanted):
        return [c if asked else None for c, asked in zip(rule(ct, out, *xs), wanted, strict=True)]

    assert _killed(Mutant(op, vjp), inputs)


def _spread(ct, x, axes):
    return np.broadcast_to(np.expand_dims(ct, axes), x.shape)


INDEX = np.array([0, 2, 2])
M, N, T = (np.arange(1.0, 1 + np.prod(s)).reshape(s) / 7 for s in [(2, 3), (3, 4), (3, 3)])

CLASS_MISTAKES = {
    **VJP_MISTAKES,
    "dot: no transposition of the matrix": (
        Dot((1,), (0,)),
        [T, M[0]],
        lambda ct, xs, out: [np.outer(ct, xs[1]), xs[0] @ ct],
    ),
    "dot: outer product the wrong way": (
        Dot((1,), (0,)),
        [T, M[0]],
        lambda ct, xs, out: [np.outer(xs[1], ct), xs[0].T @ ct],
    ),
    "dot: batched factors swapped": (
        Dot((2,), (1,), (0,), (0,)),
        [np.stack([T, 2 * T]), np.stack([T + 1, T])],
        lambda ct, xs, out: [ct @ xs[1].mT, ct.mT @ xs[0]],
    ),
    "broadcast: mean instead of sum": (Broadcast((4, 3)), [X[0]], lambda ct, xs, out: [ct.mean(0)]),
    "broadcast: first row only": (Broadcast((4, 3)), [X[0]], lambda ct, xs, out: [ct[0]]),
    "reshape: column-major": (Reshape((3, 2)), [X], lambda ct, xs, out: [ct.reshape(xs[0].shape, order="F")]),
    "transpose: not inverted": (
        Transpose((1, 2, 0)),
        [np.arange(27.0).reshape(3, 3, 3)],
        lambda ct, xs, out: [ct.transpose(1, 2, 0)],
    ),
    "slice: off by one": (
        Slice((1,), (4,), (1,)),
        [np.arange(5.0)],
        lambda ct, xs, out: [np.concatenate([ct, [0.0, 0.0]])],
    ),
    "slice: step forgotten": (
        Slice((0,), (5,), (2,)),
        [np.arange(5.0)],
        lambda ct, xs, out: [np.concatenate([ct, [0.0, 0.0]])],
    ),
    "pad: fill forgotten": (
        Pad((1,), (1,), (0,)),
        [X[0], np.array(2.0)],
        lambda ct, xs, out: [ct[1:-1], np.array(0.0)],
    ),
    "pad: fill counts the inside": (
        Pad((1,), (1,), (0,)),
        [X[0], np.array(2.0)],
        lambda ct, xs, out: [ct[1:-1], ct.sum()],
    ),
    "concatenate: parts swapped": (Concatenate(0), [X, Y], lambda ct, xs, out: [ct[2:], ct[:2]]),
    "flip: not flipped back": (Flip((0,)), [X], lambda ct, xs, out: [ct]),
    "flip: another axis": (Flip((0,)), [X], lambda ct, xs, out: [ct[:, ::-1]]),
    "sum: another axis": (Sum((0,)), [T], lambda ct, xs, out: [np.broadcast_to(ct[:, None], (3, 3))]),
    "prod: by division, wrong element": (
        Reduce("prod", (0,)),
        [T],
        lambda ct, xs, out: [_spread(ct * out, xs[0], (0,))],
    ),
    "max: ties counted fully": (
        Reduce("max", (0,)),
        [np.array([1.0, 3.0, 3.0])],
        lambda ct, xs, out: [ct * (xs[0] == out)],
    ),
    "max: first tie only": (
        Reduce("max", (0,)),
        [np.array([1.0, 3.0, 3.0])],
        lambda ct, xs, out: [ct * np.array([0.0, 1.0, 0.0])],
    ),
    "min: of max": (
        Reduce("min", (0,)),
        [np.array([1.0, 2.0, 3.0])],
        lambda ct, xs, out: [ct * (xs[0] == xs[0].max())],
    ),
    "cumsum: not reversed": (CumSum(0), [np.arange(4.0)], lambda ct, xs, out: [np.cumsum(ct)]),
    "cumsum: exclusive": (CumSum(0), [np.arange(4.0)], lambda ct, xs, out: [np.cumsum(ct[::-1])[::-1] - ct]),
    "gather: repeated indices overwrite": (
        Gather(),
        [np.arange(4.0), INDEX],
        lambda ct, xs, out: [_overwrite(ct, xs), None],
    ),
    "scatter_add: base forgotten": (
        ScatterAdd(),
        [np.arange(4.0), M[0], INDEX],
        lambda ct, xs, out: [0 * ct, ct[INDEX], None],
    ),
    "scatter: base keeps what was overwritten": (
        Scatter(),
        [np.arange(4.0), M[0], INDEX],
        lambda ct, xs, out: [ct, np.where([True, False, True], ct[INDEX], 0), None],
    ),
    "scatter: losers get a share": (
        Scatter(),
        [np.arange(4.0), M[0], INDEX],
        lambda ct, xs, out: [ct * [0, 1, 0, 1], ct[INDEX], None],
    ),
}


def _overwrite(ct, xs):
    out = np.zeros_like(xs[0])
    out[xs[1]] = ct
    return out


@pytest.mark.parametrize("mistake", CLASS_MISTAKES)
def test_mistake_in_a_rule_is_caught(mistake):
    op, inputs, rule = CLASS_MISTAKES[mistake]
    inputs = [np.array(x) for x in inputs]
    assert not _killed(op, inputs)

    def vjp(ct, xs, out, wanted):
        found = rule(ct, xs, out)
        return [c if asked else None for c, asked in zip(found, wanted, strict=True)]

    assert _killed(Mutant(op, vjp), inputs)


def test_every_differentiable_family_has_a_mistake_of_its_own():
    families = {name for name in DIFFERENTIABLE if name not in ROWS} - {"Convert"} | set(FACTORIZATIONS)
    assert {type(op).__name__ for op, _, _ in CLASS_MISTAKES.values()} == families
