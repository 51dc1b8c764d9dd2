"""The one loop of generated code: counted upwards from 0, tested at the bottom, values carried in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

I64 = ir.IntType(64)

Step = Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]
"""(index, carried values) -> their next values; emits the body."""


def counted_loop(
    b: ir.IRBuilder, count: int | ir.Value, step: Step, start: Sequence[ir.Value] = ()
) -> Sequence[ir.Value]:
    """Emit `count` rounds of `step` and return the last carried values; nothing at all for a count of 0.

    A count that is known only at run time goes without carried values.
    """
    if count == 0:
        return start
    before, head, end = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
    if isinstance(count, int):
        count = I64(count)
        b.branch(head)
    else:
        assert not start
        b.cbranch(b.icmp_signed(">", count, I64(0)), head, end)
    b.position_at_end(head)
    index = b.phi(I64)
    index.add_incoming(I64(0), before)
    carried = [b.phi(value.type) for value in start]
    for phi, value in zip(carried, start, strict=True):
        phi.add_incoming(value, before)
    new = step(index, carried)
    following = b.add(index, I64(1), flags=["nsw", "nuw"])
    for phi, value in zip((index, *carried), (following, *new), strict=True):
        phi.add_incoming(value, b.block)
    b.cbranch(b.icmp_unsigned("<", following, count), head, end)
    b.position_at_end(end)
    return new
