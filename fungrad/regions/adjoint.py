"""`Adjoint`: the VJP of a region as a primitive, where it cannot be written with others.

Write R'(x) for the Jacobian of the region R at x. `Adjoint` is the function A(x, c) = R'(x)^T c. Its own derivatives
need no new primitive, since second derivatives are symmetric: with the dual D(x, t) = (R(x), R'(x) t),

    directional derivative of A at x along t, for fixed c:   the part for x of the adjoint of D at (x, t) for (0, c)
    VJP of A for u:   with respect to c it is R'(x) u; with respect to x it is the part for x of the adjoint of D
                      at (x, u) for (0, c)

So derivatives of every order follow from the dual and the adjoint of one region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.create import full
from fungrad.regions.derived import Flags, chosen, spread_out
from fungrad.regions.examples import all_batched
from fungrad.trace import bind


@dataclass(frozen=True, slots=True)
class Adjoint(Primitive):
    """(operands of a region, cotangents of the given results) -> cotangents of the wanted operands that are present."""

    region: Any  # a region with `adjoint_present`, `evaluate_adjoint` and `dual`
    given: Flags
    wanted: Flags

    multiple: ClassVar[bool] = True

    @property
    def present(self) -> Flags:
        present: Flags = self.region.adjoint_present(self.given, self.wanted)
        return present

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Values for all operands as those for the region's operands and those for the cotangents."""
        count = len(self.wanted)
        return list(values[:count]), list(values[count:])

    def infer(self, *types: ArrayType) -> Any:
        return tuple(chosen(self.split(types)[0], self.present))

    def evaluate(self, *arrays: Any) -> Any:
        found = self.region.evaluate_adjoint(self.given, self.wanted, *self.split(arrays))
        kinds = self.infer(*(array_type(x.shape, x.dtype) for x in arrays))
        assert [array_type(x.shape, x.dtype) for x in found] == list(kinds)
        return tuple(found)

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Any:
        t_x, t_ct = self.split(tangents)
        x, ct = self.split(inputs)
        if all(t is None for t in t_x):
            op = Adjoint(self.region, _flags(spread_out(t_ct, self.given)), self.wanted)
            found = bind(op, *x, *(t for t in t_ct if t is not None)) if any(op.present) else ()
            return chosen(spread_out(found, op.present), self.present)
        return chosen(self._second(x, t_x, spread_out(t_ct, self.given), ct, self.wanted), self.present)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        x, c = self.split(inputs)
        want_x, want_c = self.split(wanted)
        u = spread_out(ct, self.present)
        along = [None] * len(c)
        if any(want_c):
            pushed = self.region.jvp(u, x, None)
            along = [t if asked else None for t, asked in zip(chosen(pushed, self.given), want_c, strict=True)]
        nothing = [None] * len(self.given)
        across = self._second(x, u, nothing, c, tuple(want_x)) if any(want_x) else [None] * len(x)
        return [*across, *along]

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Any:
        """Every example has a cotangent of its own, so what gets one is batched."""
        x, ct = self.split(inputs)
        has_x, has_ct = self.split(batched)
        flags = tuple(a or b for a, b in zip(has_x, self.wanted, strict=True))
        plan = self.region.batched(size, flags)
        operands = all_batched(x, has_x, [a or b for a, b in zip(flags, plan.forced, strict=True)], size)
        cts = spread_out(all_batched(ct, has_ct, [True] * len(ct), size), self.given)
        carried = plan.forced[-len(cts) :]  # no wanted operand reaches a carry that is the same for all examples
        given = tuple(a and b for a, b in zip(self.given, carried, strict=True))
        place = {position: i for i, position in enumerate(plan.operands)}
        wanted = tuple(self.wanted[p] and place[p] == i for i, p in enumerate(plan.operands))
        op = Adjoint(plan.op, given, wanted)
        results = bind(op, *(operands[i] for i in plan.operands), *chosen(cts, given)) if any(op.present) else ()
        found = spread_out(results, op.present)
        cotangents = [found[place[p]] if p in place else None for p in range(len(x))]
        every = zip(cotangents, operands, self.present, strict=True)
        return tuple(full(o.shape, 0, o.dtype) if c is None else c for c, o, flag in every if flag)

    def _second(
        self, x: Sequence[Value], t: Sequence[Any], c0: Sequence[Any], c: Sequence[Value], wanted: Flags
    ) -> Any:
        """The part for x of the dual's adjoint at (x, t), for cotangents c0 of the results and c of their tangents."""
        dual = self.region.dual(_flags(t))
        every = [*x, *(d for d in t if d is not None)]
        operands = [every[i] if isinstance(i, int) else full(i.shape, 0, i.dtype) for i in dual.operands]
        count = max([*dual.results, *(i for i in dual.tangents if i is not None)]) + 1
        cts: list[Any] = [None] * count
        for i, ct in zip(dual.results, c0, strict=True):
            cts[i] = ct
        for i, ct in zip(dual.tangents, spread_out(c, self.given), strict=True):
            if i is not None:
                cts[i] = ct
        asked = [isinstance(i, int) and i < len(x) and wanted[i] for i in dual.operands]
        found = dual.op.vjp(tuple(cts), operands, None, asked)
        parts: list[Any] = [None] * len(x)
        for i, part in zip(dual.operands, found, strict=True):
            if isinstance(i, int) and i < len(x):
                parts[i] = part
        return parts


def _flags(values: Sequence[Any]) -> Flags:
    return tuple(x is not None for x in values)
