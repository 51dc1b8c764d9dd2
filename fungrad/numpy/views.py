"""In-place assignment on tracers, with NumPy's meaning.

A tracer is a name for an immutable value; assigning in place makes it a name for another. What makes this NumPy's
meaning is that all names of one memory follow:

    row = x[0]      # a view
    x += 1          # row sees it
    row *= 2        # x sees it

`Memory` is one buffer of the user's program: its whole contents and the live tracers that show a part of it, each
with the path from the contents to what it shows. Tracers are held weakly, so a temporary such as `y[i - 1]` in a
loop leaves nothing behind. Where only NumPy's layout decides whether a result shares memory (reshape, ravel), the
two memories are linked as unsure, and assigning to one while the other is in use raises.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fungrad.errors import DtypeError, MutationError, ShapeError
from fungrad.numpy.indexing import getitem
from fungrad.numpy.promotion import as_operand, cast
from fungrad.numpy.updates import update
from fungrad.primitives.index import scatter
from fungrad.primitives.shape import reshape
from fungrad.trace import Tracer, user_line

Path = Callable[[Any], Any]  # from the whole contents to a part; works on ndarrays and tracers


class Memory:
    """One buffer of the user's program."""

    __slots__ = ("__weakref__", "members", "unsure", "whole")

    def __init__(self, contents: Tracer) -> None:
        self.whole = Tracer(contents.owner, contents.operand, contents.value)
        self.members = [weakref.ref(contents)]
        self.unsure: list[weakref.ref[Memory]] = []


class View(NamedTuple):
    """What a tracer shows of a memory. A tracer without one is alone with its memory."""

    memory: Memory
    path: Path | None  # None: all of it
    source: weakref.ref[Tracer] | None = None
    index: Any = None  # such that source[index] is this view


def _view(t: Tracer) -> View:
    if not t.memory:
        t.memory = View(Memory(t), None)
    found: View = t.memory
    return found


def view_of(source: Any, result: Any, step: Path, index: Any = None) -> Any:
    """Note that `result`, which is `step(source)`, shares the memory of `source`; returns `result`."""
    if type(source) is not Tracer or type(result) is not Tracer or result is source:
        return result
    memory, path, *_ = _view(source)
    whole_path = step if path is None else lambda whole: step(path(whole))
    result.memory = View(memory, whole_path, weakref.ref(source), index)
    memory.members = [ref for ref in memory.members if ref() is not None] + [weakref.ref(result)]
    return result


def perhaps_view_of(source: Any, result: Any) -> Any:
    """Note that `result` may share the memory of `source`, depending on layout; returns `result`."""
    if type(source) is not Tracer or type(result) is not Tracer or result is source:
        return result
    old, new = _view(source).memory, _view(result).memory
    known = {id(new), *(id(ref()) for ref in new.unsure)}
    for other in [old, *(ref() for ref in old.unsure)]:
        if other is not None and id(other) not in known:
            known.add(id(other))
            new.unsure.append(weakref.ref(other))
            other.unsure.append(weakref.ref(new))
    return result


def is_part(t: Any) -> bool:
    """Whether `t` shows another part of its memory than all of it in its order."""
    return type(t) is Tracer and bool(t.memory) and t.memory.path is not None


def assign(t: Tracer, new: Any) -> None:
    """Make `t`, and every tracer that shares its memory, show the new contents. `new` has the type of `t`.

    Raises:
        MutationError: an array that may share the memory is in use.
    """
    if type(new) is not Tracer:
        new = t.owner.constant(new)
    if not t.memory:
        _show(t, new)
        return
    memory, path, *_ = t.memory
    if any(ref() is not None for ref in memory.unsure):
        raise MutationError(
            f"this array {t.type} and another that is in use may share memory (reshape, ravel, broadcast_to or "
            "diagonal made one from the other), so whether the other changes too depends on layout, at "
            f"{user_line()}. Take a copy first (x.reshape(...).copy()), or make a new array: x = "
            "fungrad.numpy.at(x)[i].set(v)."
        )
    others = [m for m in (ref() for ref in memory.members) if m is not None and m is not t]
    _show(t, new)
    if not others:
        t.memory = None
        return
    whole = memory.whole
    _show(whole, new if path is None else _written(whole, path, new))
    for member in others:
        _show(member, whole if member.memory.path is None else member.memory.path(whole))


def _written(whole: Tracer, path: Path, part: Any) -> Any:
    """The whole contents with a part replaced. The path to the part, applied to positions, says where it lies."""
    positions = path(np.arange(whole.size).reshape(whole.shape))
    flat = scatter(reshape(whole, (whole.size,)), [positions.reshape(-1)], reshape(part, (part.size,)))
    return reshape(flat, whole.shape)


def _show(t: Tracer, value: Tracer) -> None:
    t.owner, t.operand, t.value, t.weak = value.owner, value.operand, value.value, False


# -- what users write ------------------------------------------------------------------------------------------------


def read(x: Tracer, index: Any) -> Any:
    """`x[index]`; basic indexing gives a view."""
    result = getitem(x, index)
    if result.operand.type.shape and _is_basic(index):
        return view_of(x, result, lambda whole: getitem(whole, index), index)
    return result


def _is_basic(index: Any) -> bool:
    for item in index if type(index) is tuple else (index,):
        if type(item) is slice:
            if not all(bound is None or _is_number(bound) for bound in (item.start, item.stop, item.step)):
                return False
        elif not (_is_number(item) or item is None or item is Ellipsis):
            return False
    return True


def _is_number(item: Any) -> bool:
    return type(item) is int or (isinstance(item, np.integer) and not isinstance(item, np.timedelta64))


def write(x: Tracer, index: Any, value: Any) -> None:
    """`x[index] = value`."""
    if type(value) is Tracer and value.memory:
        _, _, source, at = value.memory
        if source is not None and source() is x and at is not None and _is_basic(index) and at == index:
            return  # the last step of `x[index] += v`: the view has written already
    assign(x, update("set", x, index, _storable(x, value)))


def in_place(x: Tracer, new: Any, symbol: str) -> Tracer:
    """`x symbol= value`, given `new = x symbol value`. NumPy's scalars are immutable, so 0-d names are bound again."""
    if not x.shape:
        result: Tracer = new
        return result
    if new.shape != x.shape:
        raise ShapeError(
            f"x {symbol}= y: the result has shape {new.shape}, which does not fit into x of shape {x.shape}, at "
            f"{user_line()}. Write x = x {symbol} y."
        )
    assign(x, _storable(x, new))
    return x


def _storable(x: Tracer, value: Any) -> Any:
    """A value that may be written into `x`, in the dtype of `x`."""
    value = as_operand(value)
    if type(value) is Tracer and not np.can_cast(value.dtype, x.dtype, "same_kind"):
        raise DtypeError(
            f"a {value.type} does not fit into an array {x.type} without losing its fraction, at {user_line()}. Make "
            "the array of that dtype first: x = x.astype(np.float64)."
        )
    return cast(value, x.dtype)
