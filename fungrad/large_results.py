"""Large results: arrays whose memory is used again when nobody holds them any more.

Memory that is new to a process is not there before it is touched: the processor stops at each page, and the operating
system finds one and clears it, which takes as long as reading three arrays of that size. C's allocator hands large
memory back at every `free`, so a loop of calls would pay for it each time.

A large result is an ndarray whose base holds a block of bytes. Views of the result have the result as their base, so
when the holder goes, no array of its block is left.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fungrad.ir.types import ArrayType

LARGE = 1 << 22  # bytes
_KEPT = 1 << 28  # bytes of memory that nobody holds


class _Block(np.ndarray):
    """Bytes. A class of its own, since NumPy makes the base of an array that of its base if it is a plain ndarray."""


class _Held(np.ndarray):
    """A block in use, as the base of a result."""


_FREE: dict[int, _Block] = {}  # by identity, the longest unused first; its operations are atomic


def maker(type: ArrayType) -> Callable[[], Any]:
    """What makes a large array of a type, with any numbers in it."""
    return partial(_make, type, type.nbytes)


def owns_memory(x: Any) -> bool:
    """Whether an ndarray is no view: its memory, its own or a block, is that of no other array but its views."""
    return x.base is None or type(x.base) is _Held


def _make(type: ArrayType, size: int) -> Any:
    block = _taken(size)
    if block is None:
        block = _Block((size,), np.uint8)
    held = block.view(_Held)
    weakref.finalize(held, _give_back, block).atexit = False
    return np.ndarray(type.shape, type.dtype, held)


def _taken(size: int) -> _Block | None:
    """A free block of a size, no longer free."""
    for block in list(_FREE.values()):
        if block.nbytes == size and _FREE.pop(id(block), None) is not None:  # else another thread was faster
            return block
    return None


def _give_back(block: _Block) -> None:
    if block.nbytes > _KEPT:
        return
    _FREE[id(block)] = block
    blocks = list(_FREE.values())
    excess = sum(x.nbytes for x in blocks) - _KEPT
    for oldest in blocks:
        if excess <= 0:
            return
        if _FREE.pop(id(oldest), None) is not None:
            excess -= oldest.nbytes
