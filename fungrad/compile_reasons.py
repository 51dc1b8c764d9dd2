"""Why a function is compiled: what no earlier call of it had, or that its code was compiled before for another one.

    f(x: f64[3]), then f(x: f64[4])              ->  new shape of x: f64[3] -> f64[4]
    for c in cs: jit(lambda x: x * c)(x)         ->  another function object of code that was compiled before

Of several earlier signatures the one that differs least is named.
"""

from __future__ import annotations

import reprlib
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from fungrad.arguments import function_name, leaf_paths
from fungrad.context import INTERNAL_FILES
from fungrad.ir.types import ArrayType
from fungrad.tree import TreeDef

_COMPARED = 16  # earlier signatures
_SHOWN = 3  # differences


class Layout(NamedTuple):
    """How the arguments of a call divide into traced and static ones. Part of the signature: compares by value."""

    given: int  # how many positional arguments
    traced: tuple[int, ...]  # positions
    keys: tuple[str, ...]  # traced keyword arguments, sorted
    static: tuple[tuple[str, type, Any, str], ...]  # name, type, value, spelling


class Signature(NamedTuple):
    """What a function is compiled for."""

    structure: TreeDef  # of the tuple of traced arguments
    types: tuple[ArrayType, ...]  # of the leaves
    weak: tuple[bool, ...]  # which leaves are Python numbers
    layout: Layout


def reason(f: Callable[..., Any], earlier: Iterable[Signature], new: Signature, names: Sequence[str]) -> str:
    """Why `f` is compiled for a signature, given those for which it was before.

    Args:
        names: what the user calls the traced arguments.
    """
    last = list(earlier)[: -_COMPARED - 1 : -1]
    if not last:
        return _first(f)
    fewest = min((list(_differences(old, new, names)) for old in last), key=len)
    more = [f"and {len(fewest) - _SHOWN} more"] if len(fewest) > _SHOWN else []
    return "; ".join([*fewest[:_SHOWN], *more])


def place(f: Callable[..., Any]) -> str:
    """The name of a function and where it is defined, as far as that is known."""
    inner = f
    while (wrapped := getattr(inner, "__wrapped__", None)) is not None:
        inner = wrapped
    code = getattr(inner, "__code__", None)
    file = f" ({code.co_filename.rpartition('/')[2]}:{code.co_firstlineno})" if isinstance(code, CodeType) else ""
    return function_name(f) + file


def _differences(old: Signature, new: Signature, names: Sequence[str]) -> Iterator[str]:
    before, after = old.layout, new.layout
    if (before.given, before.keys) != (after.given, after.keys):
        yield f"new arguments: {_arguments(before)} -> {_arguments(after)}"
        return
    statics = {name: rest for name, *rest in before.static}
    for name, *rest in after.static:
        if statics.get(name) != rest:
            earlier = reprlib.repr(statics[name][1]) if name in statics else "the default"
            yield f"new value of static {_argument(name)}: {earlier} -> {reprlib.repr(rest[1])}"
    for name in statics.keys() - {name for name, *_ in after.static}:
        yield f"new value of static {_argument(name)}: {reprlib.repr(statics[name][1])} -> the default"
    at = [0, 0]  # the first leaf of the argument, in the old and in the new signature
    for name, a, b in zip(names, old.structure.children, new.structure.children, strict=False):
        i, j = at
        at = [i + a.leaves, j + b.leaves]
        if a != b:
            yield f"new tree structure of {name}: {a} -> {b}"
            continue
        for k, path in enumerate(leaf_paths(TreeDef(tuple, None, (b,)), [name])):
            yield from _leaf(path, old.types[i + k], new.types[j + k], old.weak[i + k], new.weak[j + k])


def _leaf(path: str, old: ArrayType, new: ArrayType, was_number: bool, is_number: bool) -> Iterator[str]:
    if old.shape != new.shape:
        yield f"new shape of {path}: {old} -> {new}"
    if old.dtype != new.dtype:
        yield f"new dtype of {path}: {old} -> {new}"
    if was_number != is_number:
        kinds = ("an array", "a Python number")
        yield f"new kind of {path}: {kinds[was_number]} -> {kinds[is_number]}"


def _argument(name: str) -> str:
    return name if name.startswith("argument ") else f"argument {name}"


def _arguments(layout: Layout) -> str:
    return ", ".join([f"{layout.given} by position", *layout.keys])


# -- the same code again ---------------------------------------------------------------------------------------------

_COMPILED: dict[Any, Callable[[], Any]] = {}  # by code: the function it was last compiled for, if it is there still


def _first(f: Callable[..., Any]) -> str:
    """Why a function is compiled for the first time."""
    code = _code_of(f)
    before = _COMPILED.get(code)
    try:
        _COMPILED[code] = weakref.ref(f)
    except TypeError:  # it has no weak references
        _COMPILED[code] = lambda: f
    if before is None:
        return "first call"
    if before() is f:
        return "jit was applied to this function again; keep what it returned, which knows what is compiled"
    return (
        "another function object of code that was compiled before; if it computes the same, make it and its jit once, "
        "outside the loop"
    )


def _code_of(f: Any) -> Any:
    """A key of what a function is made of, equal for functions that come from the same place in the program.

    What a function of fungrad's, such as `grad`, has closed over belongs to it; what the user's have does not.
    """
    if isinstance(f, partial):
        return partial, _code_of(f.func), len(f.args), tuple(f.keywords)
    if isinstance(f, MethodType):
        return MethodType, _code_of(f.__func__)
    if not isinstance(f, FunctionType):
        inner = getattr(f, "__wrapped__", None) or type(f).__call__
        return type(f).__qualname__, _code_of(inner) if isinstance(inner, FunctionType | MethodType) else id(f)
    code = f.__code__
    inside = INTERNAL_FILES[code.co_filename]
    cells = [x.cell_contents for x in f.__closure__ or ()] if inside else []
    return (
        code.co_filename,
        code.co_firstlineno,
        hash(code),
        tuple([_code_of(x) if callable(x) else repr(x) for x in cells if callable(x) or _is_plain(x)]),
    )


def _is_plain(x: Any) -> bool:
    return all(map(_is_plain, x)) if isinstance(x, tuple | list) else isinstance(x, int | str | None)
