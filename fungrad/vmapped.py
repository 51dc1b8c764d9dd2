"""`vmap`: a function of one example as a function of many; the mathematics is in `transforms/batch.py`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, check_callable, function_name, leaf_paths, parameter_names
from fungrad.axes import Axis, Extent, argument_axes, check_axes, check_axis_size, common_size, from_front, leaf_axes
from fungrad.errors import ArgumentError
from fungrad.ir.types import array_type
from fungrad.primitives.shape import move_axis
from fungrad.results import own
from fungrad.trace import Trace, Tracer, check_end, trace
from fungrad.transforms.batch import evaluate_batched, repeat

Function = Callable[..., Any]


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0, axis_size: int | None = None) -> Function:
    """A function that applies `f` to many examples at once, without a loop.

    Args:
        f: a function of one example: of arrays and pytrees of arrays, written in NumPy.
        in_axes: which axis of the positional arguments counts the examples: an int for all of them, or a tuple with
            one item for each: an int (negative counts from the end), None for an argument that all examples share, or
            a pytree of these that is a prefix of the argument. Shared leaves may be anything; numbers reach `f` as they
            are. Keyword arguments are mapped over axis 0.
        out_axes: where the axis of the examples goes in the result: an int, None for what is the same for all
            examples, or a pytree of these that is a prefix of the result.
        axis_size: how many examples there are; needed only if no argument is mapped.

    Returns:
        A function of the same arguments, each mapped leaf with one axis more, that returns the pytree `f` returns,
        each leaf with one axis more. Results that do not depend on the example are repeated.

    Raises:
        AxisError: a leaf does not have the axis it is mapped over.
        ShapeError: mapped axes have different extents.
        TreeError: `in_axes` or `out_axes` is not a prefix of the arguments or the result.
        ArgumentError: a Python number is mapped, nothing says how many examples there are, or `out_axes` is None for
            a result that differs between examples.

    >>> vmap(np.dot)(np.ones((5, 3)), np.ones((5, 3)))
    array([3., 3., 3., 3., 3.])
    >>> vmap(fg.grad(lambda w, x: np.tanh(w @ x)), in_axes=(None, 0))(np.ones(3), np.ones((5, 3))).shape
    (5, 3)
    """
    check_callable("vmap", f)
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    check_axes("in_axes", in_axes)
    if not (in_axes is None or isinstance(in_axes, tuple | int | np.integer)):
        raise ArgumentError(
            f"vmap: in_axes must be an int, None or a tuple with one item for each positional argument, got {in_axes}."
        )
    check_axes("out_axes", out_axes)
    check_axis_size(axis_size)

    @functools.lru_cache(maxsize=128)
    def layout(structure: tree.TreeDef) -> _Layout:
        """What depends on the structure of the arguments alone."""
        positional, named = structure.children
        names = parameter_names(f, len(positional.children))
        axes = [*argument_axes(in_axes, names, positional.children), *[0] * named.leaves]
        return _Layout(axes, [*leaf_paths(positional, names), *leaf_paths(named, named.meta)])

    @functools.wraps(f, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = tree.flatten((args, kwargs))
        examples = _read(leaves, layout(structure), axis_size)

        def example(shared: Trace, tracers: Sequence[Any]) -> Any:
            """`f` for one example. Shared arrays are traced too, by a level that knows their values: then tracers may
            index them, and operators in place do not change them."""
            own = dict(zip(examples.positions, tracers, strict=True))
            full = [
                own[i] if i in own else shared.input(x) if _is_traced_if_shared(x) else x for i, x in enumerate(leaves)
            ]
            given, named = tree.unflatten(structure, full)
            return f(*given, **named)

        return _apply(example, examples, out_axes, f"the result of {function_name(f)}", leaves)

    return mapped


class _Layout(NamedTuple):
    """What `in_axes` says of each leaf of the arguments."""

    axes: list[Axis]
    paths: list[str]


class _Examples(NamedTuple):
    """The mapped leaves of a call."""

    size: int
    positions: list[int]  # among all leaves
    values: list[Any]  # with the examples along the leading axis


def _read(leaves: Sequence[Any], layout: _Layout, axis_size: int | None) -> _Examples:
    """Take the mapped leaves, checked, and bring their axes to the front."""
    positions: list[int] = []
    values: list[Any] = []
    extents: list[Extent] = []
    for position, (leaf, axis, path) in enumerate(zip(leaves, layout.axes, layout.paths, strict=True)):
        if axis is None:
            if _is_traced_if_shared(leaf):
                as_leaf(leaf, path)  # of a dtype that can be traced
            continue
        value, weak = as_leaf(leaf, path)
        if weak:
            raise ArgumentError(
                f"vmap: {path} is a Python number, which has no axis to map over. Put None at its place in in_axes, "
                "or pass an array with one number for each example."
            )
        axis = from_front("in_axes", axis, path, value)
        positions.append(position)
        values.append(move_axis(value, axis, 0))
        extents.append(Extent(path, axis, value.shape[axis]))
    return _Examples(common_size(extents, axis_size), positions, values)


def _is_traced_if_shared(leaf: Any) -> bool:
    """Whether a leaf that all examples share is traced; numbers and all else reach the function as they are."""
    return type(leaf) is np.ndarray and leaf.ndim > 0


def _apply(example: Function, examples: _Examples, out_axes: Any, name: str, leaves: Sequence[Any]) -> Any:
    """The result of a function of one example for all of them. Arrays among `leaves` are not shared with it."""
    structure = tree.LEAF
    axes: list[Axis] = []
    paths: list[str] = []
    results: list[Any] = []  # what all examples share with `out_axes` None goes to the user as it is
    traced: list[int] = []

    def flat(*tracers: Any) -> list[Any]:
        nonlocal structure
        found, structure = tree.flatten(example(shared, tracers))
        inside: list[Any] = []
        axes[:] = leaf_axes("out_axes", out_axes, name, structure)
        paths[:] = tree.key_paths(structure, name)
        for i, x in enumerate(found):
            if axes[i] is not None or type(x) is Tracer:
                x, _ = as_leaf(x, paths[i])
                traced.append(i)
                inside.append(x)
                x = None
            results.append(x)
        return inside

    with Trace("vmap", concrete=True) as shared:
        types = [array_type(x.shape[1:], x.dtype) for x in examples.values]
        graph, captures = trace(flat, types, purpose="vmap", whole=False)
    arguments = [*(x.value if x.owner is shared else x for x in captures), *examples.values]
    batched = [*[False] * len(captures), *[True] * len(examples.values)]
    found = evaluate_batched(graph, examples.size, arguments, batched)
    placed = [_place(x, has, examples.size, axes[i], paths[i]) for i, x, has in zip(traced, *found, strict=True)]
    for i, x in zip(traced, own(placed, leaves), strict=True):
        results[i] = x
    del captures
    check_end(shared)
    return tree.unflatten(structure, results)


def _place(x: Any, batched: bool, size: int, axis: Axis, path: str) -> Any:
    """One result with the axis of the examples where `out_axes` puts it."""
    if axis is None:
        if batched:
            raise ArgumentError(
                f"vmap: out_axes is None for {path}, but it depends on the example. Give the axis that shall count "
                "the examples, or reduce over them after vmap."
            )
        return x
    x = x if batched else repeat(x, size)
    return move_axis(x, 0, from_front("out_axes", axis, path, x))
