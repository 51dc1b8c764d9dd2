"""A fork waits until no thread compiles: a child inherits locks as they are, but not the threads that would let go.

The compiler is also imported under the lock, since a child that inherits a half-imported module waits for it for ever.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Any

LOCK = threading.RLock()
"""Held while the compiler is imported, while LLVM works, and while the process forks."""

_MORE: list[AbstractContextManager[Any]] = []
_held: list[AbstractContextManager[Any]] = []  # by the fork that is under way


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
