"""Matrix products outside the program: their code depends on sizes alone, and programs use the same ones again.

The gradient of a network and the step that uses it, or the same step under another learning rate, multiply the same
matrices. So the code of a product is compiled once, and kept for later programs, and as long as a program uses it.
"""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakValueDictionary

from llvmlite import ir

from fungrad.compilation import Phases
from fungrad.jit import symbols
from fungrad.jit.forks import LOCK
from fungrad.jit.machine_code import Library
from fungrad.jit.products import Product, emit_product

KEPT = 512  # products asked for last, some ten KiB each

_IN_USE: WeakValueDictionary[str, Library] = WeakValueDictionary()  # those, and all that programs import


def declared(module: ir.Module, product: Product) -> ir.Function:
    """The function of a product, for calls from a module."""
    words = [int(x) if isinstance(x, bool) else x for x in product]
    name = f"{symbols.PRODUCT}{'_'.join(map(str, words))}"
    return module.globals.get(name) or ir.Function(module, product.type, name)


def library_of(name: str) -> Library:
    """The library of the function with this name."""
    with LOCK:
        return kept(name)


@lru_cache(maxsize=KEPT)
def kept(name: str) -> Library:
    found = _IN_USE.get(name)
    if found is None:
        found = _IN_USE[name] = _made(name)
    return found


def _made(name: str) -> Library:
    from fungrad.jit.compiler import library

    bits, transpose_a, transpose_b, m, n, k, addend, scaled = name.removeprefix(symbols.PRODUCT).split("_")
    flags = transpose_a == "1", transpose_b == "1"
    product = Product(int(bits), *flags, int(m), int(n), int(k), addend, scaled == "1")

    def text() -> tuple[str, list[str]]:
        module = ir.Module(name=name)
        emit_product(ir.Function(module, product.type, name), product)
        return str(module), [x for x in module.globals if symbols.is_external(x) and x != name]

    return library(name, [name], text, symbols.find, Phases(), finished=True)[0]
