"""What all primitives that contain graphs share.

A *region* has several results. Its JVP is another primitive, its *dual*, which computes results and tangents together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType
from fungrad.primitives.create import full
from fungrad.regions.derived import Flags, chosen
from fungrad.trace import bind


class Dual(NamedTuple):
    """The JVP of a region as a primitive.

    - op: the primitive.
    - operands: its operands, as positions among the region's operands followed by the tangents given, or as the type of
      a tangent that is zero.
    - tangents: for each result of the region, the position of its tangent among the results of `op`; None for zero.
    - results: the positions of the region's own results among them.
    """

    op: Primitive
    operands: Sequence[int | ArrayType]
    results: Sequence[int]
    tangents: Sequence[int | None]


def numbered(flags: Flags, start: int) -> list[int | None]:
    """Consecutive positions from `start` for the set flags, None for the others."""
    positions = iter(range(start, start + len(flags)))
    return [next(positions) if flag else None for flag in flags]


class Region(Primitive):
    """A primitive with graphs inside."""

    multiple: ClassVar[bool] = True

    def dual(self, given: Flags) -> Dual:
        """The JVP for operands of which the given ones have tangents."""
        raise NotImplementedError

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        given = tuple(t is not None for t in tangents)
        dual = self.dual(given)
        every = [*inputs, *chosen(tangents, given)]
        found = bind(dual.op, *(every[i] if isinstance(i, int) else full(i.shape, 0, i.dtype) for i in dual.operands))
        return [None if i is None else found[i] for i in dual.tangents]
