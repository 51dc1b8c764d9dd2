"""`check_batch`: `vmap` of a function against a Python loop over the examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.errors import ArgumentError
from fungrad.ir.types import type_of
from fungrad.testing.batch_rules import choices, compare_batches
from fungrad.testing.leaves import arguments, result
from fungrad.testing.values import Untouched, varied
from fungrad.vmapped import vmap

Function = Callable[..., Any]


def check_batch(
    f: Function,
    args: Sequence[Any],
    examples: Sequence[Sequence[Any]] | None = None,
    size: int = 3,
    atol: float | None = None,
    rtol: float | None = None,
) -> None:
    """Check that `vmap` of a function is a loop over the examples, for every choice of mapped leaves and every axis.

    Each leaf of the arguments is mapped or shared, and the examples lie along every axis of it, counted from both ends;
    so they do in the results. Batches of one example and of none are checked, too.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of arrays.
        args: a tuple of its arguments for one example.
        examples: such tuples for further examples, with arguments of the same structures, shapes and dtypes; by default
            they are made from `args`: floats are scaled by up to a half, integers permuted, booleans negated.
        size: how many examples there are, if they are made.
        atol, rtol: how far results may be from those of the loop; by default 1e-13 in float64 and 1e-5 in float32,
            relative to the largest number of the array.

    Raises:
        AssertionError: a result differs; the message says which leaves were mapped over which axes, and which element
            of which result is wrong.
        ArgumentError: the examples do not have the types of `args`.

    >>> check_batch(lambda A, x: A @ x, (np.ones((2, 3)), np.ones(3)))
    """
    values, structure, paths = arguments("check_batch", f, args)
    rows = _examples(f, args, examples, size)
    untouched = Untouched([x for row in rows for x in row])
    for count in (len(rows), 1, 0):
        for number, batched in enumerate(choices(len(values))):
            for turn in range(_turns(values) if number == 0 and count > 1 else 1):
                _check_mapped(f, structure, paths, rows[:count], values, batched, turn, (atol, rtol))
    untouched.check("check_batch")


def _examples(f: Function, args: Sequence[Any], given: Sequence[Sequence[Any]] | None, size: int) -> list[list[Any]]:
    """The leaves of each example."""
    values, structure, paths = arguments("check_batch", f, args)
    if given is None:
        rng = np.random.default_rng(0)
        return [[varied(x, i, rng) for x in values] for i in range(size)]
    rows = [values]
    for number, other in enumerate(given):
        leaves, other_structure, _ = arguments("check_batch", f, other)
        where = f"check_batch: examples[{number}]"
        if other_structure != structure:
            raise ArgumentError(f"{where} has the structure {other_structure}, expected that of args, {structure}.")
        for x, y, path in zip(values, leaves, paths, strict=True):
            if type_of(x) is not type_of(y):
                raise ArgumentError(f"{where}: {path} is {type_of(y)}, expected {type_of(x)} as in args.")
        rows.append(leaves)
    return rows


def _axes(ndim: int) -> list[int]:
    """The places of an axis of examples in an array of so many axes more."""
    return list(range(-ndim - 1, ndim + 1))


def _turns(values: Sequence[Any]) -> int:
    return max((len(_axes(x.ndim)) for x in values), default=1)


def _check_mapped(
    f: Function,
    structure: tree.TreeDef,
    paths: Sequence[str],
    rows: Sequence[Sequence[Any]],
    values: Sequence[Any],
    batched: Sequence[bool],
    turn: int,
    tolerance: tuple[float | None, float | None],
) -> None:
    """One choice of mapped leaves; `turn` chooses the axes."""
    in_axes: list[int | None] = []
    given = []
    for i, (x, has) in enumerate(zip(values, batched, strict=True)):
        axes = _axes(x.ndim)
        axis = axes[(turn + i) % len(axes)] if has else None
        stacked = np.array([row[i] for row in rows], x.dtype).reshape((len(rows), *x.shape))
        given.append(x if axis is None else np.moveaxis(stacked, 0, axis))
        in_axes.append(axis)
    single = [f(*tree.unflatten(structure, _mixed(row, values, batched))) for row in rows]
    leaves, out_structure, out_paths = result(f, single[0] if single else f(*tree.unflatten(structure, values)))
    out_axes = [axes[(turn + i) % len(axes)] for i, axes in enumerate(_axes(x.ndim) for x in leaves)]
    mapped = vmap(f, _tree_of_axes(structure, in_axes), tree.unflatten(out_structure, out_axes))
    found = mapped(*tree.unflatten(structure, given))
    over = ", ".join(f"{path}: {axis}" for path, axis in zip(paths, in_axes, strict=True) if axis is not None)
    what = f"vmap over {over} of {len(rows)} examples"
    assert tree.structure(found) == out_structure, (
        f"{what}: the result has the structure {tree.structure(found)}, expected {out_structure}"
    )
    for i, (x, axis, path) in enumerate(zip(tree.leaves(found), out_axes, out_paths, strict=True)):
        expected = np.array([tree.leaves(out)[i] for out in single], leaves[i].dtype)
        x = np.moveaxis(np.asarray(x), axis, 0)
        compare_batches(
            f"{what}, out_axes {axis}", x, expected.reshape((len(rows), *leaves[i].shape)), path, *tolerance
        )


def _mixed(row: Sequence[Any], values: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
    return [own if has else shared for own, shared, has in zip(row, values, batched, strict=True)]


def _tree_of_axes(structure: tree.TreeDef, axes: Sequence[Any]) -> Any:
    return tuple(tree.unflatten(structure, axes))
