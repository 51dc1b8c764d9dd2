"""`ArgSort`: the order of elements. Sorted values are gathered by it, so their derivative follows from `Gather`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.errors import AxisError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import INT, ArrayType, array_type
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class ArgSort(Primitive):
    """The stable order of elements along `axis`, ascending with nan last, as int64 positions."""

    axis: int

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        if not 0 <= self.axis < x.ndim:
            raise AxisError(f"argsort: {self.axis} is not an axis of {x}")
        return array_type(x.shape, INT)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return np.argsort(x, axis=self.axis, kind="stable")

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return None

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(ArgSort(self.axis + 1), *inputs)
