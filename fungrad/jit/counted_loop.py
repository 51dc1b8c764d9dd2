"""The one loop of generated code: counted upwards from 0, tested at the bottom, values carried in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from fungrad.jit.llvm_types import I64

Step = Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]]
"""(index, carried values) -> their next values; emits the body."""


def counted_loop(
    b: ir.IRBuilder,
    stop: ir.Value | int,
    step: Step,
    start: Sequence[ir.Value] = (),
    first: ir.Value | int = 0,
    abreast: int | None = None,
) -> Sequence[ir.Value]:
    """Emit rounds of `step` for indices from `first` below `stop` and return the last carried values.

    Nothing at all for a `stop` of the number 0; there must be a round otherwise. In machine code `abreast` vectors are
    computed at a time; by default LLVM decides how many.
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
    back = b.cbranch(b.icmp_unsigned("<", following, limit), head, end)
    if abreast is not None:
        back.set_metadata("llvm.loop", _hint(b.module, "llvm.loop.interleave.count", abreast))
    b.position_at_end(end)
    return new


def _hint(module: ir.Module, name: str, value: int) -> ir.MDValue:
    """What tells one loop from all others, its first part being itself, and says something about it."""
    hint = module.add_metadata([name, ir.Constant(ir.IntType(32), value)])
    node = module.add_metadata([hint, ir.Constant(I64, len(module.metadata))])
    node.operands = (node, hint)
    return node
