"""Comparisons of derivatives with differences, for functions of a flat list of float arrays.

A random direction for each argument finds every mistake in a derivative, since derivatives are linear; only when
something is wrong is it looked for element by element, so that the message can say where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import FungradError
from fungrad.testing.differences import NOISE, Slope, slope
from fungrad.testing.values import random_direction

Flat = Callable[..., Sequence[Any]]  # of float arrays, returns float arrays

DEFAULT = {np.dtype(np.float64): 1e-7, np.dtype(np.float32): 2e-4}
LOCATED = 2000  # elements that are looked at one by one


class Tolerance(NamedTuple):
    """What a comparison allows; None stands for `DEFAULT`."""

    atol: float | None = None
    rtol: float | None = None
    eps: float | None = None

    def bound(self, dtypes: Sequence[Any], scale: Any) -> Any:
        """How far two numbers of that scale may be apart, if they were computed in these dtypes."""
        default = max([DEFAULT[np.dtype(dtype)] for dtype in dtypes], default=DEFAULT[np.dtype(np.float64)])
        rtol = default if self.rtol is None else self.rtol
        atol = default if self.atol is None else self.atol
        return atol + rtol * scale


DEFAULTS = Tolerance()


class Point(NamedTuple):
    """A flat function and where it is differentiated.

    - f: the function.
    - xs: its arguments.
    - names: what messages call each argument.
    - out_names: what they call each result.
    - tolerance: what is allowed.
    """

    f: Flat
    xs: Sequence[Any]
    names: Sequence[str]
    out_names: Sequence[str]
    tolerance: Tolerance = DEFAULTS

    def slope(self, directions: dict[int, Any], weights: Sequence[Any] | None = None) -> Slope:
        """The derivative of the results along directions for some arguments, by differences in float64.

        Args:
            directions: from the position of an argument to its direction.
            weights: arrays like the results, to differentiate <weights, results> instead; None for zero.
        """
        outs = self.f(*self.xs)
        dtypes = [x.dtype for x in (*self.xs, *outs)]
        xs, wide = self._widened()

        def at(s: float) -> Any:
            moved = list(xs)
            for i, v in directions.items():
                moved[i] = (xs[i] + s * np.asarray(v, np.float64)).astype(xs[i].dtype)[()]
            found = self.f(*moved)
            if weights is None:
                return _vector(found)
            return np.atleast_1d(sum((_inner(w, x) for w, x in zip(weights, found, strict=True)), 0.0))

        noise = max((NOISE[x.dtype] for x in (*xs, *wide)), default=NOISE[np.dtype(np.float64)])
        return slope(at, lambda value: 0.1 * self.tolerance.bound(dtypes, np.abs(value)), self.tolerance.eps, noise)

    def _widened(self) -> tuple[list[Any], Sequence[Any]]:
        """The arguments in float64, if the function takes them so, and its results there."""
        wide = [np.asarray(x, np.float64)[()] for x in self.xs]
        try:
            return wide, self.f(*wide)
        except FungradError:
            return list(self.xs), self.f(*self.xs)


def _vector(values: Sequence[Any]) -> Any:
    return np.concatenate([np.zeros(0), *(np.asarray(x, np.float64).reshape(-1) for x in values)])


def _inner(x: Any, y: Any) -> Any:
    return 0.0 if x is None else np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))


def size_of_inner(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[float, float]:
    """The inner product of two lists of arrays, None for zero, and the sum of the products' magnitudes."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    products = [np.asarray(x, np.float64) * np.asarray(y, np.float64) for x, y in pairs]
    return sum(float(p.sum()) for p in products), sum(float(np.abs(p).sum()) for p in products)


def compare_modes(
    name: str, cts: Sequence[Any], pushed: Sequence[Any], tangents: Sequence[Any], pulled: Sequence[Any]
) -> None:
    """Check that <ct, J t> = <J^T ct, t> up to rounding."""
    left, size = size_of_inner(cts, pushed)
    right, other = size_of_inner(pulled, tangents)
    narrow = any(x is not None and x.dtype == np.float32 for x in (*cts, *pushed, *tangents, *pulled))
    bound = (2e-5 if narrow else 1e-10) * (size + other + 1e-3)
    assert abs(left - right) <= bound, (
        f"{name}: forward and reverse mode disagree: <ct, J t> = {left:.15g}, but <J^T ct, t> = {right:.15g}"
    )


def compare_types(what: str, found: Sequence[Any], expected: Sequence[Any], names: Sequence[str]) -> None:
    """Raise AssertionError unless values have the shapes and dtypes of others. None is of any type."""
    assert len(found) == len(expected), f"{what}: {len(found)} values, expected {len(expected)}"
    for x, y, name in zip(found, expected, names, strict=True):
        if x is not None:
            assert x.shape == y.shape, f"{what}: {name} has shape {x.shape}, expected {y.shape}"
            assert x.dtype == y.dtype, f"{what}: {name} has dtype {x.dtype}, expected {y.dtype}"


def compare_values(what: str, found: Sequence[Any], expected: Sequence[Any], names: Sequence[str], rtol: float) -> None:
    """Raise AssertionError unless arrays are equal up to rounding; says where they differ most.

    Args:
        what: what the message begins with.
        found: arrays or NumPy scalars.
        expected: those they should be.
        names: what the message calls each.
        rtol: how far floats may be off, relative to the largest of their array or to 1.
    """
    compare_types(what, found, expected, names)
    for x, y, name in zip(map(np.asarray, found), map(np.asarray, expected), names, strict=True):
        if x.dtype.kind == "f":
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            off = np.abs(x.astype(np.float64) - y)
            scale = np.max(np.abs(y), initial=1.0, where=np.isfinite(y))
            wrong = np.where(same | (off <= rtol * scale), 0.0, np.where(np.isnan(off), np.inf, off))
        else:
            wrong = (x != y).astype(float)
        if np.any(wrong):
            at = np.unravel_index(np.argmax(wrong), x.shape) if x.ndim else ()
            raise AssertionError(f"{what}: {element(name, at)} is {x[at]!s}, expected {y[at]!s} (allowed: {rtol:.2g})")


def element(name: str, index: Sequence[Any]) -> str:
    """How a user writes an element."""
    return f"{name}[{', '.join(str(int(i)) for i in index)}]" if len(index) else name


def compare_pushed(what: str, point: Point, tangents: Sequence[Any], pushed: Sequence[Any]) -> None:
    """Compare the tangents of the results, None for zero, with differences along those of the arguments."""
    outs = point.f(*point.xs)
    directions = {i: t for i, t in enumerate(tangents) if t is not None}
    if not directions:
        assert not any(t is not None and np.any(t) for t in pushed), f"{what}: a tangent out of nothing"
        return
    found = _vector([np.zeros(x.shape) if t is None else t for t, x in zip(pushed, outs, strict=True)])
    expected = point.slope(directions)
    dtypes = [x.dtype for x in (*point.xs, *outs, *pushed) if x is not None]
    scale = np.abs(expected.value) + 0.1 * np.max(np.abs(expected.value), initial=0.0)
    _verdict(
        f"{what}, along a random direction of {' and '.join(point.names[i] for i in directions)}: the tangent of",
        found,
        expected,
        point.tolerance.bound(dtypes, scale),
        [element(name, at) for name, x in zip(point.out_names, outs, strict=True) for at in np.ndindex(x.shape)],
    )


def compare_pulled(
    what: str, point: Point, cts: Sequence[Any], pulled: Sequence[Any], rng: np.random.Generator
) -> None:
    """Compare the cotangents of the arguments, None for zero, with differences of <cts, results>."""
    dtypes = [x.dtype for x in (*point.xs, *point.f(*point.xs), *cts, *pulled) if x is not None]
    for position, (x, c) in enumerate(zip(point.xs, pulled, strict=True)):
        direction = random_direction(x, rng)
        expected = point.slope({position: direction}, cts)
        found, size = size_of_inner([c], [direction])
        bound = point.tolerance.bound(dtypes, np.abs(expected.value) + size)
        if abs(found - expected.value[0]) <= bound[0] + expected.error[0] and expected.error[0] <= 10 * bound[0]:
            continue
        for at in list(np.ndindex(x.shape))[:LOCATED]:
            unit = np.zeros(x.shape)
            unit[at] = np.maximum(1.0, np.abs(x[at]))
            estimate = point.slope({position: unit}, cts)
            here = 0.0 if c is None else float(c[at]) * unit[at]
            _verdict(
                f"{what}: the cotangent of",
                np.array([here]) / unit[at],
                Slope(estimate.value / unit[at], estimate.error / unit[at], estimate.step * unit[at]),
                point.tolerance.bound(dtypes, np.abs(estimate.value)) / unit[at],
                [element(point.names[position], at)],
            )
        _verdict(
            f"{what}, along a random direction: the inner product with the cotangent of",
            np.array([found]),
            expected,
            bound,
            [point.names[position]],
        )


def _verdict(what: str, found: Any, expected: Slope, bound: Any, names: Sequence[str]) -> None:
    """Raise AssertionError where numbers are not those of the differences, or the differences are of no use."""
    off = np.abs(found - expected.value)
    good = (off <= bound + expected.error) & (expected.error <= 10 * bound)
    if np.all(good):
        return
    worst = int(np.argmax(np.where(good, -1.0, np.where(np.isnan(off), np.inf, off / bound))))
    value, error, step = (float(x[worst]) for x in expected)
    if not error <= 10 * bound[worst]:
        raise AssertionError(
            f"{what} {names[worst]} is {found[worst]:.10g}, but central differences do not settle there: {value:.10g} "
            f"with an error of about {error:.2g} (step {step:.2g}). Is the function smooth at these arguments? Check "
            "it at others, or pass eps, a step within which it is."
        )
    raise AssertionError(
        f"{what} {names[worst]} is {found[worst]:.10g}, expected {value:.10g} by central differences "
        f"(step {step:.2g}, error about {error:.2g}; allowed: {bound[worst]:.2g})"
    )
