"""`Threefry`: random bits as a function of a key and a counter, which is all that random numbers need here.

Threefry-2x32 with 20 rounds maps a key of two 32-bit words and a counter of two to two words that look random:
Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, DType, array_type
from fungrad.primitives.shape import Shape, broadcast
from fungrad.trace import bind

WORD: DType = np.dtype(np.uint32)
LONG: DType = np.dtype(np.uint64)

PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_BLOCK = 1 << 14  # counters at a time: all that a round touches stays in the cache


def threefry2x32(key0: Any, key1: Any, counter0: Any, counter1: Any) -> Any:
    """The two words for a key and a counter, all uint32 of one shape, as uint64: the first word in the upper half."""
    first, second = counter0 + key0, counter1 + key1
    keys = (key0, key1, key0 ^ key1 ^ WORD.type(PARITY))
    moved = np.empty_like(second)
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            first += second
            np.left_shift(second, WORD.type(rotation), out=moved)
            second >>= WORD.type(32 - rotation)
            second |= moved
            second ^= first
        first += keys[(group + 1) % 3]
        second += keys[(group + 2) % 3]
        second += WORD.type(group + 1)
    return first.astype(LONG) << LONG.type(32) | second


@dataclass(frozen=True, slots=True)
class Threefry(Primitive):
    """Random uint64 of `shape`: the element with row-major position i is Threefry-2x32 of the key and `start` + i.

    Operands are a key, uint32 of shape (2,), and `start`, uint64 of shape (). Both may have leading batch axes, the
    same ones, which the result has too: it is drawn for each key on its own.
    """

    shape: Shape

    def infer(self, *types: ArrayType) -> ArrayType:
        key, start = types
        if key.dtype != WORD or key.shape[-1:] != (2,):
            raise ShapeError(f"threefry: the key has type {key}, expected u32[...,2]")
        if start.dtype != LONG:
            raise DtypeError(f"threefry: start has type {start}, expected dtype uint64")
        if start.shape != key.shape[:-1]:
            raise ShapeError(f"threefry: start has type {start}, expected shape {key.shape[:-1]} as the key {key}")
        return array_type((*start.shape, *self.shape), LONG)

    def evaluate(self, *arrays: Any) -> Any:
        key, start = arrays
        size = math.prod(self.shape)
        keys, starts = key.reshape(-1, 2), start.reshape(-1, 1)
        out = np.empty((len(starts), size), LONG)
        rows = max(1, _BLOCK // max(1, size))
        for first in range(0, len(starts), rows):
            some = slice(first, first + rows)
            for begin in range(0, size, _BLOCK):
                counters = np.arange(begin, min(begin + _BLOCK, size), dtype=LONG) + starts[some]
                high, low = (counters >> LONG.type(32)).astype(WORD), counters.astype(WORD)
                out[some, begin : begin + _BLOCK] = threefry2x32(keys[some, :1], keys[some, 1:], high, low)
        return out.reshape((*key.shape[:-1], *self.shape))[()]

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [None, None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return None

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        """The same primitive: a mapped key or start has one more batch axis, which the other is given too."""
        key, start = (
            x if mapped else broadcast(x, (size, *x.shape)) for x, mapped in zip(inputs, batched, strict=True)
        )
        return bind(self, key, start)
