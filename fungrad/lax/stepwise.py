"""Loops and branches as Python runs them, step by step, where `disable_jit` is on.

Nothing is traced, so the user's functions see the numbers that the transformations around the loop know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, function_name
from fungrad.errors import TreeError
from fungrad.ir.types import type_of
from fungrad.primitives.convert import convert
from fungrad.results import own
from fungrad.trace import Tracer, concrete_value


def is_known(x: Any) -> bool:
    """Whether a value is a number, or a traced value that carries one."""
    return not isinstance(x, Tracer) or concrete_value(x) is not None


def scan_by_steps(transform: str, f: Callable[..., Any], init: Any, xs: Any, length: int, reverse: bool) -> Any:
    """A scan of one step or more."""
    carry, ys = init, [None] * length
    for row in reversed(range(length)) if reverse else range(length):
        result = f(carry, tree.map(lambda x, row=row: x[row], xs))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TreeError(not_a_pair(transform, f, tree.structure(result)))
        carry, ys[row] = _same_type(transform, f, carry, result[0]), result[1]
    return finished(carry), finished(tree.map(lambda *parts: np.stack([*parts]), *ys))


def while_by_steps(transform: str, cond_fun: Callable[..., Any], body_fun: Callable[..., Any], val: Any) -> Any:
    """A loop whose condition is known."""
    while cond_fun(val):
        val = _same_type(transform, body_fun, val, body_fun(val))
    return finished(val)


def finished(result: Any) -> Any:
    """A result with NumPy scalars for Python numbers and arrays of the user's own."""
    leaves, structure = tree.flatten(result)
    return tree.unflatten(structure, own([as_leaf(x, "the result")[0] for x in leaves]))


def not_a_pair(transform: str, f: Callable[..., Any], found: tree.TreeDef) -> str:
    """What to say of a step that does not return `(carry, y)`."""
    return (
        f"{transform}: {function_name(f)} must return a pair (carry, y), but returned {found!r}. Use None where there "
        "is no y."
    )


def other_structure(transform: str, f: Callable[..., Any], before: tree.TreeDef, after: tree.TreeDef) -> str:
    """What to say of a step that changes the structure of the carry."""
    return f"{transform}: the carry has the structure {before!r}, but {function_name(f)} returned {after!r}."


def other_types(transform: str, f: Callable[..., Any], wrong: Sequence[str]) -> str:
    """What to say of a step that changes types of the carry."""
    return (
        f"{transform}: the carry must keep its shapes and dtypes, but in {function_name(f)} {', '.join(wrong)}. "
        "Start with the final type or convert the result, for example with .astype."
    )


def _same_type(transform: str, f: Callable[..., Any], before: Any, after: Any) -> Any:
    """The carry after a step, which has the type it had before; Python numbers take the dtype of arrays."""
    old, structure = tree.flatten(before)
    new, found = tree.flatten(after)
    if found != structure:
        raise TreeError(other_structure(transform, f, structure, found))
    paths = tree.key_paths(structure, "carry")
    pairs = [(as_leaf(x, path), as_leaf(y, path)) for x, y, path in zip(old, new, paths, strict=True)]
    kept: list[Any] = []
    wrong: list[str] = []
    for leaf, path, ((x, x_weak), (y, y_weak)) in zip(new, paths, pairs, strict=True):
        if y_weak and not x_weak and x.shape == () and np.can_cast(y.dtype, x.dtype, "same_kind"):
            leaf = y = convert(y, x.dtype)
        if x.shape != y.shape or (x.dtype != y.dtype and not x_weak):
            wrong.append(f"{path} is {type_of(x)} and becomes {type_of(y)}")
        kept.append(leaf)
    if wrong:
        raise TreeError(other_types(transform, f, wrong))
    return tree.unflatten(structure, kept)
