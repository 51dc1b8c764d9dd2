"""`ProductSum`: a matrix product and what is added to it, as one operation of compiled graphs; see `fold_products`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType
from fungrad.primitives.contract import Dot


@dataclass(frozen=True, slots=True)
class ProductSum(Primitive):
    """`addend + scale * dot(a, b)` of operands (a, b, addend, scale); `dot` is canonical, `scale` one number."""

    dot: Dot

    @property
    def name(self) -> str:
        return "product_sum"

    def infer(self, *types: ArrayType) -> ArrayType:
        a, b, _, _ = types
        return self.dot.infer(a, b)

    def evaluate(self, *arrays: Any) -> Any:
        a, b, addend, scale = arrays
        return addend + scale * self.dot.evaluate(a, b)
