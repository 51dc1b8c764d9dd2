"""The contract of a primitive, on one page.

A primitive is a frozen dataclass. Its fields are its static parameters; its methods are its mathematics. It never
broadcasts and never promotes: the NumPy layer does both before it binds, so that no rule has to undo them.

Rules are plain NumPy code. On ndarrays they run at NumPy's speed; on tracers the same lines are recorded, which is all
that derivatives of derivatives and compiled derivatives need. `ct` names a cotangent, `t` a tangent, `out` the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fungrad.ir.types import ArrayType

Value = Any  # an ndarray, a NumPy scalar or a tracer
Cotangent = Any  # a Value, or None for zero


class Primitive:
    """One operation on arrays."""

    multiple: ClassVar[bool] = False
    """Whether the result is a tuple of arrays. Rules then see tuples for `out` and `ct`."""

    effect: ClassVar[bool] = False
    """Whether it does something besides computing a result, such as printing. Then it is recorded by the innermost
    trace whatever its operands are, and passes keep it. It has no results."""

    functions: ClassVar[tuple[str, ...]] = ()
    """Its fields that are functions which compute its results, and which are traced where its graph is needed."""

    @property
    def name(self) -> str:
        """What graphs and error messages call this operation."""
        return type(self).__name__.lower()

    def infer(self, *types: ArrayType) -> Any:
        """The result type, or an error that says which operand is wrong and why."""
        raise NotImplementedError

    def evaluate(self, *arrays: Any) -> Any:
        """The meaning of the primitive, in NumPy. Never mutates its operands; may return a view of one, but keeps none:
        compiled code uses their memory again."""
        raise NotImplementedError

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        """Cotangents of the inputs: the transposed Jacobian applied to `ct`.

        `wanted[i]` says whether anybody asked for the cotangent of input i. Where nobody did, the rule returns None
        and computes nothing. None where one was wanted means zero. A cotangent has the type of its primal.
        """
        raise NotImplementedError

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        """Tangent of the result: the Jacobian applied to `tangents`, where None stands for zero."""
        raise NotImplementedError

    def linear_in(self, operands: Sequence[bool]) -> bool:
        """Whether the result is linear, up to a constant, in the flagged operands together, the others held fixed."""
        return False

    def restricted(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[bool], Sequence[bool]] | None:
        """A primitive that computes less, for a reader of the used results only; None if there is none.

        Returns:
            The primitive, which of the operands it takes, and which of the results it gives, the used ones among them.
        """
        return None

    def graphs(self, *types: ArrayType) -> Sequence[Any]:
        """The graphs inside it, for operands of these types."""
        return ()

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        """The results for `size` examples at once.

        Where `batched[i]`, input i holds one operand for each example along its leading axis; any other input is one
        operand that all examples share. At least one is batched. The result, or each of a tuple, is batched.
        """
        raise NotImplementedError
