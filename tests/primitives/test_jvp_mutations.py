"""The checker of derivative rules checked: every wrong JVP rule that is planted must be caught.

As in `test_mutations.py`, generic mutations spoil the tangents that a right rule gives; one that changes nothing at a
point is not counted there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fungrad.testing.rules import check_rules
from fungrad.testing.values import differentiable
from tests.primitives.test_mutations import DIFFERENTIABLE, Mutant
from tests.support.examples import application_with_elements, smooth_part

Change = Callable[[Any, Any], Any]  # from the right rule, as a function of tangents, and the tangents


def _of_result(change: Callable[[Any], Any]) -> Change:
    def spoiled(rule: Any, tangents: Any) -> Any:
        t = rule(tangents)
        return None if t is None else change(np.asarray(t))

    return spoiled


def _without(position: int) -> Change:
    """The tangent of one operand ignored."""
    return lambda rule, tangents: rule([None if i == position else t for i, t in enumerate(tangents)])


def _from_nothing(rule: Any, tangents: Any) -> Any:
    """A constant where the tangent is zero whatever the numbers."""
    t = rule(tangents)
    return np.float64(0.5) if t is None or all(t is None for t in tangents) else t


GENERIC: dict[str, Change] = {
    "wrong sign": _of_result(np.negative),
    "factor 1.01": _of_result(lambda t: t * 1.01),
    "zero": _of_result(np.zeros_like),
    "forgotten": lambda rule, tangents: None,
    "rolled by one": _of_result(lambda t: np.roll(t, 1)),
    "constant added": _of_result(lambda t: t + 0.01),
    "absolute value": _of_result(np.abs),
    "another dtype": _of_result(lambda t: t.astype(np.float32)),
    "an axis too many": _of_result(lambda t: t[None]),
    "the first operand ignored": _without(0),
    "the second operand ignored": _without(1),
    "a tangent out of nothing": _from_nothing,
}


def _planted(op: Any, inputs: Any, change: Change) -> Mutant:
    mutant = Mutant(op, op.vjp)
    mutant.jvp = lambda tangents, xs, out: change(lambda ts: op.jvp(ts, xs, out), tangents)
    return mutant


def _differs(found: Any, right: Any) -> bool:
    if found is None or right is None:
        return bool(np.any(right if found is None else found)) if (found is None) != (right is None) else False
    return found.shape != right.shape or found.dtype != right.dtype or not np.allclose(found, right, rtol=1e-3)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_generic_mutations_are_caught(name):
    op, inputs = next(
        application
        for application in (application_with_elements(name, seed) for seed in range(100))
        if differentiable(np.asarray(application.op.evaluate(*application.inputs)))
    )
    out = op.evaluate(*inputs)
    check_rules(op, inputs, np.random.default_rng(5), smooth_part(op))
    tangents = [np.full(x.shape, 0.7 + i / 3) if differentiable(x) else None for i, x in enumerate(inputs)]
    survivors, planted = [], 0
    for mutation, change in GENERIC.items():
        mutant = _planted(op, inputs, change)
        at = [None] * len(inputs) if mutation == "a tangent out of nothing" else tangents
        if not _differs(mutant.jvp(at, inputs, out), op.jvp(at, inputs, out)):
            continue
        planted += 1
        try:
            check_rules(mutant, inputs, np.random.default_rng(5), smooth_part(op))
        except AssertionError:
            continue
        survivors.append(mutation)
    assert planted >= 4, f"only {planted} mutations change anything at this point"
    assert not survivors, f"not caught: {survivors}"
