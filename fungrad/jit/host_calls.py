"""Calls from compiled code back to NumPy, for primitives that have no loops of their own.

Each host call of a program is a C callback whose address is passed to the program. It receives the addresses of its
operands and results, so it works from any compiled caller, the user's own njit functions included; it takes the GIL
while it runs. An exception cannot cross compiled code: it is kept for the thread and raised again by whoever called
the program.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np

from fungrad.jit.loops import Buffer, Host
from fungrad.trace import attributed_to

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class _Pending(threading.local):
    error: BaseException | None = None


_PENDING = _Pending()


def take_error() -> BaseException | None:
    """The exception the last host call of this thread ended with, once."""
    error, _PENDING.error = _PENDING.error, None
    return error


def callback(call: Host) -> Any:
    """The C function of a host call; it must be kept as long as code that calls it."""

    def run(table: int) -> int:
        try:
            buffers = [*call.inputs, *call.outputs]
            addresses = (ctypes.c_void_p * len(buffers)).from_address(table)
            arrays = [_view(address, buffer) for address, buffer in zip(addresses, buffers, strict=True)]
            inputs = [x if x.ndim else x[()] for x in arrays[: len(call.inputs)]]
            with np.errstate(all="ignore"), attributed_to(call.where):  # as in native parts
                result = call.op.evaluate(*inputs)
            results = result if call.op.multiple else (result,)
            for target, value in zip(arrays[len(call.inputs) :], results, strict=True):
                target[...] = value
        except BaseException as error:
            _PENDING.error = error
            return 1
        return 0

    return _CALLBACK(run)


def address(function: Any) -> int:
    """The address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _view(address: int | None, buffer: Buffer) -> Any:
    """The memory of a buffer as an array."""
    dtype, shape = buffer.type.dtype, buffer.type.shape
    if not buffer.type.size or address is None:
        return np.empty(shape, dtype)
    memory: Any = (ctypes.c_char * (buffer.type.size * dtype.itemsize)).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)
