"""A fork waits until no thread compiles: a child inherits locks as they are, but not the threads that would let go.

The compiler is also imported under the lock, since a child that inherits a half-imported module waits for it for ever.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar

LOCK = threading.RLock()
"""Held while the compiler is imported, while LLVM works, and while the process forks."""

_MORE: list[AbstractContextManager[Any]] = []
_held: list[AbstractContextManager[Any]] = []  # by the fork that is under way


Made = TypeVar("Made")


def once(make: Callable[..., Made]) -> Callable[..., Made]:
    """Call a function once for each tuple of arguments, under the lock, and keep what it returns for ever.

    `functools.cache` lets threads that come together all call it: the code that one of them got would be freed when the
    other's takes its place, while addresses of it are in use.
    """
    kept: dict[tuple[Any, ...], Made] = {}

    @wraps(make)
    def made(*args: Any) -> Made:
        if args not in kept:
            with LOCK:
                if args not in kept:
                    kept[args] = make(*args)
        return kept[args]

    return made


def also_wait_for(lock: AbstractContextManager[Any]) -> None:
    """Let forks wait for another lock, which may be held without ours, but under which nobody waits for ours."""
    _MORE.append(lock)


def _hold() -> None:
    LOCK.acquire()
    for lock in tuple(_MORE):
        lock.__enter__()
        _held.append(lock)


def _let_go() -> None:
    while _held:
        _held.pop().__exit__(None, None, None)
    LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)
