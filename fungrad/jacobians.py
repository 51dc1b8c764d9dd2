"""Whole Jacobians and Hessians, one basis vector at a time but all at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.api import grad
from fungrad.arguments import (
    check_callable,
    check_differentiable,
    flatten_arguments,
    function_name,
    parameter_names,
    positions,
    with_others_fixed,
)
from fungrad.errors import ArgumentError, NotDifferentiableError
from fungrad.forward import jvp
from fungrad.ir.types import type_of
from fungrad.numpy.promotion import frozen
from fungrad.results import FlatFunction, own
from fungrad.transforms.jvp import filled
from fungrad.transforms.jvp import linearize as flat_linearize
from fungrad.transforms.vjp import vjp as flat_vjp
from fungrad.vmapped import vmap

Function = Callable[..., Any]


def jacfwd(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The Jacobian of a function, column by column, by forward mode: right for more outputs than inputs.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of float arrays.
        argnums: which positional argument, or tuple of arguments, to differentiate.
        has_aux: whether `f` returns `(out, aux)`.

    Returns:
        A function of the same arguments. For each leaf of the result it returns a pytree like the argument (a tuple of
        them for a tuple of argnums), whose leaves have the shape of the output followed by that of the input. With
        `has_aux`, `(jacobian, aux)`.

    Raises:
        NotDifferentiableError: a leaf of the argument or of the result is not a float.

    >>> jacfwd(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def columns(flat: FlatFunction, values: Sequence[Any], weak: Sequence[bool]) -> tuple[list[Any], list[Any]]:
        results, pushforward = flat_linearize(flat, values, "jacfwd", weak)
        outs = flat.outs(results)

        def pushed(*basis: Any) -> list[Any]:
            return filled(pushforward(basis)[: len(outs)], outs)

        return results, [_split(x, values, after=True) for x in vmap(pushed)(*_basis(values))]

    return _jacobian("jacfwd", f, argnums, has_aux, columns)


def jacrev(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The Jacobian of a function, row by row, by reverse mode: right for more inputs than outputs.

    Args, result and errors as `jacfwd`.

    >>> jacrev(lambda A, x: A @ x, 1)(np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2))
    array([[1., 2.],
           [3., 4.]])
    """

    def rows(flat: FlatFunction, values: Sequence[Any], weak: Sequence[bool]) -> tuple[list[Any], list[Any]]:
        results, pullback = flat_vjp(flat, values, "jacrev", weak)
        outs = flat.outs(results)
        others = [None] * (len(results) - len(outs))

        def pulled(*basis: Any) -> list[Any]:
            return pullback([*basis, *others])

        columns = [_split(x, outs, after=False) for x in vmap(pulled)(*_basis(outs))]
        return results, [list(row) for row in zip(*columns, strict=True)]

    return _jacobian("jacrev", f, argnums, has_aux, rows)


jacobian = jacrev


def hessian(f: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """The matrix of second derivatives of a function, by forward over reverse mode.

    Args and errors as `jacfwd`.

    Returns:
        A function of the same arguments. For a scalar `f` of one array of shape s it returns an array of shape s + s,
        in the dtype of the argument; for a pytree, a pytree like it of such pytrees: `hessian(f)(p)['w']['b']` has the
        shape of `p['w']` followed by that of `p['b']`. Outputs that are not scalar come first, as in `jacfwd`.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacfwd(jacrev(f, argnums, has_aux), argnums, has_aux)


def hvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The Hessian of a scalar function times a vector, for about the cost of four evaluations.

    Args:
        f: a function that returns one real number.
        primals: a tuple of its arguments.
        tangents: one for each primal, as in `jvp`.

    Returns:
        A pytree like the primal, or a tuple of them for several, with their shapes and dtypes.

    Raises:
        NonScalarError: `f` returned something other than one real number.
        ArgumentError, TreeError, ShapeError, DtypeError: primals and tangents are not tuples of the same structure,
            shapes and dtypes.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", 1994; forward over reverse mode.

    >>> hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    array([6., 0.])
    """
    for name, values in (("primals", primals), ("tangents", tangents)):
        if not isinstance(values, tuple | list):
            raise ArgumentError(f"hvp: {name} must be a tuple, got {type(values).__name__}. Write hvp(f, (x,), (t,)).")
    argnums = tuple(range(len(primals))) if len(primals) > 1 else 0
    return jvp(grad(f, argnums), primals, tangents)[1]


def _jacobian(transform: str, f: Function, argnums: Any, has_aux: bool, blocks: Callable[..., Any]) -> Function:
    """What both modes share; `blocks` gives all results and, for each output, its derivative by each input."""
    check_callable(transform, f)

    @functools.wraps(f, updated=())
    def matrix(*args: Any, **kwargs: Any) -> Any:
        wanted = positions(transform, argnums, len(args))

        def names() -> list[str]:
            every = parameter_names(f, len(args))
            return [every[i] for i in wanted]

        leaves = flatten_arguments([args[i] for i in wanted], names)
        check_differentiable(transform, leaves, names)
        flat = FlatFunction(transform, with_others_fixed(f, wanted, args, kwargs), leaves.structure, has_aux)
        values = [frozen(x) if type(x) is np.ndarray else x for x in leaves.values]
        results, found = blocks(flat, values, leaves.weak)
        for x, path in zip(flat.outs(results), tree.key_paths(flat.out, "the result"), strict=True):
            if not type_of(x).is_float:
                raise NotDifferentiableError(
                    f"{transform}: {path} of {function_name(f)} has type {type_of(x)}, which has no derivative. Return "
                    "it as aux with has_aux=True."
                )
        by_output = []
        for row in found:
            inner = tree.unflatten(leaves.structure, own(row))
            by_output.append(inner if isinstance(argnums, tuple | list) else inner[0])
        jacobian = tree.unflatten(flat.out, by_output)
        return (jacobian, flat.aux_of(results)) if has_aux else jacobian

    return matrix


def _basis(values: Sequence[Any]) -> list[Any]:
    """For each value a batch of all unit vectors of all values together: its part of them."""
    sizes = [x.size for x in values]
    total, start = sum(sizes), 0
    parts = []
    for x, size in zip(values, sizes, strict=True):
        parts.append(np.eye(total, size, -start, x.dtype).reshape((total, *x.shape)))
        start += size
    return parts


def _split(x: Any, values: Sequence[Any], after: bool) -> list[Any]:
    """A result for all unit vectors of all values, along axis 0, as one array for each value.

    The axes of the value come after those of the result, or before them.
    """
    parts, start = [], 0
    rest = x.shape[1:]
    for value in values:
        part = x[start : start + value.size]
        start += value.size
        part = np.moveaxis(part, 0, -1).reshape((*rest, *value.shape)) if after else part.reshape((*value.shape, *rest))
        parts.append(part)
    return parts
