"""The checker of derivative rules: against central differences, against each other, and against the contract.

`check_rules` raises AssertionError for every wrong rule; `tests/primitives/test_mutations.py` shows that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.primitives.convert import Convert

RTOL = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 2e-4}
STEP = 2.0**-10


def differentiable(x: Any) -> bool:
    return bool(x.dtype.kind == "f")


def exact(op: Primitive) -> Callable[..., Any]:
    """What derivatives see of a primitive on float64 operands: conversions between floats are the identity, and
    `stop_gradient` is a constant."""
    if isinstance(op, Convert) and op.dtype.kind == "f":
        return lambda x: x
    if op.name == "stop_gradient":
        return np.zeros_like
    return op.evaluate


def central_differences(f: Callable[..., Any], inputs: Sequence[Any], position: int, ct: Any) -> tuple[Any, Any]:
    """The gradient of <ct, f(inputs)> along one input, in float64, and an estimate of its error.

    Central differences with one step of Richardson's extrapolation: (4 D(h/2) - D(h)) / 3, whose error is O(h**4). The
    estimate is the extrapolation's correction squared in effect (times h**2), plus rounding.
    """
    wide = [np.array(x, np.float64) if differentiable(x) else x for x in inputs]
    ct = np.asarray(ct, np.float64)
    x = wide[position]
    gradient, error = np.zeros(x.shape), np.zeros(x.shape)

    def at(where: Any, step: float) -> Any:
        moved = x.copy()
        moved[where] += step
        return np.asarray(f(*wide[:position], moved, *wide[position + 1 :]), np.float64)

    for where in np.ndindex(x.shape):
        values = [at(where, s) for s in (STEP, -STEP, STEP / 2, -STEP / 2)]
        coarse = np.vdot(ct, (values[0] - values[1]) / (2 * STEP))
        fine = np.vdot(ct, (values[2] - values[3]) / STEP)
        gradient[where] = (4 * fine - coarse) / 3
        scale = np.vdot(np.abs(ct), np.abs(values[0]) + np.abs(values[1]))
        error[where] = abs(fine - coarse) * 64 * STEP**2 + 1e-15 * scale / STEP
    return gradient, error


def random_like(x: Any, rng: np.random.Generator) -> Any:
    """Numbers of the shape and dtype of `x`, not near zero; a NumPy scalar for 0-d."""
    return np.asarray(rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape)).astype(x.dtype)[()]


def check_rules(op: Primitive, inputs: Sequence[Any], rng: np.random.Generator) -> None:
    """Everything that holds for the rules of a primitive at one point."""
    before = [np.array(x) for x in inputs]
    out = op.evaluate(*inputs)
    wanted = [differentiable(x) for x in inputs]
    if not differentiable(out):
        return  # no rule is ever asked about a result that has no derivative
    ct = random_like(out, rng)
    cts = list(op.vjp(ct, inputs, out, wanted))
    assert len(cts) == len(inputs), f"{len(cts)} cotangents for {len(inputs)} inputs"
    _check_types(cts, inputs, wanted)
    _check_against_differences(op, inputs, ct, cts, wanted)
    _check_dot_product(op, inputs, out, ct, cts, rng)
    _check_linear(op, inputs, out, ct, cts, wanted, rng)
    _check_wanted(op, inputs, out, ct, cts)
    for x, old in zip(inputs, before, strict=True):
        assert np.array_equal(x, old, equal_nan=x.dtype.kind == "f"), "an input was changed"


def _check_types(cts: Sequence[Any], inputs: Sequence[Any], wanted: Sequence[bool]) -> None:
    for position, (c, x, asked) in enumerate(zip(cts, inputs, wanted, strict=True)):
        if not asked:
            assert c is None, f"input {position}: a cotangent nobody wanted"
        elif c is not None:
            assert c.shape == x.shape, f"input {position}: cotangent has shape {c.shape}, expected {x.shape}"
            assert c.dtype == x.dtype, f"input {position}: cotangent has dtype {c.dtype}, expected {x.dtype}"


def _check_against_differences(op: Any, inputs: Any, ct: Any, cts: Any, wanted: Any) -> None:
    for position, (c, asked) in enumerate(zip(cts, wanted, strict=True)):
        if not asked:
            continue
        expected, error = central_differences(exact(op), inputs, position, ct)
        found = np.zeros(inputs[position].shape) if c is None else np.asarray(c, np.float64)
        scale = np.abs(expected) + 0.1 * np.max(np.abs(expected), initial=0.0) + 1e-3
        bound = error + RTOL[inputs[position].dtype] * scale
        assert np.all(np.abs(found - expected) <= bound), (
            f"input {position}: cotangent\n{found}\ndiffers from the central difference\n{expected}\nbound\n{bound}"
        )


def _inner(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[float, float]:
    """The inner product of two lists of arrays, None for zero, and the sum of the products' magnitudes."""
    products = [
        np.asarray(x, np.float64) * np.asarray(y, np.float64)
        for x, y in zip(xs, ys, strict=True)
        if x is not None and y is not None
    ]
    return sum(float(p.sum()) for p in products), sum(float(np.abs(p).sum()) for p in products)


def _check_dot_product(op: Any, inputs: Any, out: Any, ct: Any, cts: Any, rng: Any) -> None:
    """<ct, J v> = <J^T ct, v>, for all inputs together and for each alone."""
    tangents = [random_like(x, rng) if differentiable(x) else None for x in inputs]
    alone = [
        [t if i == j else None for j, t in enumerate(tangents)] for i in range(len(inputs)) if tangents[i] is not None
    ]
    for chosen in [tangents, *alone]:
        pushed = op.jvp(chosen, inputs, out)
        if pushed is not None:
            assert pushed.shape == out.shape, f"tangent has shape {pushed.shape}, expected {out.shape}"
            assert pushed.dtype == out.dtype, f"tangent has dtype {pushed.dtype}, expected {out.dtype}"
        left, size = _inner([ct], [pushed])
        right, other = _inner(cts, chosen)
        bound = 0.1 * RTOL[out.dtype if out.dtype == np.float32 else _narrowest(inputs)] * (size + other + 1e-3)
        assert abs(left - right) <= bound, f"<ct, J v> = {left}, but <J^T ct, v> = {right}"
    still = op.jvp([None] * len(inputs), inputs, out)
    assert still is None or not np.any(still), "a tangent out of nothing"


def _narrowest(inputs: Sequence[Any]) -> Any:
    return np.dtype(np.float32 if any(x.dtype == np.float32 for x in inputs) else np.float64)


def _check_linear(op: Any, inputs: Any, out: Any, ct: Any, cts: Any, wanted: Any, rng: Any) -> None:
    """The rule is linear in the cotangent."""
    other = random_like(out, rng)
    two, three = out.dtype.type(2), out.dtype.type(3)
    mixed = op.vjp(np.asarray(two * ct + three * other, out.dtype)[()], inputs, out, wanted)
    others = op.vjp(other, inputs, out, wanted)
    for position, (c, d, m) in enumerate(zip(cts, others, mixed, strict=True)):
        assert (c is None) == (d is None) == (m is None), f"input {position}: None depends on the cotangent"
        if c is None:
            continue
        expected = 2 * np.asarray(c, np.float64) + 3 * np.asarray(d, np.float64)
        scale = np.abs(2 * np.asarray(c, np.float64)) + np.abs(3 * np.asarray(d, np.float64))
        bound = 0.1 * RTOL[_narrowest([c, out])] * (scale + np.max(scale, initial=0.0) + 1e-3)
        assert np.all(np.abs(m - expected) <= bound), f"input {position}: the rule is not linear in the cotangent"


def _check_wanted(op: Any, inputs: Any, out: Any, ct: Any, cts: Any) -> None:
    """Each cotangent asked for alone is the same, and the others are None."""
    for chosen in range(-1, len(inputs)):
        asked = [i == chosen and differentiable(x) for i, x in enumerate(inputs)]
        found = op.vjp(ct, inputs, out, asked)
        for position, (c, full, was_asked) in enumerate(zip(found, cts, asked, strict=True)):
            if not was_asked:
                assert c is None, f"input {position}: a cotangent nobody wanted"
            else:
                same = c is full is None or np.array_equal(c, full, equal_nan=True)
                assert same, f"input {position}: another cotangent when asked for alone"
