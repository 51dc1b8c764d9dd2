"""The check of the derivative rules of a primitive: against differences, against each other, and against the contract.

`check_rules` raises AssertionError for every wrong rule; the project's suite plants wrong ones to show that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.testing.compare import Point, compare_modes, compare_pulled, compare_pushed, compare_types, compare_values
from fungrad.testing.values import Untouched, differentiable, random_direction, random_like
from fungrad.transforms.jvp import filled

FEW = 4  # float operands of which every subset is tried


class Rules:
    """A primitive at a point, with lists for its results whether it has one or several.

    Args:
        op: the primitive.
        operands: arrays and NumPy scalars.
        smooth: the function whose derivative the rules state.
    """

    def __init__(self, op: Primitive, operands: Sequence[Any], smooth: Callable[..., Any] | None = None) -> None:
        self.op = op
        self.operands = list(operands)
        self.smooth = smooth or op.evaluate
        self.out = op.evaluate(*operands)
        self.outs = self.listed(self.out)
        self.floats = [differentiable(x) for x in operands]
        narrow = any(x.dtype == np.float32 for x in (*operands, *self.outs))
        self.rounding = 2e-5 if narrow else 1e-11  # allowed where only rounding differs, relative to the largest number
        self.names = [f"operand {i}" for i in range(len(operands))]
        self.out_names = [f"result {i}" for i in range(len(self.outs))] if op.multiple else ["the result"]

    def listed(self, found: Any) -> list[Any]:
        """What `evaluate` or a rule gave for the results, as a list."""
        return list(found) if self.op.multiple else [found]

    def vjp(self, cts: Sequence[Any], wanted: Sequence[bool] | None = None) -> list[Any]:
        """The cotangents of the operands; None for zero."""
        wanted = self.floats if wanted is None else wanted
        given = tuple(cts) if self.op.multiple else cts[0]
        found = list(self.op.vjp(given, self.operands, self.out, list(wanted)))
        assert len(found) == len(self.operands), f"{len(found)} cotangents for {len(self.operands)} operands"
        for name, c, asked in zip(self.names, found, wanted, strict=True):
            assert asked or c is None, f"{self.op.name}, vjp: {name}: a cotangent nobody wanted"
        compare_types(f"{self.op.name}, vjp", found, self.operands, self.names)
        return found

    def jvp(self, tangents: Sequence[Any]) -> list[Any]:
        """The tangents of the results; None for zero, and where a result is not a float."""
        found = self.listed(self.op.jvp(list(tangents), self.operands, self.out))
        assert len(found) == len(self.outs), f"{len(found)} tangents for {len(self.outs)} results"
        pushed = [t if differentiable(x) else None for t, x in zip(found, self.outs, strict=True)]
        compare_types(f"{self.op.name}, jvp", pushed, self.outs, self.out_names)
        return pushed

    def cotangents(self, rng: np.random.Generator) -> list[Any]:
        """Random ones of the results."""
        return [random_like(x, rng) if differentiable(x) else None for x in self.outs]

    def tangents(self, rng: np.random.Generator) -> list[Any]:
        """Random ones of the operands."""
        return [
            random_direction(x, rng) if is_float else None
            for x, is_float in zip(self.operands, self.floats, strict=True)
        ]

    def point(self) -> Point:
        """The primitive as a function of its float operands that returns its float results."""

        def flat(*xs: Any) -> list[Any]:
            rest = iter(xs)
            full = [next(rest) if is_float else x for x, is_float in zip(self.operands, self.floats, strict=True)]
            return self.of_results([np.asarray(x)[()] for x in self.listed(self.smooth(*full))])

        return Point(
            flat, self.of_operands(self.operands), self.of_operands(self.names), self.of_results(self.out_names)
        )

    def of_operands(self, values: Sequence[Any]) -> list[Any]:
        """The values for float operands."""
        return [x for x, is_float in zip(values, self.floats, strict=True) if is_float]

    def of_results(self, values: Sequence[Any]) -> list[Any]:
        """The values for float results."""
        return [x for x, out in zip(values, self.outs, strict=True) if differentiable(out)]


def check_rules(
    op: Primitive, operands: Sequence[Any], rng: np.random.Generator, smooth: Callable[..., Any] | None = None
) -> None:
    """Check everything that holds for the derivative rules of a primitive at one point.

    Args:
        op: the primitive.
        operands: arrays and NumPy scalars, where it is smooth.
        rng: for directions.
        smooth: the function whose derivative the rules state, where that is not `evaluate` on float64.

    Raises:
        AssertionError: a rule is wrong.
    """
    untouched = Untouched(operands)
    rules = Rules(op, operands, smooth)
    if not any(map(differentiable, rules.outs)):
        return  # no rule is ever asked about results that have no derivative
    cts = rules.cotangents(rng)
    pulled = rules.vjp(cts)
    _check_differences(rules, cts, pulled, rng)
    _check_modes(rules, cts, pulled, rng)
    _check_vjp_is_linear(rules, cts, pulled, rng)
    _check_jvp_is_linear(rules, rng)
    _check_wanted(rules, cts, pulled)
    if op.multiple:
        _check_missing_cotangents(rules, cts)
    _check_declared_linear(rules, rng)
    untouched.check(op.name)


def _check_differences(rules: Rules, cts: Sequence[Any], pulled: Sequence[Any], rng: np.random.Generator) -> None:
    name, point, tangents = rules.op.name, rules.point(), rules.tangents(rng)
    compare_pulled(f"{name}, vjp", point, rules.of_results(cts), rules.of_operands(pulled), rng)
    pushed = rules.of_results(rules.jvp(tangents))
    compare_pushed(f"{name}, jvp", point, rules.of_operands(tangents), pushed)


def _check_modes(rules: Rules, cts: Sequence[Any], pulled: Sequence[Any], rng: np.random.Generator) -> None:
    """<ct, J v> = <J^T ct, v>, for all operands together and for each alone."""
    tangents = rules.tangents(rng)
    alone = [[t if i == j else None for j, t in enumerate(tangents)] for i, t in enumerate(tangents) if t is not None]
    for chosen in [tangents, *alone]:
        compare_modes(rules.op.name, cts, rules.jvp(chosen), chosen, pulled)
    still = rules.jvp([None] * len(tangents))
    assert not any(t is not None and np.any(t) for t in still), f"{rules.op.name}, jvp: a tangent out of nothing"


def _check_vjp_is_linear(rules: Rules, cts: Sequence[Any], pulled: Sequence[Any], rng: np.random.Generator) -> None:
    others = rules.cotangents(rng)
    _compare_combination(
        f"{rules.op.name}, vjp: not linear in the cotangent",
        [pulled, rules.vjp(others), rules.vjp(_combined(cts, others))],
        rules.names,
        rules.rounding,
    )
    zeros = rules.vjp([None if c is None else np.zeros_like(c)[()] for c in cts])
    assert not any(c is not None and np.any(c) for c in zeros), f"{rules.op.name}, vjp: zero gives {zeros}"


def _check_jvp_is_linear(rules: Rules, rng: np.random.Generator) -> None:
    tangents, others = rules.tangents(rng), rules.tangents(rng)
    _compare_combination(
        f"{rules.op.name}, jvp: not linear in the tangents",
        [rules.jvp(tangents), rules.jvp(others), rules.jvp(_combined(tangents, others))],
        rules.out_names,
        rules.rounding,
    )


def _combined(xs: Sequence[Any], ys: Sequence[Any]) -> list[Any]:
    """2 x + 3 y."""
    return [
        None if x is None else np.asarray(x.dtype.type(2) * x + x.dtype.type(3) * y, x.dtype)[()]
        for x, y in zip(xs, ys, strict=True)
    ]


def _compare_combination(what: str, found: Sequence[Sequence[Any]], names: Sequence[str], rtol: float) -> None:
    """Check that the third of three lists of results is 2 times the first plus 3 times the second."""
    for x, y, both, name in zip(*found, names, strict=True):
        assert (x is None) == (y is None) == (both is None), f"{what}: {name} is None for some and not for others"
        if x is not None:
            (expected,) = _combined([np.asarray(x)], [np.asarray(y)])
            compare_values(what, [both], [expected], [name], rtol)


def _check_wanted(rules: Rules, cts: Sequence[Any], pulled: Sequence[Any]) -> None:
    """Every subset of the cotangents asked for is the same, and the others are None."""
    places = [i for i, is_float in enumerate(rules.floats) if is_float]
    subsets = product([True, False], repeat=len(places)) if len(places) <= FEW else np.eye(len(places), dtype=bool)
    for flags in subsets:
        asked = dict(zip(places, map(bool, flags), strict=True))
        wanted = [asked.get(i, False) for i in range(len(rules.operands))]
        for name, c, full, was_asked in zip(rules.names, rules.vjp(cts, wanted), pulled, wanted, strict=True):
            if was_asked and full is not None:
                assert c is not None, f"{rules.op.name}, vjp: {name} has no cotangent when wanted is {wanted}"
                compare_values(f"{rules.op.name}, vjp, wanted {wanted}", [c], [full], [name], rules.rounding / 10)
            elif was_asked:
                assert c is None or not np.any(c), f"{rules.op.name}, vjp: {name}: not zero when wanted is {wanted}"


def _check_missing_cotangents(rules: Rules, cts: Sequence[Any]) -> None:
    """None for the cotangent of a result is zero."""
    for i, ct in enumerate(cts):
        if ct is None:
            continue
        alone = [c if i == j else None for j, c in enumerate(cts)]
        found = rules.vjp(alone)
        zeros = [None if c is None else np.zeros_like(c)[()] for c in cts]
        expected = rules.vjp([c if i == j else zero for j, (c, zero) in enumerate(zip(cts, zeros, strict=True))])
        what = f"{rules.op.name}, vjp, a cotangent of result {i} only"
        full, other = ([np.asarray(c) for c in rules.of_operands(filled(x, rules.operands))] for x in (found, expected))
        for x, y, name in zip(full, other, rules.of_operands(rules.names), strict=True):
            compare_values(what, [x], [y], [name], rules.rounding)


def _check_declared_linear(rules: Rules, rng: np.random.Generator) -> None:
    """Where `linear_in` says so, f(x + v) = f(x) + J v."""
    places = [i for i, is_float in enumerate(rules.floats) if is_float]
    every = rules.tangents(rng)
    for flags in product([True, False], repeat=len(places)) if len(places) <= FEW else [(True,) * len(places)]:
        chosen = {i for i, flag in zip(places, flags, strict=True) if flag}
        if not chosen or not rules.op.linear_in([i in chosen for i in range(len(rules.operands))]):
            continue
        tangents = [t if i in chosen else None for i, t in enumerate(every)]
        moved = [x if t is None else (x + t)[()] for x, t in zip(rules.operands, tangents, strict=True)]
        found = rules.of_results(rules.listed(rules.op.evaluate(*moved)))
        pushed = rules.of_results(filled(rules.jvp(tangents), rules.outs))
        expected = [(x + t).astype(x.dtype) for x, t in zip(rules.of_results(rules.outs), pushed, strict=True)]
        what = f"{rules.op.name}: declared linear in the operands {sorted(chosen)}, but"
        for x, y, name in zip(found, expected, rules.of_results(rules.out_names), strict=True):
            compare_values(what, [x], [y], [name], rules.rounding)
