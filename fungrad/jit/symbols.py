"""What compiled code refers to outside itself, by name: BLAS, the C library, tables, and functions that programs share.

Names rather than addresses, so that machine code can be kept; they are looked up when it is linked.
"""

from __future__ import annotations

from functools import cache

SHARED = "fungrad_shared_"
_BLAS, _LIBC, _TABLE = "fungrad_blas_", "fungrad_libc_", "fungrad_two_over_pi"


def is_external(name: str) -> bool:
    """Whether the name of an LLVM global is one of ours that is defined outside."""
    return name.startswith((_BLAS, _LIBC, SHARED)) or name == _TABLE


@cache
def address(name: str) -> int:
    """The address of an external symbol.

    Raises:
        KeyError: there is no such symbol.
    """
    if name.startswith(_BLAS):
        from fungrad.jit import blas

        return blas.address(name.removeprefix(_BLAS))
    if name.startswith(_LIBC):
        from fungrad.jit.native_math import libc_address

        return libc_address(name.removeprefix(_LIBC))
    if name.startswith(SHARED):
        from fungrad.jit import shared_functions

        return shared_functions.address(name.removeprefix(SHARED))
    if name == _TABLE:
        from fungrad.jit import vectortrig

        return int(vectortrig.two_over_pi_table().ctypes.data)
    raise KeyError(name)
