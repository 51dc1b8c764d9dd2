"""How an operation written for one example is applied to many, one after another.

Each `vmap` around it adds an axis that counts examples. An operand that differs between the examples has all these
axes in front, any other has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.shape import broadcast, reshape


@dataclass(frozen=True, slots=True)
class Examples:
    """The examples of an operation: the extents of their axes, and which operands have these axes."""

    axes: tuple[int, ...] = ()
    batched: tuple[bool, ...] = ()

    @property
    def count(self) -> int:
        return math.prod(self.axes)

    def has(self, operand: int) -> bool:
        """Whether an operand differs between the examples."""
        return bool(self.axes) and self.batched[operand]

    def types_of_one(self, types: Sequence[ArrayType]) -> list[ArrayType]:
        """The types of the operands of one example."""
        skip = len(self.axes)
        return [array_type(t.shape[skip:], t.dtype) if self.has(i) else t for i, t in enumerate(types)]

    def one_by_one(self, arrays: Sequence[Any]) -> Iterator[tuple[tuple[int, ...], list[Any]]]:
        """For each example its index and its operands; 0-d ones are NumPy scalars."""
        for place in np.ndindex(self.axes):
            yield place, [x[place][()] if self.has(i) else x[()] for i, x in enumerate(arrays)]

    def again(self, size: int, inputs: Sequence[Any], batched: Sequence[bool]) -> tuple[Examples, list[Any]]:
        """The examples inside one more axis of that size, and the operands with it."""
        both = tuple(has or self.has(i) for i, has in enumerate(batched))
        operands: list[Any] = []
        for i, (x, outer) in enumerate(zip(inputs, batched, strict=True)):
            if both[i]:
                own = x.shape[outer + len(self.axes) * self.has(i) :]
                if not self.has(i):
                    x = reshape(x, (size, *(1,) * len(self.axes), *own))
                x = broadcast(x, (size, *self.axes, *own))
            operands.append(x)
        return Examples((size, *self.axes), both), operands
