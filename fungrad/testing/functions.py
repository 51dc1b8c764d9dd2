"""Checks of the derivatives of functions: `check_grads`, `check_jvp`, `check_vjp`. Names and arguments are JAX's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.api import vjp
from fungrad.arguments import function_name
from fungrad.errors import ArgumentError
from fungrad.forward import jvp
from fungrad.testing.compare import (
    DEFAULTS,
    Flat,
    Point,
    Tolerance,
    compare_modes,
    compare_pulled,
    compare_pushed,
    compare_types,
    compare_values,
)
from fungrad.testing.leaves import arguments, floats, matching, of_floats, pair, replaced, result
from fungrad.testing.values import Untouched, differentiable, random_direction, random_like
from fungrad.transforms.jvp import filled

Function = Callable[..., Any]
SAME = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}  # what is computed twice, up to rounding


def check_grads(
    f: Function,
    args: Sequence[Any],
    order: int = 1,
    modes: str | Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check the derivatives of a function against central differences, to any order.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of arrays. It is smooth at `args`.
        args: a tuple of its arguments. Integers and booleans are held fixed.
        order: up to which order; derivatives of derivatives are checked in every pairing of the modes.
        modes: "fwd" for `jvp`, "rev" for `vjp`, or both, which are then compared with each other, too.
        atol, rtol: how far a derivative may be from the differences, besides the estimated error of these; by default
            1e-7 if everything is float64, else 2e-4. Differences are computed in float64 wherever `f` takes it.
        eps: the step of the differences; by default several are tried, from 1/32 times the arguments' size downwards.

    Raises:
        AssertionError: a derivative is wrong, or `f` changed an argument; the message says which argument, which index,
            what was expected and found, and the step.
        ArgumentError: `args` is not a tuple or list of arguments, or an option has no meaning.

    >>> check_grads(lambda w, x: np.tanh(x @ w), (np.ones((3, 2)), np.ones(3)), order=2)
    """
    values, structure, paths = arguments("check_grads", f, args)
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if not modes or not set(modes) <= {"fwd", "rev"}:
        raise ArgumentError(f"check_grads: modes must be 'fwd', 'rev' or both, got {modes!r}.")
    if order < 1:
        raise ArgumentError(f"check_grads: order must be at least 1, got {order!r}.")
    xs = floats(values, values)
    if not xs:
        raise ArgumentError(f"check_grads: no argument of {function_name(f)} is a float; there is nothing to check.")
    untouched = Untouched(values)
    flat, out_names = of_floats(f, values, structure)
    names = floats(paths, values)
    check_derivatives(function_name(f), flat, xs, names, out_names, order, modes, Tolerance(atol, rtol, eps))
    untouched.check(f"check_grads of {function_name(f)}")


def check_derivatives(
    name: str,
    f: Flat,
    xs: Sequence[Any],
    names: Sequence[str],
    out_names: Sequence[str],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    tolerance: Tolerance = DEFAULTS,
    first: bool = True,
) -> None:
    """Check a flat function of float arrays, then its derivatives along random directions as functions of these arrays.

    Args:
        name: what messages call the function.
        f: takes float arrays and returns a list of them.
        xs: where.
        names: what messages call the arguments.
        out_names: what they call the results.
        order, modes: as in `check_grads`.
        tolerance: what is allowed.
        first: whether derivatives of the first order are checked.
    """
    rng = np.random.default_rng(len(name))
    directions = [random_direction(x, rng) for x in xs]
    weights = [random_like(x, rng) for x in f(*xs)]
    if first:
        point = Point(f, xs, names, out_names, tolerance)
        pushed = _check_pushforward(f"jvp of {name}", point, partial(jvp, f)) if "fwd" in modes else None
        pulled = _check_pullback(f"vjp of {name}", point, partial(vjp, f)) if "rev" in modes else None
        if pushed and pulled:
            compare_modes(name, weights, pushed(directions), directions, pulled(weights))
    if order > 1 and "fwd" in modes:
        along = along_direction(f, directions)
        check_derivatives(f"jvp of {name}", along, xs, names, out_names, order - 1, modes, tolerance)
    if order > 1 and "rev" in modes:
        ct_names = [f"the cotangent of {n}" for n in names]
        back = pulled_back(f, weights)
        check_derivatives(f"vjp of {name}", back, xs, names, ct_names, order - 1, modes, tolerance)


def along_direction(f: Flat, tangents: Sequence[Any]) -> Flat:
    """The derivative of a flat function along a direction, as a function of its arguments."""

    def along(*xs: Any) -> list[Any]:
        return list(jvp(f, xs, [t.astype(x.dtype) for t, x in zip(tangents, xs, strict=True)])[1])

    return along


def pulled_back(f: Flat, cts: Sequence[Any]) -> Flat:
    """The pullback of a flat function at fixed cotangents, as a function of its arguments."""

    def back(*xs: Any) -> list[Any]:
        out, pullback = vjp(f, *xs)
        return list(pullback([c.astype(x.dtype) for c, x in zip(cts, out, strict=True)]))

    return back


def check_jvp(
    f: Function,
    f_jvp: Function,
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Check an implementation of the pushforward of a function against central differences.

    Args:
        f: the function.
        f_jvp: what is checked: `f_jvp(primals, tangents)` returns `(out, out_tangent)`, as `functools.partial(jvp, f)`
            does. A tangent is None for what is not a float.
        args: a tuple of arguments.
        atol, rtol, eps: as in `check_grads`.
        err_msg: what a message begins with.

    Raises:
        AssertionError: the results or a tangent are wrong; see `check_grads`.

    >>> check_jvp(np.sin, lambda primals, tangents: (np.sin(*primals), np.cos(*primals) * tangents[0]), (0.5,))
    """
    values, structure, paths = arguments("check_jvp", f, args)
    flat, out_names = of_floats(f, values, structure)

    def flat_jvp(xs: Sequence[Any], ts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        primals = tree.unflatten(structure, replaced(values, xs))
        rest = iter(ts)
        tangents = tree.unflatten(structure, [next(rest) if differentiable(x) else None for x in values])
        out, pushed = pair("f_jvp", "(out, out_tangent)", f_jvp(primals, tangents))
        leaves, out_structure, _ = result(f, out)
        every = matching("the tangent of the result", pushed, out_structure, leaves, "the result")
        return floats(leaves, leaves), floats(filled(every, leaves), leaves)

    point = Point(flat, floats(values, values), floats(paths, values), out_names, Tolerance(atol, rtol, eps))
    _check_pushforward(err_msg or f"jvp of {function_name(f)}", point, flat_jvp)


def _check_pushforward(what: str, point: Point, flat_jvp: Function) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Check the pushforward along a direction of each argument and of all; gives it as a function of tangents."""
    xs = point.xs
    rng = np.random.default_rng(len(what))
    expected = point.f(*xs)
    directions = [random_direction(x, rng) for x in xs]
    zeros = [np.zeros_like(x)[()] for x in xs]
    chosen = [
        [t if i == j else z for j, (t, z) in enumerate(zip(directions, zeros, strict=True))] for i in range(len(xs))
    ]
    for tangents in [*chosen, directions] if len(xs) > 1 else chosen:
        out, pushed = flat_jvp(xs, tangents)
        compare_values(what, list(out), expected, point.out_names, _same(expected))
        compare_types(what, pushed, expected, point.out_names)
        compare_pushed(what, point, [t if np.any(t) else None for t in tangents], pushed)
    _, pushed = flat_jvp(xs, zeros)
    assert not any(np.any(t) for t in pushed), f"{what}: tangents that are zero give one that is not"
    return lambda tangents: flat_jvp(xs, tangents)[1]


def check_vjp(
    f: Function,
    f_vjp: Function,
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Check an implementation of the pullback of a function against central differences.

    Args:
        f: the function.
        f_vjp: what is checked: `f_vjp(*args)` returns `(out, pullback)`, as `functools.partial(vjp, f)` does. The
            pullback takes a pytree like `out` (None for what is not a float) and returns a tuple with a cotangent for
            each argument, in which None stands for zero.
        args: a tuple of arguments.
        atol, rtol, eps: as in `check_grads`.
        err_msg: what a message begins with.

    Raises:
        AssertionError: the results or a cotangent are wrong; see `check_grads`.

    >>> check_vjp(np.sin, lambda x: (np.sin(x), lambda ct: (ct * np.cos(x),)), (0.5,))
    """
    values, structure, paths = arguments("check_vjp", f, args)
    flat, out_names = of_floats(f, values, structure)

    def flat_vjp(*xs: Any) -> tuple[list[Any], Function]:
        full = replaced(values, xs)
        out, pullback = pair("f_vjp", "(out, pullback)", f_vjp(*tree.unflatten(structure, full)))
        leaves, out_structure, _ = result(f, out)

        def flat_pullback(cts: Sequence[Any]) -> list[Any]:
            rest = iter(cts)
            given = [next(rest) if differentiable(x) else None for x in leaves]
            found = pullback(tree.unflatten(out_structure, given))
            every = matching("the cotangent", found, structure, full, "the arguments")
            return floats(filled(every, full), full)

        return floats(leaves, leaves), flat_pullback

    point = Point(flat, floats(values, values), floats(paths, values), out_names, Tolerance(atol, rtol, eps))
    _check_pullback(err_msg or f"vjp of {function_name(f)}", point, flat_vjp)


def _check_pullback(what: str, point: Point, flat_vjp: Function) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Check the pullback for random cotangents; gives it."""
    rng = np.random.default_rng(len(what))
    expected = point.f(*point.xs)
    weights = [random_like(x, rng) for x in expected]
    out, pullback = flat_vjp(*point.xs)
    compare_values(what, list(out), expected, point.out_names, _same(expected))
    pulled = pullback(weights)
    compare_types(what, pulled, point.xs, point.names)
    compare_pulled(what, point, weights, pulled, rng)
    zeros = pullback([np.zeros_like(w)[()] for w in weights])
    assert not any(np.any(c) for c in zeros), f"{what}: cotangents that are zero give one that is not"
    return pullback  # type: ignore[no-any-return]


def _same(values: Sequence[Any]) -> float:
    return max((SAME[x.dtype] for x in values), default=0.0)
