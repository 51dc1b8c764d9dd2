"""The program as an njit function, for the user's own compiled code.

The loops are LLVM inside one `numba.extending.intrinsic`; generated njit source around it checks, allocates and calls.
So Numba does what it is good at (calling conventions, linking) and never infers types of loops, which is what makes
compiling njit source slow. Calls from Python go through `runtime`, which needs no Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding
from numba import from_dtype, njit, objmode, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from fungrad.jit import host_calls, symbols
from fungrad.jit.emit_llvm import CALLBACK, emit_llvm
from fungrad.jit.emitter import OUT_OF_MEMORY, no_memory
from fungrad.jit.llvm_types import I64
from fungrad.jit.loops import Buffer, Program
from fungrad.jit.machine_code import address_in
from fungrad.jit.memory_plan import arena_layout

_ALIVE: list[Any] = []  # njit functions may be called as long as the process lives


def kernel(program: Program, threads: int) -> Any:
    """The program as an intrinsic: call it in njit code with every input, constant and output and the arena.

    Returns a status, see `emit_llvm`.
    """
    callbacks = [host_calls.callback(call) for call in program.hosts]
    _ALIVE.extend(callbacks)

    @intrinsic
    def run(typing_context: Any, arrays: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            function = emit_llvm(program, builder.module)
            for name in filter(symbols.is_external, builder.module.globals):
                place = symbols.find(name)
                _ALIVE.append(place)
                binding.add_symbol(name, address_in(place, name))
            # Code with addresses of this process must not outlive it. Using one that Numba knows of as such, if only
            # the program's own, keeps Numba from caching callers on disk.
            address = context.add_dynamic_addr(builder, id(program), info=program.name)
            gone = builder.zext(builder.icmp_unsigned("==", address, address.type(None)), I64)
            pointers = []
            for position, type in enumerate(signature.args[0].types):
                array = context.make_array(type)(context, builder, builder.extract_value(values[0], position))
                pointers.append(builder.bitcast(array.data, function.args[position].type))
            pointers.append(I64(threads))
            for callback in callbacks:
                found = context.add_dynamic_addr(builder, host_calls.address(callback), info="host call")
                pointers.append(builder.bitcast(found, CALLBACK))
            return builder.or_(builder.call(function, pointers), gone)

        return types.int64(arrays), generate

    return run


def compile_dispatcher(program: Program, threads: int) -> Any:
    """The program as an njit function from flat inputs to flat outputs, for the user's own njit code.

    Arrays are copied if they are not dense. 0-d inputs are numbers, 0-d outputs are returned as numbers. One output is
    returned alone, several as a tuple. It raises what a call from Python does.
    """
    _, size = arena_layout(program)
    lines = [f"def {program.name}({', '.join(b.name for b in program.inputs)}):"]
    for buffer in program.inputs:
        name, shape = buffer.name, buffer.type.shape
        lines.append(f"    checked__{name} = check__{name}({name})")
        if shape:
            lines += [
                f"    if checked__{name}.shape != {shape}:",
                f"        raise kernel__ValueError('{name}: compiled for shape {shape}')",
                f"    dense__{name} = np.ascontiguousarray(checked__{name})",
            ]
        else:
            lines.append(f"    dense__{name} = np.full((1,), checked__{name}, np.{buffer.type.dtype.name})")
    for buffer in program.outputs:
        lines.append(f"    {buffer.name} = np.empty({buffer.type.shape or (1,)}, np.{buffer.type.dtype.name})")
    dense = [f"dense__{b.name}" for b in program.inputs]
    others = [b.name for b in (*program.constants, *program.outputs)]
    results = [b.name if b.type.shape else f"{b.name}[0]" for b in program.outputs]
    lines += [
        f"    kernel__status = kernel(({', '.join([*dense, *others])}, np.empty({size}, np.uint8)))",
        *(
            f"    if kernel__status == {i}:\n        raise kernel__IndexError({x!r})"
            for i, x in enumerate(program.failures, 1)
        ),
        f"    if kernel__status == {OUT_OF_MEMORY}:\n        raise kernel__MemoryError({no_memory(program)!r})",
    ]
    if program.hosts:
        lines += ["    if kernel__status < 0:", *_host_errors()]
    lines += [
        "    if kernel__status:",  # is 1 if the program is gone, see `kernel`
        "        raise kernel__RuntimeError('the compiled function failed')",
        f"    return {results[0] if len(results) == 1 else '(' + ', '.join(results) + ',)'}",
    ]
    namespace: dict[str, Any] = {"kernel": kernel(program, threads), "np": np}
    namespace |= {"objmode": objmode, "kernel__error": host_calls.raise_error, "kernel__kind": host_calls.error_kind}
    errors = (*host_calls.PLAIN_ERRORS, IndexError, MemoryError)
    namespace |= {f"kernel__{error.__name__}": error for error in errors}
    namespace |= {b.name: b.value for b in program.constants}
    namespace |= {f"check__{b.name}": _type_check(b) for b in program.inputs}
    exec("\n".join(lines), namespace)
    return njit(namespace[program.name])


def _host_errors() -> list[str]:
    """Lines that raise what a host call ended with.

    Numba (0.68) crashes if an error leaves `objmode` inside a `try` of the caller: the usual ones are raised outside.
    """
    lines = ["        with objmode(kernel__number='int64', kernel__text='unicode_type'):"]
    lines.append("            kernel__number, kernel__text = kernel__kind()")
    for number, error in enumerate(host_calls.PLAIN_ERRORS):
        lines += [
            f"        if kernel__number == {number}:",
            f"            raise kernel__{error.__name__}(kernel__text)",
        ]
    return [*lines, "        with objmode():", "            kernel__error()"]


def _type_check(buffer: Buffer) -> Any:
    """An njit function that returns its argument and refuses, while the caller compiles, one of another dtype or rank.

    Numbers may be of a dtype that fits into the compiled one without loss, and integers where floats are wanted.
    """
    from numba.core.errors import TypingError

    expected = from_dtype(buffer.type.dtype)

    @intrinsic
    def check(typing_context: Any, array: Any) -> Any:
        if buffer.type.ndim == 0:
            if not isinstance(array, types.Number | types.Boolean):
                raise TypingError(f"{buffer.name}: compiled for a number, {buffer.type}, got {array}.")
            given = as_dtype(array.literal_type if isinstance(array, types.Literal) else array)
            if not (np.can_cast(given, buffer.type.dtype) or (given.kind in "biu" and buffer.type.is_float)):
                raise TypingError(
                    f"{buffer.name}: compiled for {buffer.type}, into which {given} does not fit. Convert it with "
                    f"np.{buffer.type.dtype.name}({buffer.name})."
                )
            return array(array), _unchanged
        if not isinstance(array, types.Array) or array.ndim != buffer.type.ndim:
            raise TypingError(f"{buffer.name}: compiled for an array {buffer.type}, got {array}.")
        if array.dtype != expected:
            raise TypingError(
                f"{buffer.name}: compiled for dtype {buffer.type.dtype}, got an array of {array.dtype}. Convert it "
                f"with .astype(np.{buffer.type.dtype.name})."
            )
        return array(array), _unchanged

    return check


def _unchanged(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    kept: Any = impl_ret_borrowed  # Numba has no types to check
    return kept(context, builder, signature.return_type, values[0])
