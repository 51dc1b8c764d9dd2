"""Rounds that any thread may run, as a function of their own; see `thread_pool`.

    void rounds(table, index)

loads what a round needs from a table on the caller's stack, and passes it to an inner function: as arguments pointers
can be declared not to overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from llvmlite import ir

from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.llvm_types import I64
from fungrad.jit.loops import CHUNK_WORK
from fungrad.jit.thread_pool import RUN
from fungrad.jit.vectors import BYTES

_TABLE = I64.as_pointer()

Round = Callable[[ir.Function, Sequence[ir.Value], Sequence[ir.Value], ir.Value], None]
"""(function, pointers, scalars, index): emit the body of a function that returns 0."""


class Caller(Protocol):
    """Where rounds are called from."""

    b: ir.IRBuilder
    entry: ir.IRBuilder
    threads: ir.Value


def internal_function(module: ir.Module, name: str, types: Sequence[ir.Type]) -> ir.Function:
    """An empty function of pointers that do not overlap. It is not inlined: LLVM's passes take more than linear time in
    the length of a function."""
    function = ir.Function(module, ir.FunctionType(I64, types), module.get_unique_name(name))
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.alignstack = BYTES  # no vector that finds no register lies across two lines of the cache
    for argument in function.args:
        if isinstance(argument.type, ir.PointerType):
            argument.add_attribute("noalias")
    return function


def call_rounds(
    caller: Caller, count: int, work: int, pointers: Sequence[ir.Value], scalars: Sequence[ir.Value], round: Round
) -> None:
    """Emit a call of all rounds below `count`, which take `work` nanoseconds together."""
    b = caller.b
    values = [*pointers, *scalars]
    inner = internal_function(b.module, "fungrad_round", [*(x.type for x in values), I64])
    round(inner, inner.args[: len(pointers)], inner.args[len(pointers) : -1], inner.args[-1])
    if work < 2 * CHUNK_WORK or count == 1:

        def one(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            b.call(inner, [*values, index])
            return ()

        counted_loop(b, count, one)
        return

    rounds = ir.Function(
        b.module, ir.FunctionType(ir.VoidType(), [I64, I64]), b.module.get_unique_name("fungrad_rounds")
    )
    rounds.linkage = "internal"
    inside = ir.IRBuilder(rounds.append_basic_block("entry"))
    table, index = inside.inttoptr(rounds.args[0], _TABLE), rounds.args[1]
    loaded = [
        inside.load(inside.bitcast(inside.gep(table, [I64(i)]), x.type.as_pointer()), typ=x.type)
        for i, x in enumerate(values)
    ]
    inside.call(inner, [*loaded, index])
    inside.ret_void()

    kept = caller.entry.alloca(I64, max(1, len(values)))
    for i, x in enumerate(values):
        b.store(x, b.bitcast(b.gep(kept, [I64(i)]), x.type.as_pointer()))
    run = b.module.globals.get(RUN) or ir.Function(b.module, ir.FunctionType(ir.VoidType(), [I64] * 5), RUN)
    b.call(run, [b.ptrtoint(rounds, I64), b.ptrtoint(kept, I64), I64(count), I64(work), caller.threads])
