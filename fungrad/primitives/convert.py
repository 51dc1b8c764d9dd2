"""`Convert`: the same numbers in another dtype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fungrad.ir.primitive import Value
from fungrad.ir.types import ArrayType, DType, array_type
from fungrad.primitives.linear import Linear
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class Convert(Linear):
    """`x` as `dtype`, with NumPy's `astype` rules. Linear between floats; constant to and from anything else."""

    dtype: DType

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        return array_type(x.shape, self.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return x.astype(self.dtype)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        return bind(Convert(inputs[0].dtype), ct)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(self, *inputs)


def convert(x: Value, dtype: DType) -> Value:
    """`x` as `dtype`; `x` itself if it has that dtype already."""
    return x if x.dtype == dtype else bind(Convert(dtype), x)
