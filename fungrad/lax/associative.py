"""`associative_scan`: all partial results of an associative function, in a logarithmic number of steps.

    a b c d e      pairs (a b) (c d), whose partial results (a b) (a b c d) are every second one of the whole;
                   with the next element each gives the one in between: a, (a b) c, (a b c d) e

so a scan of n elements is one of n // 2 elements and two applications of the function to many elements at once. It is
written as array operations, so all transformations follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, check_callable, flatten_arguments, function_name
from fungrad.errors import ArgumentError, AxisError, ShapeError, TreeError
from fungrad.ir.types import type_of
from fungrad.results import own


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """The partial results `elems[0]`, `fn(elems[0], elems[1])`, `fn(fn(elems[0], elems[1]), elems[2])` and so on.

    Args:
        fn: an associative function of two pytrees like `elems`, of any extent along `axis`, which it applies to each
            pair of elements. It need not be commutative.
        elems: a pytree of arrays of one extent n along `axis`.
        reverse: whether to begin with the last element: result i is of elements n - 1 down to i, as in JAX, where
            the later element is the first argument of `fn`.
        axis: which axis the elements lie along; a negative one is counted from the end of the first array's axes.

    Returns:
        A pytree like `elems`: result i is of elements 0 to i.

    Raises:
        TreeError: `fn` returns another structure, shape or dtype.
        ShapeError: the extents along `axis` differ.

    >>> associative_scan(np.maximum, np.array([1.0, 3.0, 2.0, 5.0, 4.0]))
    array([1., 3., 3., 5., 5.])
    >>> product = associative_scan(np.matmul, np.array([[[1.0, 1.0], [0.0, 1.0]]] * 5))
    >>> product[:, 0, 1]
    array([1., 2., 3., 4., 5.])
    """
    check_callable("associative_scan", fn, "fn")
    leaves = flatten_arguments([elems], lambda: ["elems"])
    structure = leaves.structure.children[0]
    if not leaves.values:
        return elems
    along = _axis(axis, leaves.values, tree.key_paths(structure, "elems"))

    def combined(a: list[Any], b: list[Any]) -> list[Any]:
        return _combined(fn, structure, a, b)

    def flipped(values: list[Any]) -> list[Any]:
        return [np.flip(x, along) for x in values] if reverse else values

    found = flipped(_partial_results(combined, flipped(leaves.values), along))
    return tree.unflatten(structure, own(found, leaves.values))


def _axis(axis: Any, values: list[Any], paths: list[str]) -> int:
    """The axis, counted from the front; checks that all arrays have it, with one extent."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ArgumentError(f"associative_scan: axis must be an int, got {axis!r}.")
    along = int(axis) + (values[0].ndim if axis < 0 else 0)
    extents: dict[int, str] = {}
    for x, path in zip(values, paths, strict=True):
        if not 0 <= along < x.ndim:
            raise AxisError(f"associative_scan: axis {axis} is not an axis of {path}, {type_of(x)}.")
        extents.setdefault(x.shape[along], path)
    if len(extents) > 1:
        shown = ", ".join(f"{path}: {extent}" for extent, path in extents.items())
        raise ShapeError(f"associative_scan: the extents along axis {axis} differ ({shown}).")
    return along


def _combined(fn: Callable[[Any, Any], Any], structure: tree.TreeDef, a: list[Any], b: list[Any]) -> list[Any]:
    """The user's function of leaves, checked."""
    results, found = tree.flatten(fn(tree.unflatten(structure, a), tree.unflatten(structure, b)))
    name = function_name(fn)
    if found != structure:
        raise TreeError(f"associative_scan: elems have the structure {structure!r}, but {name} returned {found!r}.")
    paths = tree.key_paths(structure, f"the result of {name}")
    outs = [as_leaf(x, f"associative_scan: {path}")[0] for x, path in zip(results, paths, strict=True)]
    for out, x, path in zip(outs, a, paths, strict=True):
        if type_of(out) != type_of(x):
            raise TreeError(
                f"associative_scan: {path} is {type_of(out)}, expected the type of its arguments, {type_of(x)}."
            )
    return outs


def _partial_results(combined: Callable[[list[Any], list[Any]], list[Any]], xs: list[Any], axis: int) -> list[Any]:
    n = xs[0].shape[axis]
    if n < 2:
        return xs

    def every_second(start: int, stop: int) -> list[Any]:
        return [x[(*(slice(None),) * axis, slice(start, stop, 2))] for x in xs]

    odd = _partial_results(combined, combined(every_second(0, n - 1), every_second(1, n)), axis)
    even = every_second(0, 1)
    if n > 2:
        before = [x[(*(slice(None),) * axis, slice(0, (n - 1) // 2))] for x in odd]
        rest = combined(before, every_second(2, n))
        even = [np.concatenate([x, y], axis) for x, y in zip(even, rest, strict=True)]
    return [_interleaved(x, y, axis) for x, y in zip(even, odd, strict=True)]


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """Elements of two arrays in turns; the first has as many as the second or one more."""
    head = (slice(None),) * axis
    count = odd.shape[axis]
    pairs = np.stack([even[(*head, slice(0, count))], odd], axis + 1)
    both = pairs.reshape((*odd.shape[:axis], 2 * count, *odd.shape[axis + 1 :]))
    return both if even.shape[axis] == count else np.concatenate([both, even[(*head, slice(count, None))]], axis)
