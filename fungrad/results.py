"""What transformed functions return: flattened inside, checked, and given back as arrays of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, function_name
from fungrad.errors import ArgumentError, NotDifferentiableError, ShapeError, TreeError
from fungrad.ir.types import type_of
from fungrad.large_results import owns_memory
from fungrad.trace import Tracer, fresh

AUX = "(value, aux), since has_aux=True"
"""The pair that a function returns under `has_aux`, for errors."""


class FlatFunction:
    """A function of pytrees as a function of their leaves. Keeps the structure of what it returned last.

    Args:
        transform: what errors call the transformation.
        f: the user's function.
        structure: of the tuple of its arguments.
        has_aux: whether it returns `(out, aux)`; the leaves of `aux` then follow those of `out`.
        form: what errors say that it returns then.
    """

    def __init__(
        self,
        transform: str,
        f: Callable[..., Any],
        structure: tree.TreeDef,
        has_aux: bool = False,
        form: str = AUX,
    ) -> None:
        self.transform = transform
        self.f = f
        self.arguments = structure
        self.has_aux, self.form = has_aux, form
        self.out = self.aux = tree.LEAF

    def __call__(self, *leaves: Any) -> list[Any]:
        out = self.f(*tree.unflatten(self.arguments, leaves))
        extra: list[Any] = []
        if self.has_aux:
            out, aux = pair(self.transform, self.f, out, self.form)
            extra, self.aux = tree.flatten(aux)
        found, self.out = tree.flatten(out)
        return [*found, *extra]

    def outs(self, values: Sequence[Any]) -> list[Any]:
        """The leaves of `out` among all results, as arrays and NumPy scalars."""
        paths = tree.key_paths(self.out, "the result")
        return [
            as_leaf(x, f"{path} of {function_name(self.f)}")[0]
            for x, path in zip(values[: self.out.leaves], paths, strict=True)
        ]

    def aux_of(self, values: Sequence[Any]) -> Any:
        """The `aux` among all results."""
        return tree.unflatten(self.aux, own(values[self.out.leaves :]))


def pair(transform: str, f: Callable[..., Any], out: Any, form: str) -> tuple[Any, Any]:
    """The result of a function that must return two things, checked."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise ArgumentError(f"{transform}: {function_name(f)} must return a pair {form}, but returned {describe(out)}.")
    return out


def describe(out: Any) -> str:
    """What a function returned, for messages."""
    return "None (is a `return` missing?)" if out is None else f"a {type(out).__name__} {tree.structure(out)!r}"


def own(found: Sequence[Any], others: Sequence[Any] = ()) -> list[Any]:
    """Results as users may keep and change them: NumPy scalars for 0-d, fresh writeable arrays otherwise."""
    seen = {id(x) for x in others}
    owned: list[Any] = []
    for x in found:
        if isinstance(x, np.ndarray):
            if x.ndim == 0:
                x = x[()]
            elif not owns_memory(x) or not x.flags.writeable or id(x) in seen:
                x = x.copy()
            seen.add(id(x))
        owned.append(fresh(x))
    return owned


def matching_leaves(
    transform: str, name: str, given: Any, structure: tree.TreeDef, primals: Sequence[Any], of: str
) -> list[Any]:
    """The leaves of a tangent or cotangent, checked against the primals it belongs to.

    Args:
        transform: what errors call the transformation.
        name: what they call the argument.
        given: a pytree like the primals; None for a leaf or a whole subtree is zero.
        structure: of the primals.
        primals: their leaves.
        of: what they call the primals.

    Returns:
        One value for each primal, or None for zero and where the primal is not a float.

    Raises:
        TreeError, ShapeError: it does not have the structure, or a leaf not the type, of the primals.
        NotDifferentiableError: one that is not zero is given for an integer or a boolean.
    """
    expected = tree.unflatten(structure, range(structure.leaves))
    found: list[Any] = [None] * structure.leaves
    if not _match(given, expected, found):
        raise TreeError(
            f"{transform}: {name} has the structure {tree.structure(given)!r}, expected that of {of}, {structure!r}."
        )
    checked: list[Any] = []
    for path, leaf, primal in zip(tree.key_paths(structure, name), found, primals, strict=True):
        if leaf is None:
            checked.append(None)
            continue
        value, weak = as_leaf(leaf, path)
        if not type_of(primal).is_float:
            if isinstance(value, Tracer) or np.any(value):
                raise NotDifferentiableError(
                    f"{transform}: {path} is given for {type_of(primal)}, which has no derivative. Pass None there."
                )
            checked.append(None)
            continue
        value = value.astype(primal.dtype) if weak and value.shape == () else value
        if value.shape != primal.shape or value.dtype != primal.dtype:
            raise ShapeError(f"{transform}: {path} is {type_of(value)}, expected the type of {of}, {type_of(primal)}.")
        checked.append(value)
    return checked


def _match(given: Any, expected: Any, found: list[Any]) -> bool:
    """Fill `found` with the leaves of `given` at the places numbered in `expected`; a missing subtree is zero."""
    if given is None:
        return True
    if tree.structure(expected) is tree.LEAF:
        found[expected] = given
        return tree.structure(given) is tree.LEAF
    parts, shape = tree.split(given)
    wanted, wanted_shape = tree.split(expected)
    if shape != wanted_shape or len(parts) != len(wanted):
        return False
    return all(_match(c, e, found) for c, e in zip(parts, wanted, strict=True))
