"""What users pass to transformed functions, checked and brought into the form tracing takes.

A leaf is an ndarray, a NumPy scalar, a Python number or a tracer. Python numbers become 0-d values that are *weak*:
as in plain NumPy they take the dtype of what they meet.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.errors import ArgumentError, DtypeError, FungradError, NotDifferentiableError, TreeError
from fungrad.ir.types import array_type, type_of
from fungrad.trace import Tracer, leaked

_NUMBERS: dict[type, type[np.generic]] = {bool: np.bool_, int: np.int64, float: np.float64}


class Leaves(NamedTuple):
    """The arrays of some arguments."""

    values: list[Any]
    weak: list[bool]
    structure: tree.TreeDef


def as_leaf(leaf: Any, path: str) -> tuple[Any, bool]:
    """A leaf as a value that `bind` accepts, and whether it is weak.

    Raises:
        TreeError: the leaf is not an array or a number.
        DtypeError: its dtype is not supported.
        LeakedTracerError: it is a tracer of a transformation that has finished.
    """
    kind = type(leaf)
    if kind is np.ndarray or isinstance(leaf, np.generic):
        try:
            array_type(leaf.shape, leaf.dtype)
        except DtypeError as error:
            raise DtypeError(f"{path}: {error}") from None
        return leaf, False
    if kind is Tracer:
        if not leaf.owner.live:
            raise leaked(leaf)
        return leaf, leaf.weak
    if kind in _NUMBERS:
        try:
            return _NUMBERS[kind](leaf), True
        except OverflowError:
            raise DtypeError(f"{path}: the integer {leaf} does not fit 64 bits.") from None
    if isinstance(leaf, np.ndarray):
        raise TreeError(
            f"{path} is a {kind.__name__}; fungrad works on plain arrays. Convert it, for example with np.array(x), "
            "and carry masks or metadata separately."
        )
    raise TreeError(
        f"{path} is a {kind.__module__}.{kind.__qualname__}, which is neither an array, a number nor a known "
        "container. Pass arrays, convert with np.asarray, register the class with fungrad.tree.register, or (under "
        "jit) mark the argument static with static_argnums."
    )


def flatten_arguments(arguments: Sequence[Any], names: Callable[[], Sequence[str]]) -> Leaves:
    """The leaves of several arguments; the structure is that of the tuple of them.

    Args:
        arguments: the pytrees.
        names: gives what errors call each argument; called only for an error, since signatures are slow to read.
    """
    leaves, structure = tree.flatten(tuple(arguments))
    try:
        pairs = [as_leaf(leaf, "") for leaf in leaves]
    except FungradError:  # name the leaf, which costs more than the common case should pay
        for leaf, path in zip(leaves, leaf_paths(structure, names()), strict=True):
            as_leaf(leaf, path)
        raise
    return Leaves([value for value, _ in pairs], [weak for _, weak in pairs], structure)


def with_others_fixed(
    f: Callable[..., Any], chosen: Sequence[int], args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    """`f` as a function of the arguments at the `chosen` positions alone."""

    def of_chosen(*arguments: Any) -> Any:
        full = list(args)
        for i, argument in zip(chosen, arguments, strict=True):
            full[i] = argument
        return f(*full, **kwargs)

    of_chosen.__name__ = function_name(f)
    return of_chosen


def leaf_paths(structure: tree.TreeDef, names: Sequence[str]) -> list[str]:
    """How the user writes each leaf of a tuple of arguments with these names."""
    return [path for name, child in zip(names, structure.children, strict=True) for path in tree.key_paths(child, name)]


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """What the user calls the first `count` positional parameters of `f`."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
    names += [f"argument {i}" for i in range(len(names), count)]
    return names[:count]


def function_name(f: Callable[..., Any]) -> str:
    """A function's name for messages and generated code."""
    return str(getattr(f, "__name__", type(f).__name__))


def check_callable(transform: str, f: Any, name: str = "") -> None:
    """Raise ArgumentError unless `f` can be called; `name` is that of the parameter, if there are several."""
    if callable(f):
        return
    if name:
        raise ArgumentError(f"{transform}: {name} must be a function, got {type(f).__name__}.")
    raise ArgumentError(
        f"{transform} takes a function, got {type(f).__name__}. Write {transform}(f)(x), not {transform}(f(x))."
    )


def positions(transform: str, argnums: Any, count: int) -> tuple[int, ...]:
    """`argnums` as non-negative positions among `count` arguments.

    Raises:
        ArgumentError: not an int or a non-empty tuple of distinct ints in range.
    """
    given = argnums if isinstance(argnums, tuple | list) else (argnums,)
    found: list[int] = []
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ArgumentError(f"{transform}: argnums must be an int or a tuple of ints, got {argnums!r}.")
        if not -count <= number < count:
            raise ArgumentError(
                f"{transform}: argnums={argnums!r} names argument {number}, but the function was called with {count} "
                "positional argument(s). Differentiated arguments are passed by position."
            )
        found.append(int(number) % count)
    if not found or len(set(found)) != len(found):
        raise ArgumentError(f"{transform}: argnums={argnums!r} must name at least one argument, each once.")
    return tuple(found)


def check_differentiable(transform: str, leaves: Leaves, names: Callable[[], Sequence[str]]) -> None:
    """Raise NotDifferentiableError unless every leaf is a float."""
    for position, value in enumerate(leaves.values):
        if value.dtype.kind != "f":
            path = leaf_paths(leaves.structure, names())[position]
            raise NotDifferentiableError(
                f"{transform}: {path} has type {type_of(value)}, and there is no derivative with respect to "
                f"{'a boolean' if value.dtype.kind == 'b' else 'an integer'}. Pass a float, for example "
                f"{path}.astype(np.float64) or 3.0 instead of 3, or differentiate another argument with argnums."
            )
