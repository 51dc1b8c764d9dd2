"""The one loop of generated code: counted upwards from 0, tested at the bottom, values carried in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

I64 = ir.IntType(64)

Step = Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]
"""(index, carried values) -> their next values; emits the body."""


def counted_loop(
    b: ir.IRBuilder, stop: ir.Value | int, step: Step, start: Sequence[ir.Value] = (), first: ir.Value | int = 0
) -> Sequence[ir.Value]:
    """Emit rounds of `step` for indices from `first` below `stop` and return the last carried values.

    Nothing at all for a `stop` of the number 0; there must be a round otherwise.
    """
    if stop == 0:
        return start
    limit, begin = (I64(x) if isinstance(x, int) else x for x in (stop, first))
    before, head, end = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    b.branch(head)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(begin, before)
    carried = [b.phi(value.type) for value in start]
    for phi, value in zip(carried, start, strict=True):
        phi.add_incoming(value, before)
    new = step(index, carried)
    following = b.add(index, I64(1), flags=["nsw", "nuw"])
    for phi, value in zip((index, *carried), (following, *new), strict=True):
        phi.add_incoming(value, b.block)
    b.cbranch(b.icmp_unsigned("<", following, limit), head, end)
    b.position_at_end(end)
    return new
