"""A user's njit function as a C function, which compiled code calls by its address.

    status = function(addresses)

The addresses are those of a layout, the operands and the results, as for every host call. The layout has what differs
between calls of one compiled function: how many examples there are, how many bytes the operands and results of two
examples are apart, and the extents. A C function is compiled once for the dtypes and ranks of its operands, as Numba
does it, and kept: Numba never frees machine code. This module is loaded, and loads Numba, when a kernel is first used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cache
from threading import RLock
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, njit
from numba import types as numba_types
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype, carray

from fungrad.errors import KernelError
from fungrad.ir.types import ArrayType, DType, array_type
from fungrad.jit.host_calls import array_at, keep_error

Operand = tuple[DType, int]  # dtype and rank
types: Any = numba_types
_LOCK = RLock()
_ALIVE: list[Any] = []  # Numba never frees machine code, so neither does what it calls
_AGAIN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)


@intrinsic
def _readonly(typing_context: Any, array: Any) -> Any:
    """The array, as one that may not be written to."""
    return array.copy(readonly=True)(array), lambda context, builder, signature, values: values[0]


@cache
def _pointer(dtype: DType) -> Any:
    """An address as a pointer to numbers of a dtype, in njit code."""

    @intrinsic
    def pointer(typing_context: Any, address: Any) -> Any:
        target = types.CPointer(from_dtype(dtype))
        return target(types.int64), lambda context, builder, signature, values: builder.inttoptr(
            values[0], context.get_value_type(target)
        )

    return pointer


def c_function(
    name: str, kernel: Any, operands: Sequence[Operand], results: Sequence[Operand], by_element: bool
) -> Any:
    """The C function of a kernel, as ctypes calls it.

    Args:
        name: of the kernel, for errors.
        kernel: an njit function. By element it takes and returns numbers, otherwise it takes arrays (numbers for rank
            0) and fills the arrays that follow them.
        operands: dtypes and ranks.
        results: the same.
        by_element: see `kernel`.

    Raises:
        KernelError: Numba cannot compile the kernel for these operands, or it writes to them.
    """
    with _LOCK:
        return _c_function(name, kernel, tuple(operands), tuple(results), by_element)


@cache
def _c_function(name: str, kernel: Any, operands: Any, results: Any, by_element: bool) -> Any:
    try:
        return _compiled(kernel, operands, results, by_element, readonly=True)
    except NumbaError as error:
        if "readonly array" in str(error) and "setitem" in str(error):
            raise KernelError(
                f"the kernel {name} writes to one of its operands, which belong to others: copy it first, as in "
                "x = x.copy(), and write results to the arrays that follow the operands."
            ) from error
    try:  # a kernel of fixed signatures, or one that calls what takes no read-only arrays
        return _compiled(kernel, operands, results, by_element, readonly=False)
    except NumbaError as error:
        raise KernelError(_does_not_compile(name, operands, results, error)) from error


def result_type(name: str, kernel: Any, dtypes: Sequence[DType]) -> ArrayType:
    """The type of the number that a kernel returns for numbers."""
    with _LOCK:
        return _result_type(name, kernel, tuple(dtypes))


@cache
def _result_type(name: str, kernel: Any, dtypes: tuple[DType, ...]) -> ArrayType:
    try:
        arguments = tuple(map(from_dtype, dtypes))
        signature: Any = types.Dispatcher(kernel).get_call_type(cpu_target.typing_context, arguments, {})
    except NumbaError as error:
        raise KernelError(_does_not_compile(name, [(dtype, 0) for dtype in dtypes], (), error)) from error
    found = signature.return_type
    if not isinstance(found, types.Number | types.Boolean):
        raise KernelError(
            f"the kernel {name} returns {found}; without `out` it has to return one number. A kernel that fills arrays "
            "needs `out`, which says what it fills."
        )
    return array_type((), as_dtype(found))


def _does_not_compile(name: str, operands: Sequence[Operand], results: Sequence[Operand], error: Exception) -> str:
    shown = ", ".join(f"{dtype}{f' array of rank {ndim}' if ndim else ''}" for dtype, ndim in (*operands, *results))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if not line.startswith("Failed in nopython")), "")
    return f"Numba cannot compile the kernel {name} for ({shown}): {reason}"


def _compiled(kernel: Any, operands: Any, results: Any, by_element: bool, readonly: bool) -> Any:
    namespace: dict[str, Any] = {"kernel": kernel, "carray": carray, "readonly": _readonly}
    namespace |= {f"pointer{i}": _pointer(dtype) for i, (dtype, _) in enumerate((*operands, *results))}
    namespace["pointer"] = _pointer(np.dtype(np.int64))
    lines = _elementwise_source(operands) if by_element else _array_source(operands, results, readonly)
    exec("\n".join(["def run(table):", *(f"    {line}" for line in lines)]), namespace)
    run = njit(error_model="numpy")(namespace["run"])
    count = 1 + len(operands) + len(results)
    again = _again(kernel, operands, results, by_element, readonly)

    def entry(table: Any) -> int:
        try:
            run(table)
        except Exception:  # Numba keeps no more of it; Python runs the kernel again to see
            return again(carray(table, (count,)).ctypes.data)  # type: ignore[no-any-return]
        return 0

    compiled = cfunc(types.int64(types.CPointer(types.int64)))(entry)
    _ALIVE.append((compiled, again))
    return compiled.ctypes


def _elementwise_source(operands: Any) -> list[str]:
    """Apply the kernel to every element; the elements are the examples, and the layout is their number."""
    count = len(operands)
    lines = [f"words = carray(table, ({2 + count},))", "n = carray(pointer(words[0]), (1,))[0]"]
    lines += [f"x{i} = carray(pointer{i}(words[{1 + i}]), (n,))" for i in range(count + 1)]
    elements = ", ".join(f"x{i}[i]" for i in range(count))
    return [*lines, "for i in range(n):", f"    x{count}[i] = kernel({elements})"]


def _array_source(operands: Any, results: Any, readonly: bool) -> list[str]:
    """Apply the kernel to every example."""
    every = (*operands, *results)
    at = 1 + len(every)
    size = at + sum(ndim for _, ndim in every)
    lines = [f"words = carray(table, ({at},))", f"layout = carray(pointer(words[0]), ({size},))"]
    lines += ["for example in range(layout[0]):"]
    for i, (_, ndim) in enumerate(every):
        address = f"pointer{i}(words[{1 + i}] + example * layout[{1 + i}])"
        extents = "".join(f"layout[{at + axis}], " for axis in range(ndim))
        at += ndim
        value = f"carray({address}, ({extents}))"
        if i < len(operands):
            value = f"carray({address}, (1,))[0]" if ndim == 0 else f"readonly({value})" if readonly else value
        lines.append(f"    x{i} = {value}")
    lines.append(f"    kernel({', '.join(f'x{i}' for i in range(len(every)))})")
    return lines


def _again(kernel: Any, operands: Any, results: Any, by_element: bool, readonly: bool) -> Any:
    """A callback that runs a kernel from Python, after it has failed, to keep the exception it raises."""
    every = (*operands, *results)

    def arrays_of(layout: Sequence[int], addresses: Sequence[int], example: int) -> Iterator[Any]:
        at = 1 + len(every)
        for i, (dtype, ndim) in enumerate(every):
            type = array_type(tuple(layout[at : at + ndim]), dtype)
            at += ndim
            step = dtype.itemsize if by_element else layout[1 + i]
            x = array_at(addresses[i] + example * step, type)
            if i < len(operands):
                x.flags.writeable = not readonly
                x = x if ndim else x[()]
            yield x

    def run(address: int) -> int:
        try:
            layout_at, *addresses = (ctypes.c_int64 * (1 + len(every))).from_address(address)
            size = 1 if by_element else 1 + len(every) + sum(ndim for _, ndim in every)
            layout = list((ctypes.c_int64 * size).from_address(layout_at))
            for example in range(layout[0]):
                arrays = list(arrays_of(layout, addresses, example))
                if by_element:
                    arrays[-1][()] = kernel(*arrays[:-1])
                else:
                    kernel(*arrays)
        except BaseException as error:
            keep_error(error)
            return 1
        return 0

    return _AGAIN(run)
