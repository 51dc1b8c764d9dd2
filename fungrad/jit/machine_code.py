"""LLVM text -> object code -> functions in memory. The only module that runs LLVM for calls from Python.

Object code is plain bytes: it refers to what it calls by name, so it can be kept and linked again in another process.
What is linked lives as long as the `Library` that holds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import binding

from fungrad.jit.forks import LOCK, also_wait_for, once

also_wait_for(binding.ffi.lib._lock)  # llvmlite's own: code that is no longer needed is freed under it, without LOCK

_NUMBERS = itertools.count()


class Library:
    """Functions in memory, by name: their addresses hold as long as this object.

    It keeps the libraries of which it imports functions.
    """

    def __init__(self, code: bytes, exports: Sequence[str], imports: Mapping[str, int | Library]) -> None:
        self._imports = imports
        builder = binding.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name, found in imports.items():
            builder.import_symbol(name, address_in(found, name))
        for name in exports:
            builder.export_symbol(name)
        with LOCK:
            self._tracker = builder.link(_linker(), f"fungrad_{next(_NUMBERS)}")

    def address(self, name: str) -> int:
        """Where an exported function begins."""
        return int(self._tracker[name])


def address_in(found: int | Library, name: str) -> int:
    """An address, or that of a function of a library."""
    return found if isinstance(found, int) else found.address(name)


def compile_text(text: str, finished: bool = False) -> bytes:
    """Object code for this processor from a module in LLVM's language.

    Args:
        text: the module.
        finished: whether it is written as it is to run, with its loops, vectors and places in memory: then it is tidied
            up only, which takes a fifth of the time.
    """
    with LOCK:
        module = _module(text)
        _tidy(module) if finished else _optimize(module)
        return bytes(_target_machine().emit_object(module))


def assembly_of(text: str) -> str:
    """The same code for reading."""
    with LOCK:
        module = _module(text)
        _optimize(module)
        return str(_target_machine().emit_assembly(module))


def _module(text: str) -> Any:
    module = binding.parse_assembly(text)
    module.triple, module.data_layout = binding.get_default_triple(), str(_target_machine().target_data)
    return module


def _optimize(module: Any) -> None:
    tuning = binding.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.slp_vectorization = True
    tuning.loop_unrolling = False  # takes up to a third of the time; docs/design/decisions.md
    passes = binding.create_pass_builder(_target_machine(), tuning)
    passes.getModulePassManager().run(module, passes)


def _tidy(module: Any) -> None:
    passes = binding.create_new_module_pass_manager()
    passes.add_instruction_combine_pass()
    passes.run(module, binding.create_pass_builder(_target_machine(), binding.create_pipeline_tuning_options()))


def processor() -> tuple[str, str, str]:
    """What machine code depends on: the target, the processor and its features."""
    return binding.get_default_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


@once
def _target_machine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    triple, name, features = processor()
    return binding.Target.from_triple(triple).create_target_machine(name, features, opt=3, reloc="pic")


@once
def _linker() -> Any:
    _target_machine()
    linker = binding.create_lljit_compiler()
    linker._owned = True  # never closed: libraries may go later than this module
    return linker
