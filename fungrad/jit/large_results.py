"""Large results: arrays whose memory is used again when nobody holds them any more.

Memory that is new to a process is not there before it is touched: the processor stops at each page, and the operating
system finds one and clears it, which takes as long as reading three arrays of that size. C's allocator hands large
memory back at every `free`, so a loop of calls would pay for it each time.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fungrad.ir.types import ArrayType

LARGE = 1 << 22  # bytes
_KEPT = 1 << 28  # bytes of memory that nobody holds

_FREE: deque[Any] = deque()  # blocks of bytes, the oldest first; its operations are atomic


class _Held:
    """What arrays of a block have as their base: it lives as long as one of them does."""

    def __init__(self, block: Any, type: ArrayType) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (block.ctypes.data, False),
            "shape": type.shape,
            "typestr": type.dtype.str,
        }
        weakref.finalize(self, _give_back, block).atexit = False


def maker(type: ArrayType) -> Callable[[], Any]:
    """What makes a large array of a type, with any numbers in it."""
    return partial(_make, type, type.size * type.dtype.itemsize)


def _make(type: ArrayType, size: int) -> Any:
    block = _taken(size)
    return np.asarray(_Held(np.empty(size, np.uint8) if block is None else block, type))


def _taken(size: int) -> Any:
    """A free block of a size, no longer free."""
    for _ in range(len(_FREE)):
        try:
            block = _FREE.popleft()
        except IndexError:  # another thread was faster
            return None
        if block.nbytes == size:
            return block
        _FREE.append(block)
    return None


def _give_back(block: Any) -> None:
    _FREE.append(block)
    excess = sum(x.nbytes for x in list(_FREE)) - _KEPT
    while excess > 0:
        try:
            excess -= _FREE.popleft().nbytes
        except IndexError:
            return
