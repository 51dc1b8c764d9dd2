"""Arguments and results of the functions that are checked, taken apart into leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad import tree
from fungrad.arguments import as_leaf, check_callable, flatten_arguments, function_name, leaf_paths, parameter_names
from fungrad.errors import ArgumentError, FungradError
from fungrad.results import matching_leaves
from fungrad.testing.values import differentiable

Function = Callable[..., Any]


def arguments(check: str, f: Function, args: Sequence[Any]) -> tuple[list[Any], tree.TreeDef, list[str]]:
    """The leaves of the arguments as arrays, their structure, and what messages call them."""
    check_callable(check, f)
    if not isinstance(args, tuple | list):
        raise ArgumentError(
            f"{check}: the arguments of {function_name(f)} must come as a tuple or list, got {type(args).__name__}. "
            f"For one argument write {check}(f, (x,))."
        )
    names = parameter_names(f, len(args))
    leaves = flatten_arguments(args, lambda: names)
    return leaves.values, leaves.structure, leaf_paths(leaves.structure, names)


def result(f: Function, out: Any) -> tuple[list[Any], tree.TreeDef, list[str]]:
    """The leaves of a result as arrays or NumPy scalars, its structure, and what messages call them."""
    found, structure = tree.flatten(out)
    paths = tree.key_paths(structure, "the result")
    return (
        [as_leaf(x, f"{path} of {function_name(f)}")[0] for x, path in zip(found, paths, strict=True)],
        structure,
        paths,
    )


def of_floats(f: Function, values: Sequence[Any], structure: tree.TreeDef) -> tuple[Function, list[str]]:
    """`f` as a function of its float leaves that returns those of its result, and what messages call these."""

    def flat(*xs: Any) -> list[Any]:
        leaves, _, _ = result(f, f(*tree.unflatten(structure, replaced(values, xs))))
        return floats(leaves, leaves)

    leaves, _, paths = result(f, f(*tree.unflatten(structure, values)))
    return flat, floats(paths, leaves)


def replaced(values: Sequence[Any], xs: Sequence[Any]) -> list[Any]:
    """The leaves with others in place of those that are floats."""
    rest = iter(xs)
    return [next(rest) if differentiable(x) else x for x in values]


def floats(values: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """The values at the places of those leaves that are floats."""
    return [x for x, leaf in zip(values, leaves, strict=True) if differentiable(leaf)]


def pair(name: str, form: str, found: Any) -> tuple[Any, Any]:
    """What an implementation under test returned, if it is a pair."""
    if not (isinstance(found, tuple) and len(found) == 2):
        raise AssertionError(f"{name} must return a pair {form}, got {type(found).__name__}")
    return found


def matching(name: str, given: Any, structure: tree.TreeDef, leaves: Sequence[Any], of: str) -> list[Any]:
    """The leaves of a tangent or cotangent that an implementation under test returned, None for zero."""
    try:
        return matching_leaves("check", name, given, structure, leaves, of)
    except FungradError as error:
        raise AssertionError(str(error)) from None
