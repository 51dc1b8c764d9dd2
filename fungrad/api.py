"""The transformations as users call them: pytrees, argnums and messages; the mathematics is in `transforms`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import (
    as_leaf,
    check_callable,
    check_differentiable,
    flatten_arguments,
    function_name,
    leaf_paths,
    parameter_names,
    positions,
    with_others_fixed,
)
from fungrad.errors import FungradError, NonScalarError
from fungrad.ir.graph import Graph
from fungrad.ir.printing import identifiers
from fungrad.ir.types import type_of
from fungrad.numpy.promotion import frozen
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.results import AUX, FlatFunction, describe, matching_leaves, own, pair
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
    """The value of a scalar function with its gradient, from one evaluation.

    Args and errors as `grad`.

    Returns:
        A function of the same arguments that returns `(value, gradient)`: the number that `f` returns, of its dtype,
        and what `grad(f)` returns. With `has_aux`, `((value, aux), gradient)`.

    >>> value, gradient = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    check_callable("grad", f)

    @functools.wraps(f, updated=())
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        wanted = positions("grad", argnums, len(args))

        def names() -> list[str]:
            every = parameter_names(f, len(args))
            return [every[i] for i in wanted]

        leaves = flatten_arguments([args[i] for i in wanted], names)
        check_differentiable("grad", leaves, names)
        of_chosen = with_others_fixed(f, wanted, args, kwargs)

        def scalar(*chosen: Any) -> Any:
            if not has_aux:
                return _scalar(f, of_chosen(*chosen))
            value, aux = pair("grad", f, of_chosen(*chosen), AUX)
            return _scalar(f, value), aux

        flat = FlatFunction("grad", scalar, leaves.structure, has_aux)
        values, pullback = flat_vjp(flat, leaves.values, "grad", leaves.weak)
        one = type_of(values[0]).dtype.type(1)
        gradient = tree.unflatten(leaves.structure, own(pullback([one, *[None] * (len(values) - 1)])))
        if not isinstance(argnums, tuple | list):
            (gradient,) = gradient
        (value,) = own(values[:1])
        return ((value, flat.aux_of(values)) if has_aux else value), gradient

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
    check_differentiable("vjp", leaves, names)
    flat = FlatFunction("vjp", f, leaves.structure, has_aux)
    # the pullback may run after the user has changed the arrays in place, so it works on arrays of its own
    primal_values = [frozen(x) if type(x) is np.ndarray else x for x in leaves.values]
    results, flat_pullback = flat_vjp(flat, primal_values, "vjp", leaves.weak)
    outs = [x.copy() if type(x) is np.ndarray else x for x in flat.outs(results)]

    def pullback(ct: Any) -> Any:
        cts = matching_leaves("pullback", "ct", ct, flat.out, outs, "the output")
        found = flat_pullback([*cts, *[None] * (len(results) - len(outs))])
        return tree.unflatten(leaves.structure, own(found, cts))

    out = tree.unflatten(flat.out, outs)
    return (out, pullback, flat.aux_of(results)) if has_aux else (out, pullback)


def make_graph(f: Function) -> Callable[..., Graph]:
    """The program of a function, as the compiler and the transformations see it.

    Args:
        f: a function of arrays and pytrees of arrays, written in NumPy.

    Returns:
        A function that takes example arguments of `f`, positional ones, and returns the `Graph` that `f` computes: an
        equation for each primitive, with types such as f64[3]. Shapes and dtypes of the examples matter, values do not.

    Raises:
        ConcretizationError: `f` needs values, for an `if` for example.

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

        flat = FlatFunction("make_graph", f, leaves.structure)
        found, _ = trace(
            lambda *tracers: flat.outs(flat(*tracers)),
            [type_of(x) for x in leaves.values],
            purpose="make_graph",
            name=function_name(f),
            names=identifiers(leaf_paths(leaves.structure, names)),
            weak=leaves.weak,
        )
        return found

    return graph


def stop_gradient(x: Any) -> Any:
    """`x` unchanged, as a constant for every derivative.

    Args:
        x: a pytree of arrays and numbers, traced or not; leaves that are not floats pass through.

    Returns:
        A pytree like it, of the same shapes, dtypes and values; what depends on it has no derivative by it.

    >>> from fungrad import grad
    >>> float(grad(lambda x: x * stop_gradient(x))(3.0))  # of x c at c = 3
    3.0
    """

    def stop(leaf: Any) -> Any:
        return bind(ELEMENTWISE["stop_gradient"], leaf) if isinstance(leaf, Tracer) and leaf.type.is_float else leaf

    return tree.map(stop, x)


# -- checks ------------------------------------------------------------------------------------------------------------


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
            f"grad needs a function that returns one real number, but {name} returned {describe(out)}.{hint}"
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
