"""Program -> machine code in memory, by way of the disk cache."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import llvmlite

import fungrad.cache
from fungrad.compilation import Phases
from fungrad.jit import host_calls, python_call, symbols
from fungrad.jit.forks import LOCK, once
from fungrad.jit.loops import Program
from fungrad.jit.machine_code import Library, compile_text, processor
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.stages import form_of

ENTRY = "fungrad_entry"  # the function of a program, see `emit_llvm`
_SOURCE = ("ir", "jit", "primitives")  # packages of which code is made
CALL = "fungrad_call"  # the function behind all calls, see `emit_call`


class Code:
    """The machine code of a program and what it needs to run; lives as long as this object."""

    def __init__(self, program: Program, library: Library, cached: bool) -> None:
        self._library = library
        self.cached = cached  # whether it was found on disk
        self._callbacks = [host_calls.callback(call) for call in program.hosts]
        self.address = library.address(ENTRY)
        self.hosts: Sequence[int] = [host_calls.address(x) for x in self._callbacks]
        self.arena_bytes = arena_layout(program)[1]


def code_of(program: Program, phases: Phases) -> Code:
    """The machine code of a program; the phases of making it are measured."""

    def text() -> tuple[str, list[str]]:
        from fungrad.jit.emit_llvm import emit_module

        return emit_module(program)

    with phases.measure("cache look-up"):
        meaning = repr(form_of(program))
    return Code(program, *library(meaning, [ENTRY], text, symbols.find, phases))


@once
def address_of_call() -> int:
    """The address of the function behind all calls, made once for the process."""
    return _call_code().address(CALL)


@once
def _call_code() -> Library:
    def text() -> tuple[str, list[str]]:
        from fungrad.jit.emit_call import emit_call

        return emit_call()

    return library(f"{CALL} {python_call.FIELDS}", [CALL], text, python_call.address, Phases())[0]


def library(
    meaning: str,
    exports: Sequence[str],
    text: Callable[[], tuple[str, list[str]]],
    find: Callable[[str], int | Library],
    phases: Phases,
    finished: bool = False,
) -> tuple[Library, bool]:
    """The library of a module, and whether it came from the cache; if not, it is compiled and stored.

    Args:
        meaning: what the module computes; the same compiler makes the same code of it.
        exports: the functions it has.
        text: makes the module in LLVM's language and the names it imports.
        find: where an imported name is.
        phases: where the time goes.
        finished: whether the module is written as it is to run, see `compile_text`.
    """
    with LOCK:
        with phases.measure("cache look-up"):
            key = hashlib.sha256(f"{_compiler()}\n{meaning}".encode()).hexdigest()
            found = fungrad.cache.load(key)
        if found is not None:
            head, _, code = found.partition(b"\n")
            try:
                imports = _imports(json.loads(head), find, phases)
                with phases.measure("linking"):
                    return Library(code, exports, imports), True
            except Exception:  # it needs a name that this process does not have, for example
                pass
        with phases.measure("writing LLVM"):
            source, names = text()
        with phases.measure("LLVM"):
            code = compile_text(source, finished)
        imports = _imports(names, find, phases)
        with phases.measure("linking"):
            linked = Library(code, exports, imports)
        with phases.measure("cache look-up"):
            fungrad.cache.store(key, json.dumps(names).encode() + b"\n" + code)
        return linked, False


def _imports(names: Sequence[str], find: Callable[[str], int | Library], phases: Phases) -> Mapping[str, int | Library]:
    """Where imported names are: code that programs share is made for the first that needs it."""
    if not names:
        return {}
    with phases.measure("shared code"):
        return {name: find(name) for name in names}


@once
def _compiler() -> str:
    """What tells this compiler from every other: its source, LLVM's version and the processor."""
    source = hashlib.sha256()
    try:
        for package in _SOURCE:
            for path in sorted((Path(__file__).parents[1] / package).glob("*.py")):
                source.update(path.name.encode() + b"\0" + path.read_bytes())
    except OSError:
        source.update(os.urandom(16))  # not to be told from others: what is stored will not be found again
    versions: Any = (llvmlite.__version__, llvmlite.binding.llvm_version_info)
    return f"{source.hexdigest()} {versions} {processor()}"
