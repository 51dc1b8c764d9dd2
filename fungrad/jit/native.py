"""Program -> machine code, with Numba as the host.

The loops are LLVM inside one `numba.extending.intrinsic`; a one-line njit function calls it. So Numba does what it is
good at (unboxing arrays, calling conventions, linking, machine code) and never infers types of loops, which is what
makes compiling njit source slow. This is the only module that imports numba; the emitters below it import llvmlite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding
from numba import from_dtype, njit, types
from numba.extending import intrinsic

from fungrad.jit import blas, host_calls, vectortrig
from fungrad.jit.emit_llvm import emit_llvm
from fungrad.jit.loops import Buffer, Program
from fungrad.jit.memory_plan import arena_layout
from fungrad.jit.native_math import I64, libm_addresses

_registered = False


def _register_symbols() -> None:
    global _registered
    if not _registered:
        for symbol, address in libm_addresses().items():
            binding.add_symbol(symbol, address)
        for dtype, name in blas.SYMBOLS.items():
            binding.add_symbol(f"fungrad_blas_{name}", blas.address(dtype))
        binding.add_symbol(vectortrig.SYMBOL, vectortrig.two_over_pi_table().ctypes.data)
        _registered = True


def kernel(program: Program) -> Any:
    """The program as an intrinsic: call it in njit code with every input, constant and output and the arena.

    Returns a status, see `emit_llvm`.
    """
    _register_symbols()
    symbols: list[str] = []
    for call in program.hosts:
        symbol, address = host_calls.register(call)
        binding.add_symbol(symbol, address)
        symbols.append(symbol)

    @intrinsic
    def run(typing_context: Any, arrays: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            function = emit_llvm(program, builder.module, symbols)
            # The code holds addresses of this process. Using one that Numba knows of as such keeps Numba from caching
            # callers on disk, where they would outlive the program.
            address = context.add_dynamic_addr(builder, id(program), info=program.name)
            gone = builder.zext(builder.icmp_unsigned("==", address, address.type(None)), I64)
            pointers = []
            for position, type in enumerate(signature.args[0].types):
                array = context.make_array(type)(context, builder, builder.extract_value(values[0], position))
                pointers.append(builder.bitcast(array.data, function.args[position].type))
            return builder.or_(builder.call(function, pointers), gone)

        return types.int64(arrays), generate

    return run


def compile_native(program: Program) -> Callable[..., int]:
    """Machine code for a program: a function of every input, constant and output array and the arena, all dense.

    It releases the GIL and returns a status.
    """
    names = [b.name for b in program.arguments]
    source = f"def {program.name}({', '.join(names)}, arena):\n    return kernel(({', '.join(names)}, arena))\n"
    namespace: dict[str, Any] = {"kernel": kernel(program)}
    exec(source, namespace)
    arrays = [_array(b) for b in program.arguments]
    signature = types.int64(*arrays, types.Array(types.uint8, 1, "C"))
    compiled: Callable[..., int] = njit(signature, nogil=True)(namespace[program.name])
    return compiled


def compile_dispatcher(program: Program) -> Any:
    """The program as an njit function from flat inputs to flat outputs, for the user's own njit code.

    Arrays are copied if they are not dense. 0-d inputs are numbers, 0-d outputs are returned as numbers. One output is
    returned alone, several as a tuple.
    """
    _, size = arena_layout(program)
    lines = [f"def {program.name}({', '.join(b.name for b in program.inputs)}):"]
    for buffer in program.inputs:
        name, shape = buffer.name, buffer.type.shape
        lines.append(f"    check__{name}({name})")
        if shape:
            lines += [
                f"    if {name}.shape != {shape}:",
                f"        raise ValueError('{name}: compiled for shape {shape}')",
                f"    dense__{name} = np.ascontiguousarray({name})",
            ]
        else:
            lines.append(f"    dense__{name} = np.full((1,), {name}, np.{buffer.type.dtype.name})")
    for buffer in program.outputs:
        lines.append(f"    {buffer.name} = np.empty({buffer.type.shape or (1,)}, np.{buffer.type.dtype.name})")
    dense = [f"dense__{b.name}" for b in program.inputs]
    others = [b.name for b in (*program.constants, *program.outputs)]
    results = [b.name if b.type.shape else f"{b.name}[0]" for b in program.outputs]
    lines += [
        f"    kernel__status = kernel(({', '.join([*dense, *others])}, np.empty({size}, np.uint8)))",
        "    if kernel__status > 0:",
        "        raise IndexError('an index is out of bounds')",
        "    if kernel__status < 0:",
        "        raise RuntimeError('a NumPy call inside the compiled function failed')",
        f"    return {results[0] if len(results) == 1 else '(' + ', '.join(results) + ',)'}",
    ]
    namespace: dict[str, Any] = {"kernel": kernel(program), "np": np}
    namespace |= {b.name: b.value for b in program.constants}
    namespace |= {f"check__{b.name}": _type_check(b) for b in program.inputs}
    exec("\n".join(lines), namespace)
    return njit(namespace[program.name])


def _type_check(buffer: Buffer) -> Any:
    """An njit function that refuses, while the caller compiles, what is not of the compiled dtype and rank."""
    from numba.core.errors import TypingError

    expected = from_dtype(buffer.type.dtype)

    @intrinsic
    def check(typing_context: Any, array: Any) -> Any:
        if buffer.type.ndim == 0:
            if not isinstance(array, types.Number | types.Boolean):
                raise TypingError(f"{buffer.name}: compiled for a number, {buffer.type}, got {array}.")
            if isinstance(array, types.Float) and not buffer.type.is_float:
                raise TypingError(f"{buffer.name}: compiled for an integer, {buffer.type}, got {array}.")
            return types.void(array), lambda context, builder, signature, values: context.get_dummy_value()
        if not isinstance(array, types.Array) or array.ndim != buffer.type.ndim:
            raise TypingError(f"{buffer.name}: compiled for an array {buffer.type}, got {array}.")
        if array.dtype != expected:
            raise TypingError(
                f"{buffer.name}: compiled for dtype {buffer.type.dtype}, got an array of {array.dtype}. Convert it "
                f"with .astype(np.{buffer.type.dtype.name})."
            )
        return types.void(array), lambda context, builder, signature, values: context.get_dummy_value()

    return check


def _array(buffer: Buffer) -> Any:
    return types.Array(from_dtype(buffer.type.dtype), buffer.type.ndim, "C")
