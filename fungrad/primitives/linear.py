"""What all linear primitives share: the JVP follows from linearity, so only the transpose is stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.trace import bind


class Linear(Primitive):
    """A primitive that is linear in its first operand (further operands are indices, never differentiated).

    The JVP follows from linearity and is stated here; subclasses state the transpose.
    """

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        """The transposed map applied to `ct`; has the type of the first operand."""
        raise NotImplementedError

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        nothing = [None] * (len(inputs) - 1)
        return [self.transpose(ct, *inputs) if wanted[0] else None, *nothing]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return None if tangents[0] is None else bind(self, tangents[0], *inputs[1:])

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return not any(operands[1:])
