"""Functions of the C library in compiled code."""

from __future__ import annotations

import ctypes

from llvmlite import ir

LIBC = "fungrad_libc_"
"""How compiled code calls a function of the C library."""


def libc_address(name: str) -> int:
    """The address of a function of the C library."""
    library = ctypes.CDLL(None)  # what Python itself has loaded
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def libc(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    """A function of the C library."""
    symbol = f"{LIBC}{name}"
    return module.globals.get(symbol) or ir.Function(module, ir.FunctionType(result, arguments), symbol)
