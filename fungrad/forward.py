"""Forward mode as users call it: `jvp`, `linearize` and the transposition of linear functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import check_callable, flatten_arguments, function_name, parameter_names
from fungrad.errors import ArgumentError, NotDifferentiableError
from fungrad.ir.types import type_of
from fungrad.numpy.promotion import frozen
from fungrad.primitives.create import full, zeros_like
from fungrad.results import FlatFunction, matching_leaves, own
from fungrad.trace import Tracer, trace
from fungrad.transforms.jvp import filled
from fungrad.transforms.jvp import linearize as flat_linearize
from fungrad.transforms.linear import why_not_linear
from fungrad.transforms.vjp import graph_vjp

Function = Callable[..., Any]


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """Evaluate `f` and push tangents through it: the Jacobian at `primals` applied to `tangents`.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of arrays.
        primals: a tuple or list of its arguments.
        tangents: one pytree for each primal, its leaves of the shapes and dtypes of the primal's. None for a leaf or a
            whole pytree stands for zero, and is what an integer or a boolean takes.
        has_aux: whether `f` returns `(out, aux)`.

    Returns:
        `(out, out_tangent)`, or `(out, out_tangent, aux)`: pytrees like the result of `f`. The tangent of a leaf
        that is not a float is zero.

    Raises:
        TreeError, ShapeError: a tangent does not have the structure, shape or dtype of its primal.
        NotDifferentiableError: a tangent is given for an integer or a boolean.

    >>> out, tangent = jvp(lambda x: x**3, (2.0,), (1.0,))
    >>> float(out), float(tangent)
    (8.0, 12.0)
    """
    check_callable("jvp", f)
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise ArgumentError(
                f"jvp: {name} must be a tuple or list with one entry for each argument of {function_name(f)}, got "
                f"{type(given).__name__}. For one argument write jvp(f, (x,), (t,))."
            )
    if len(primals) != len(tangents):
        raise ArgumentError(f"jvp: got {len(primals)} primals and {len(tangents)} tangents; each primal needs one.")
    flat, results, pushforward, read = _linearized("jvp", f, tuple(primals), has_aux)
    given = read(tuple(tangents))
    outs = flat.outs(results)
    found = own(filled(pushforward(given)[: len(outs)], outs), given)
    out = tree.unflatten(flat.out, own(outs))
    out_tangent = tree.unflatten(flat.out, found)
    return (out, out_tangent, flat.aux_of(results)) if has_aux else (out, out_tangent)


def linearize(f: Function, *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate `f(*primals)` and return the result with the Jacobian there as a function.

    The function is recorded once; pushing a tangent through it repeats only the linear part. Args as in `vjp`.

    Returns:
        `(out, pushforward)`, or `(out, pushforward, aux)`. `pushforward(*tangents)` takes a pytree for each primal
        (None for zero) and returns the tangent of `out`. It may be called several times.

    >>> out, pushforward = linearize(np.sin, 0.0)
    >>> float(pushforward(2.0))
    2.0
    """
    check_callable("linearize", f)
    flat, results, flat_pushforward, read = _linearized("linearize", f, primals, has_aux)
    outs = [x.copy() if type(x) is np.ndarray else x for x in flat.outs(results)]

    def pushforward(*tangents: Any) -> Any:
        if len(tangents) != len(primals):
            raise ArgumentError(
                f"pushforward: got {len(tangents)} tangents for {len(primals)} primals; each primal needs one."
            )
        given = read(tangents)
        found = filled(flat_pushforward(given)[: len(outs)], outs)
        return tree.unflatten(flat.out, own(found, given))

    out = tree.unflatten(flat.out, outs)
    return (out, pushforward, flat.aux_of(results)) if has_aux else (out, pushforward)


def linear_transpose(f: Function, *primals: Any) -> Function:
    """The transpose of a linear function.

    Args:
        f: a linear function of pytrees of float arrays, written in NumPy. It is traced, not run.
        primals: arguments of the types it takes; anything with a shape and a dtype, the values do not matter.

    Returns:
        A function from a cotangent of the result (a pytree like it) to a tuple with one cotangent for each primal.

    Raises:
        NotDifferentiableError: an operation of `f` is not linear; the message names it.

    >>> transposed = linear_transpose(lambda x: x[:2] * 3.0, np.zeros(4))
    >>> transposed(np.array([1.0, 2.0]))[0]
    array([3., 6., 0., 0.])
    """
    check_callable("linear_transpose", f)
    names = parameter_names(f, len(primals))
    leaves = flatten_arguments(tree.map(_example, primals), lambda: names)
    flat = FlatFunction("linear_transpose", f, leaves.structure)
    types = [type_of(x) for x in leaves.values]
    graph, captures = trace(lambda *xs: flat.outs(flat(*xs)), types, purpose="linear_transpose")
    wanted = [False] * len(captures) + [t.is_float for t in types]
    problem = why_not_linear(graph, wanted)
    if problem is not None:
        raise NotDifferentiableError(f"linear_transpose: {function_name(f)} is not linear: {problem}.")
    outs = [full(x.type.shape, 0, x.type.dtype) for x in graph.outputs]

    def transposed(ct: Any) -> Any:
        cts = matching_leaves("linear_transpose", "ct", ct, flat.out, outs, "the output")
        zeros = [zeros_like(x) for x in leaves.values]
        at_zero, pullback = graph_vjp(graph, [*captures, *zeros], wanted)
        if any(not isinstance(x, Tracer) and np.any(x) for x in at_zero):
            raise NotDifferentiableError(
                f"linear_transpose: {function_name(f)} is not linear: at zero it is not zero, so it adds a constant."
            )
        found = iter(pullback(cts))
        every = [next(found) if asked else None for asked in wanted[len(captures) :]]
        return tree.unflatten(leaves.structure, own(filled(every, zeros), cts))

    return transposed


def _example(x: Any) -> Any:
    """Zeros of the type of anything that has one."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return np.broadcast_to(np.zeros((), x.dtype), x.shape)
    return x


def _linearized(transform: str, f: Function, primals: tuple[Any, ...], has_aux: bool) -> Any:
    """The flat function, its results, its flat pushforward, and what reads tangents for it."""

    def names() -> list[str]:
        return parameter_names(f, len(primals))

    leaves = flatten_arguments(primals, names)
    flat = FlatFunction(transform, f, leaves.structure, has_aux)
    # the pushforward may run after the user has changed the arrays in place, so it works on arrays of its own
    values = [frozen(x) if type(x) is np.ndarray else x for x in leaves.values]
    results, pushforward = flat_linearize(flat, values, transform, leaves.weak)

    def read(tangents: Any) -> list[Any]:
        return matching_leaves(transform, "tangents", tangents, leaves.structure, values, "the primals")

    return flat, results, pushforward, read
