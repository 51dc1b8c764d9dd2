"""The transformations as users call them: pytrees, argnums and messages; the mathematics is in `transforms`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import (
    Leaves,
    as_leaf,
    check_callable,
    flatten_arguments,
    function_name,
    leaf_paths,
    parameter_names,
    positions,
)
from fungrad.errors import ArgumentError, FungradError, NonScalarError, NotDifferentiableError, ShapeError, TreeError
from fungrad.ir.graph import Graph
from fungrad.ir.printing import identifiers
from fungrad.ir.types import type_of
from fungrad.numpy.promotion import frozen
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.results import owned
from fungrad.trace import Tracer, bind, trace
from fungrad.transforms.vjp import vjp as flat_vjp

Function = Callable[..., Any]


def grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The gradient of a scalar function.

    Args:
        f: a function of arrays and pytrees of arrays, written in NumPy, that returns one real number (0-d).
        argnums: which positional argument, or tuple of arguments, to differentiate; negative counts from the end.
        has_aux: whether `f` returns a pair `(value, aux)`; `aux` is any pytree and is returned beside the gradient.

    Returns:
        A function of the same arguments that returns the gradient: a pytree like the argument, each leaf of the shape
        and dtype of its primal (or a tuple of such pytrees for a tuple of argnums). With `has_aux`, `(gradient, aux)`.
        Keyword arguments are passed on and not differentiated.

    Raises:
        NonScalarError: `f` returned something other than one real number.
        NotDifferentiableError: a leaf to differentiate is an integer or a boolean.

    >>> float(grad(lambda x: (2 * x + 1) ** 2)(3.0))  # 8x + 4
    28.0
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """A function that returns `(f(...), grad(f)(...))` from one evaluation; see `grad`.

    With `has_aux` it returns `((value, aux), gradient)`.
    """
    check_callable("grad", f)

    @functools.wraps(f, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        wanted = positions("grad", argnums, len(args))

        def names() -> list[str]:
            every = parameter_names(f, len(args))
            return [every[i] for i in wanted]

        leaves = flatten_arguments([args[i] for i in wanted], names)
        _check_differentiable("grad", leaves, names)
        aux_structure = tree.LEAF

        def flat(*tracers: Any) -> list[Any]:
            nonlocal aux_structure
            full = list(args)
            for i, argument in zip(wanted, tree.unflatten(leaves.structure, tracers), strict=True):
                full[i] = argument
            out = f(*full, **kwargs)
            if not has_aux:
                return [_scalar(f, out)]
            value, extra = _pair("grad", f, out)
            aux, aux_structure = tree.flatten(extra)
            return [_scalar(f, value), *aux]

        values, pullback = flat_vjp(flat, leaves.values, "grad", leaves.weak)
        one = type_of(values[0]).dtype.type(1)
        gradient = tree.unflatten(leaves.structure, owned(pullback([one, *[None] * (len(values) - 1)])))
        if not isinstance(argnums, tuple | list):
            (gradient,) = gradient
        value, *aux = owned(values)
        return ((value, tree.unflatten(aux_structure, aux)) if has_aux else value), gradient

    return value_and_gradient


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate `f(*primals)` and return the result with the transposed Jacobian as a function.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of arrays.
        primals: its arguments; all leaves are floats.
        has_aux: whether `f` returns `(out, aux)`.

    Returns:
        `(out, pullback)`, or `(out, pullback, aux)`. `pullback(ct)` takes a pytree like `out` (None for a leaf that is
        not a float) and returns a tuple with one cotangent for each primal. It may be called several times.

    Raises:
        TreeError, ShapeError: a cotangent does not have the structure, shape or dtype of the output.

    >>> out, pullback = vjp(lambda A, x: A @ x, np.eye(2), np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 0.0]))[1]
    array([1., 0.])
    """
    check_callable("vjp", f)

    def names() -> list[str]:
        return parameter_names(f, len(primals))

    leaves = flatten_arguments(primals, names)
    _check_differentiable("vjp", leaves, names)
    structures: list[tree.TreeDef] = []

    def flat(*tracers: Any) -> list[Any]:
        out = f(*tree.unflatten(leaves.structure, tracers))
        if not has_aux:
            found, structure = tree.flatten(out)
            structures[:] = [structure]
            return found
        main, extra = _pair("vjp", f, out)
        found, structure = tree.flatten(main)
        aux, aux_structure = tree.flatten(extra)
        structures[:] = [structure, aux_structure]
        return [*found, *aux]

    # the pullback may run after the user has changed the arrays in place, so it works on arrays of its own
    primal_values = [frozen(x) if type(x) is np.ndarray else x for x in leaves.values]
    results, flat_pullback = flat_vjp(flat, primal_values, "vjp", leaves.weak)
    count = structures[0].leaves
    outs = [as_leaf(x, f"output {i} of {function_name(f)}")[0] for i, x in enumerate(results[:count])]
    outs = [x.copy() if type(x) is np.ndarray else x for x in outs]

    def pullback(ct: Any) -> Any:
        cts = _check_cotangents(ct, structures[0], outs)
        found = flat_pullback([*cts, *[None] * (len(results) - count)])
        return tree.unflatten(leaves.structure, owned(found, cts))

    out = tree.unflatten(structures[0], outs)
    if has_aux:
        return out, pullback, tree.unflatten(structures[1], owned(results[count:]))
    return out, pullback


def make_graph(f: Function) -> Callable[..., Graph]:
    """A function that, called with example arguments of `f`, returns the Graph that `f` computes.

    The arguments' shapes and dtypes matter, their values do not. Printing the result shows the program:

    >>> print(make_graph(lambda x: np.sin(x) * 2.0)(np.ones(3)))  # doctest: +ELLIPSIS
    { x:f64[3] ->
      a:f64[3] = sin x ...
      b:f64[3] = mul a 2.0 ...
      return b }
    """
    check_callable("make_graph", f)

    def graph(*args: Any) -> Graph:
        names = parameter_names(f, len(args))
        leaves = flatten_arguments(args, lambda: names)

        def flat(*tracers: Any) -> list[Any]:
            out, structure = tree.flatten(f(*tree.unflatten(leaves.structure, tracers)))
            return [as_leaf(x, path)[0] for x, path in zip(out, tree.key_paths(structure, "output"), strict=True)]

        found, _ = trace(
            flat,
            [type_of(x) for x in leaves.values],
            purpose="make_graph",
            name=function_name(f),
            names=identifiers(leaf_paths(leaves.structure, names)),
            weak=leaves.weak,
        )
        return found

    return graph


def stop_gradient(x: Any) -> Any:
    """`x` unchanged, as a constant for every derivative. `x` is a pytree; leaves that are not floats pass through."""

    def stop(leaf: Any) -> Any:
        return bind(ELEMENTWISE["stop_gradient"], leaf) if isinstance(leaf, Tracer) and leaf.type.is_float else leaf

    return tree.map(stop, x)


# -- checks ------------------------------------------------------------------------------------------------------------


def _check_differentiable(transform: str, leaves: Leaves, names: Callable[[], Sequence[str]]) -> None:
    for position, value in enumerate(leaves.values):
        if value.dtype.kind != "f":
            path = leaf_paths(leaves.structure, names())[position]
            raise NotDifferentiableError(
                f"{transform}: {path} has type {type_of(value)}, and there is no derivative with respect to "
                f"{'a boolean' if value.dtype.kind == 'b' else 'an integer'}. Pass a float, for example "
                f"{path}.astype(np.float64) or 3.0 instead of 3, or differentiate another argument with argnums."
            )


def _pair(transform: str, f: Function, out: Any) -> tuple[Any, Any]:
    """The result of a function under `has_aux`, checked."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(
            f"{transform} with has_aux=True: {function_name(f)} must return a pair (value, aux), but returned "
            f"{_describe(out)}."
        )
    return out


def _scalar(f: Function, out: Any) -> Any:
    """The result of a function under `grad`, checked."""
    name = function_name(f)
    try:
        (leaf,), structure = tree.flatten(out)
    except ValueError:
        leaf, structure = None, tree.structure(out)
    if structure is not tree.LEAF:
        hint = " For extra results return (value, aux) and pass has_aux=True." if isinstance(out, tuple) else ""
        raise NonScalarError(
            f"grad needs a function that returns one real number, but {name} returned {_describe(out)}.{hint}"
        )
    try:
        value, _ = as_leaf(leaf, f"the result of {name}")
    except FungradError as error:
        raise NonScalarError(f"grad needs a function that returns one real number: {error}") from None
    if value.shape or value.dtype.kind != "f":
        fix = (
            "Reduce it with np.sum or np.mean, or use vjp for a vector result."
            if value.shape
            else "Integers and booleans have no gradient; compute the loss in floating point."
        )
        raise NonScalarError(
            f"grad needs a function that returns one real number, but {name} returned {type_of(value)}. {fix}"
        )
    return value


def _describe(out: Any) -> str:
    return "None (is a `return` missing?)" if out is None else f"a {type(out).__name__} {tree.structure(out)!r}"


def _check_cotangents(ct: Any, structure: tree.TreeDef, outs: Sequence[Any]) -> list[Any]:
    """The leaves of a cotangent, checked against the outputs; None where the output has no derivative."""
    expected = tree.unflatten(structure, range(structure.leaves))
    cts: list[Any] = [None] * structure.leaves
    filled = _match(ct, expected, cts)
    if not filled:
        raise TreeError(
            f"pullback: the cotangent has the structure {tree.structure(ct)!r}, expected that of the output, "
            f"{structure!r}."
        )
    checked: list[Any] = []
    for path, given, out in zip(tree.key_paths(structure, "ct"), cts, outs, strict=True):
        if given is None or not type_of(out).is_float:
            checked.append(None)
            continue
        value, weak = as_leaf(given, path)
        value = value.astype(out.dtype) if weak and value.shape == () else value
        if value.shape != out.shape or value.dtype != out.dtype:
            raise ShapeError(f"pullback: {path} is {type_of(value)}, expected the output's type {type_of(out)}.")
        checked.append(value)
    return checked


def _match(ct: Any, expected: Any, found: list[Any]) -> bool:
    """Fill `found` with the leaves of `ct` at the places numbered in `expected`; a missing subtree (None) is zero."""
    if ct is None:
        return True
    if tree.structure(expected) is tree.LEAF:
        found[expected] = ct
        return tree.structure(ct) is tree.LEAF
    parts, shape = tree.split(ct)
    wanted, wanted_shape = tree.split(expected)
    if shape != wanted_shape or len(parts) != len(wanted):
        return False
    return all(_match(c, e, found) for c, e in zip(parts, wanted, strict=True))
