"""What compiled code refers to outside itself, by name: the C library, threads, tables, and functions programs share.

Names rather than addresses, so that machine code can be kept; they are looked up when it is linked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fungrad.jit.c_library import LIBC, libc_address
from fungrad.jit.forks import once

if TYPE_CHECKING:
    from fungrad.jit.machine_code import Library

SHARED, PRODUCT = "fungrad_shared_", "fungrad_product_"
_TABLE, _POOL = "fungrad_two_over_pi", "fungrad_pool_run"


def is_external(name: str) -> bool:
    """Whether the name of an LLVM global is one of ours that is defined outside."""
    return name.startswith((LIBC, SHARED, PRODUCT)) or name in (_TABLE, _POOL)


def find(name: str) -> int | Library:
    """Where an external symbol is: an address that stays, or the library that has it.

    Raises:
        KeyError: there is no such symbol.
    """
    if name.startswith(PRODUCT):
        from fungrad.jit import shared_products

        return shared_products.library_of(name)
    return _address(name)


@once
def _address(name: str) -> int:
    if name == _POOL:
        from fungrad.jit import thread_pool

        return thread_pool.address_of_run()
    if name.startswith(LIBC):
        return libc_address(name.removeprefix(LIBC))
    if name.startswith(SHARED):
        from fungrad.jit import shared_functions

        return shared_functions.address(name.removeprefix(SHARED))
    if name == _TABLE:
        from fungrad.jit import vectortrig

        return int(vectortrig.two_over_pi_table().ctypes.data)
    raise KeyError(name)
