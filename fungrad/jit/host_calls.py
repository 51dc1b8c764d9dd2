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

from fungrad.errors import NoConvergenceError, NotPositiveDefiniteError, SingularMatrixError
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType
from fungrad.jit.loops import Host
from fungrad.trace import attributed_to

PLAIN_ERRORS = (NotPositiveDefiniteError, SingularMatrixError, NoConvergenceError, ValueError, RuntimeError)
"""Errors that are told in full by their text."""

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class _Pending(threading.local):
    error: BaseException | None = None


_PENDING = _Pending()


def take_error() -> BaseException | None:
    """The exception the last host call of this thread ended with, once."""
    error, _PENDING.error = _PENDING.error, None
    return error


def raise_error() -> None:
    """Raise that exception."""
    raise take_error() or RuntimeError("a call to NumPy failed")


def error_kind() -> tuple[int, str]:
    """Its position in PLAIN_ERRORS and its text, and it is taken; -1 if it is of another kind, and then it stays."""
    error = _PENDING.error
    if type(error) not in PLAIN_ERRORS:
        return -1, ""
    _PENDING.error = None
    return PLAIN_ERRORS.index(type(error)), str(error)


def keep_error(error: BaseException) -> None:
    """Keep an exception that ends a host call of this thread."""
    _PENDING.error = error


class Foreign(Primitive):
    """What a host call computes that is a C function itself, of the same table of addresses, instead of a callback."""

    def c_function(self) -> Any:
        """The function, as ctypes calls it."""
        raise NotImplementedError


def callback(call: Host) -> Any:
    """The C function of a host call; it must be kept as long as code that calls it."""
    if isinstance(call.op, Foreign):
        return call.op.c_function()

    def run(table: int) -> int:
        try:
            buffers = [*call.inputs, *call.outputs]
            addresses = (ctypes.c_void_p * len(buffers)).from_address(table)
            arrays = [array_at(address, buffer.type) for address, buffer in zip(addresses, buffers, strict=True)]
            operands = arrays[: len(call.inputs)]
            for x in operands:
                x.flags.writeable = False
            inputs = [x if x.ndim else x[()] for x in operands]
            with np.errstate(all="ignore"), attributed_to(call.where):  # as in native parts
                result = call.op.evaluate(*inputs)
            results = result if call.op.multiple else (result,)
            for target, value in zip(arrays[len(call.inputs) :], results, strict=True):
                target[...] = value
        except BaseException as error:
            keep_error(error)
            return 1
        return 0

    return _CALLBACK(run)


def address(function: Any) -> int:
    """The address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def array_at(address: int | None, type: ArrayType) -> Any:
    """Memory as an array."""
    if not type.size or address is None:
        return np.empty(type.shape, type.dtype)
    memory: Any = (ctypes.c_char * type.nbytes).from_address(address)
    return np.frombuffer(memory, type.dtype).reshape(type.shape)
