"""Program -> machine code in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from fungrad.jit import host_calls, symbols
from fungrad.jit.emit_call import SYMBOL, emit_call, imports
from fungrad.jit.emit_llvm import ENTRY, arena_layout, emit_entry
from fungrad.jit.loops import Program
from fungrad.jit.machine_code import LOCK, Library, compile_text


class Code:
    """The machine code of a program and what it needs to run; lives as long as this object."""

    def __init__(self, program: Program, library: Library) -> None:
        self._library = library
        self._callbacks = [host_calls.callback(call) for call in program.hosts]
        self.address = library.address(ENTRY)
        self.hosts: Sequence[int] = [host_calls.address(x) for x in self._callbacks]
        self.arena_bytes = arena_layout(program)[1]


def code_of(program: Program) -> Code:
    """The machine code of a program."""
    from llvmlite import ir

    with LOCK:
        module = ir.Module(name=program.name)
        emit_entry(program, module)
        names = [name for name in module.globals if symbols.is_external(name)]
        library = Library(compile_text(str(module)), [ENTRY], {name: symbols.address(name) for name in names})
        return Code(program, library)


def address_of_call() -> int:
    """The address of the function of `emit_call`, compiled once for the process."""
    with LOCK:
        return _call_library().address(SYMBOL)


@cache
def _call_library() -> Any:
    return Library(compile_text(emit_call()), [SYMBOL], imports())
