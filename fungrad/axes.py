"""The axes that `vmap` maps over: an int for each leaf, or None for a leaf that all examples share.

Users give them as a prefix of a pytree: an int or None where the pytree has a subtree stands for all its leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.errors import ArgumentError, AxisError, ShapeError, TreeError
from fungrad.ir.types import type_of

Axis = int | None


def check_axes(name: str, axes: Any) -> None:
    """Raise ArgumentError unless every leaf of a pytree of axes is an int."""
    for axis in tree.leaves(axes):
        if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
            raise ArgumentError(
                f"vmap: {name} must be an int, None or a pytree of these, got {axis!r} in {name}={axes!r}."
            )


def leaf_axes(name: str, axes: Any, of: str, structure: tree.TreeDef) -> list[Axis]:
    """The axis of each leaf of a pytree.

    Args:
        name: what errors call the axes, such as `in_axes`.
        axes: a prefix of the pytree.
        of: what errors call the pytree.
        structure: its structure.

    Raises:
        TreeError: not a prefix; the message shows both.
    """
    found: list[Axis] = []
    if not _spread(axes, structure, found):
        raise TreeError(
            f"vmap: {name} for {of} is {axes!r}, which does not fit the structure of {of}, {structure!r}. "
            "Use one int or None for all of it, or a pytree of the same containers."
        )
    return found


def _spread(axes: Any, structure: tree.TreeDef, found: list[Axis]) -> bool:
    if axes is None or isinstance(axes, int | np.integer):
        found += [axes if axes is None else int(axes)] * structure.leaves
        return True
    parts, kind = tree.split(axes)
    if kind != (structure.kind, structure.meta) or len(parts) != len(structure.children):
        return False
    return all(_spread(part, child, found) for part, child in zip(parts, structure.children, strict=True))


def argument_axes(in_axes: Any, names: Sequence[str], structures: Sequence[tree.TreeDef]) -> list[Axis]:
    """The axis of each leaf of the positional arguments.

    Raises:
        ArgumentError: `in_axes` is a tuple of another length.
        TreeError: one of its items is not a prefix of its argument.
    """
    each = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(structures)
    if len(each) != len(structures):
        raise ArgumentError(
            f"vmap: in_axes={in_axes!r} has {len(each)} item(s), but the function was called with {len(structures)} "
            "positional argument(s). Give one item for each, None for those that are not mapped."
        )
    return [
        axis
        for axes, name, structure in zip(each, names, structures, strict=True)
        for axis in leaf_axes("in_axes", axes, name, structure)
    ]


def from_front(name: str, axis: int, path: str, x: Any) -> int:
    """An axis of `x` counted from the front.

    Raises:
        AxisError: there is no such axis.
    """
    if not -x.ndim <= axis < x.ndim:
        choice = f"an axis from {-x.ndim} to {x.ndim - 1}" if x.ndim else "None, since it has no axes"
        raise AxisError(f"vmap: {name} is {axis} for {path}, which is {type_of(x)}. Give {choice}.")
    return int(axis % x.ndim)


def check_axis_size(axis_size: Any) -> None:
    """Raise ArgumentError unless `axis_size` is None or a number of examples."""
    if axis_size is None:
        return
    if isinstance(axis_size, bool) or not isinstance(axis_size, int | np.integer) or axis_size < 0:
        raise ArgumentError(f"vmap: axis_size must be a non-negative int, got {axis_size!r}.")


class Extent(NamedTuple):
    """The extent of a mapped axis, and where it is."""

    path: str
    axis: int
    extent: int


def common_size(extents: Sequence[Extent], axis_size: int | None) -> int:
    """How many examples the mapped leaves hold.

    Raises:
        ArgumentError: nothing says how many.
        ShapeError: the leaves, or `axis_size`, disagree; the message lists them all.
    """
    sizes = {*(e.extent for e in extents), *(() if axis_size is None else (axis_size,))}
    if not sizes:
        raise ArgumentError(
            "vmap: no argument is mapped, so the number of examples is not known. Give axis_size, or map at least one "
            "argument with in_axes."
        )
    if len(sizes) > 1:
        rows = [f"{path} has {extent} along axis {axis}" for path, axis, extent in extents]
        rows += [] if axis_size is None else [f"axis_size is {axis_size}"]
        raise ShapeError(
            f"vmap: mapped axes must have one extent, but {', '.join(rows)}. Check in_axes; None leaves an argument "
            "unmapped."
        )
    return int(sizes.pop())
