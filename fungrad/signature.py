"""What the options of `jit` say about the parameters of a function: which are static, which are donated."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fungrad.arguments import function_name
from fungrad.errors import StaticArgumentError
from fungrad.trace import Tracer

Function = Callable[..., Any]


class _Parameters(NamedTuple):
    positional: list[str]
    keywords: set[str] | None  # None: any
    open_ended: bool  # takes any number of positional arguments


def _parameters(f: Function) -> _Parameters:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return _Parameters([], None, True)
    return _Parameters(
        [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)],
        None if any(p.kind is p.VAR_KEYWORD for p in parameters) else {p.name for p in parameters},
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )


def _positions(f: Function, option: str, argnums: Any) -> set[int]:
    """The positions an option names, counted from the start if the signature tells how many there are."""
    positional, _, open_ended = _parameters(f)
    for number in _tuple(argnums):
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise StaticArgumentError(f"jit: {option} must be an int or a tuple of ints, got {argnums!r}.")
        if positional and not open_ended and not -len(positional) <= number < len(positional):
            raise StaticArgumentError(
                f"jit: {option}={argnums!r} names argument {number}, but {function_name(f)} has "
                f"{len(positional)} positional parameter(s)."
            )
    return {int(n) + len(positional) if n < 0 and not open_ended else int(n) for n in _tuple(argnums)}


def _tuple(argnums: Any) -> tuple[Any, ...]:
    return tuple(argnums) if isinstance(argnums, tuple | list) else (argnums,)


def static_arguments(f: Function, argnums: Any, argnames: Any) -> tuple[frozenset[int], frozenset[str]]:
    """The static positions and names; each follows from the other through the signature."""
    positional, keywords, _ = _parameters(f)
    names = {argnames} if isinstance(argnames, str) else set(argnames)
    for name in names - (names if keywords is None else keywords):
        raise StaticArgumentError(f"jit: static_argnames names {name!r}, but {function_name(f)} has no such parameter.")
    numbers = _positions(f, "static_argnums", argnums)
    names |= {positional[n] for n in numbers if -len(positional) <= n < len(positional)}
    numbers |= {positional.index(name) for name in names if name in positional}
    return frozenset(numbers), frozenset(names)


def donated_arguments(f: Function, argnums: Any, static: frozenset[int]) -> frozenset[int]:
    """The positions of donated arguments."""
    numbers = _positions(f, "donate_argnums", argnums)
    for number in sorted(numbers & static):
        raise StaticArgumentError(f"jit: argument {number} is static and donated; only arrays can be donated.")
    return frozenset(numbers)


def checked_threads(threads: Any) -> int | None:
    """A number of threads, or None."""
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or threads < 1:
        raise StaticArgumentError(f"jit: threads must be a positive int or None, got {threads!r}.")
    return int(threads)


def spelling(value: Any) -> str:
    """What tells numbers apart that are equal: 2 and 2.0, 0.0 and -0.0, also inside tuples."""
    return repr(value) if isinstance(value, int | float | tuple) else ""


def check_static(name: str, value: Any) -> None:
    """Refuse a static value that cannot be part of a key."""
    try:
        hash(value)
    except TypeError:
        fix = (
            "arrays are traced, not static"
            if isinstance(value, np.ndarray | Tracer)
            else "use a tuple, not a list or dict"
        )
        raise StaticArgumentError(
            f"jit: the static {name} is a {type(value).__name__}, which is not hashable; {fix}."
        ) from None
