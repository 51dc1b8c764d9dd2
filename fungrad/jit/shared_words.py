"""Words that threads share, and what machine code does with them: the vocabulary of the thread pool's functions.

Words are 64 bits of one block of memory, by number. All that is read and written here is in one order for all threads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from fungrad.jit.llvm_types import I32, I64, VOID

_MONOTONIC = 6 if sys.platform == "darwin" else 1

FUNCTIONS: dict[str, tuple[ir.Type, list[ir.Type]]] = {
    "pthread_create": (I32, [I64, I64, I64, I64]),
    "pthread_detach": (I32, [I64]),
    "pthread_mutex_init": (I32, [I64, I64]),
    "pthread_mutex_lock": (I32, [I64]),
    "pthread_mutex_unlock": (I32, [I64]),
    "pthread_cond_init": (I32, [I64, I64]),
    "pthread_cond_wait": (I32, [I64, I64]),
    "pthread_cond_broadcast": (I32, [I64]),
    "clock_gettime": (I32, [I32, I64]),
    "sched_getcpu": (I32, []),
    "getpid": (I32, []),
    "sched_getaffinity": (I32, [I32, I64, I64]),
    "sched_setaffinity": (I32, [I32, I64, I64]),
}
"""What the functions call of the C library: results and parameters."""


class SharedWords:
    """Emits one function, which finds the words under a name of its module; addresses are plain numbers."""

    def __init__(self, function: ir.Function, words: str) -> None:
        self.function = function
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        self.words = self.b.ptrtoint(function.module.globals[words], I64)
        self.clock = self.b.alloca(ir.ArrayType(I64, 2))

    def at(self, word: int) -> ir.Value:
        return self.b.add(self.words, I64(8 * word))

    def place(self, word: int) -> ir.Value:
        return self.b.inttoptr(self.at(word), I64.as_pointer())

    def load(self, word: int) -> ir.Value:
        return self.b.load_atomic(self.place(word), "seq_cst", 8, typ=I64)

    def store(self, word: int, value: ir.Value | int) -> None:
        self.b.store_atomic(value if isinstance(value, ir.Value) else I64(value), self.place(word), "seq_cst", 8)

    def add(self, word: int, value: int) -> None:
        self.b.atomic_rmw("add", self.place(word), I64(value), "seq_cst")

    def exchanged(self, word: int, old: ir.Value, new: ir.Value) -> ir.Value:
        """Whether a word was `old`, and is `new` now."""
        return self.b.extract_value(self.b.cmpxchg(self.place(word), old, new, "seq_cst", "seq_cst"), 1)

    def call(self, name: str, *arguments: ir.Value) -> ir.Value:
        result, parameters = FUNCTIONS[name]
        module = self.b.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(result, parameters), name)
        return self.b.call(function, arguments)

    def now(self) -> ir.Value:
        """Nanoseconds of the clock."""
        b = self.b
        self.call("clock_gettime", I32(_MONOTONIC), b.ptrtoint(self.clock, I64))
        seconds, rest = (b.load(b.gep(self.clock, [I32(0), I32(i)]), typ=I64) for i in (0, 1))
        return b.add(b.mul(seconds, I64(10**9)), rest)

    def pause(self) -> None:
        """Let the processor know that this is a busy loop."""
        processor = os.uname().machine if hasattr(os, "uname") else ""
        hints = {"x86_64": ("llvm.x86.sse2.pause", []), "aarch64": ("llvm.aarch64.hint", [I32(1)])}
        name, arguments = hints.get("aarch64" if processor == "arm64" else processor, ("", []))
        if name:
            type = ir.FunctionType(VOID, [x.type for x in arguments])
            self.b.call(self.b.module.globals.get(name) or ir.Function(self.b.module, type, name), arguments)

    def while_(self, condition: Callable[[], ir.Value], body: Callable[[], Any]) -> None:
        b = self.b
        head, inside, after = (b.append_basic_block(x) for x in ("while", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(condition(), inside, after)
        b.position_at_end(inside)
        body()
        if not b.block.is_terminated:
            b.branch(head)
        b.position_at_end(after)

    def repeat(self, body: Callable[[], ir.Value]) -> None:
        """Run the body until it says that it is done."""
        b = self.b
        head, after = b.append_basic_block("repeat"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(body(), after, head)
        b.position_at_end(after)

    def spin_until(self, condition: Callable[[], ir.Value], rounds: int) -> None:
        """Look a number of times whether a condition holds, at the most."""
        b = self.b
        before, head, again, after = b.block, *(b.append_basic_block(x) for x in ("spin", "again", "after"))
        b.branch(head)
        b.position_at_end(head)
        count = b.phi(I64)
        count.add_incoming(I64(0), before)
        done = b.or_(condition(), b.icmp_unsigned("==", count, I64(rounds)))
        b.cbranch(done, after, again)
        b.position_at_end(again)
        self.pause()
        count.add_incoming(b.add(count, I64(1)), b.block)
        b.branch(head)
        b.position_at_end(after)
