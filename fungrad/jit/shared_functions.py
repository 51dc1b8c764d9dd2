"""Elementary functions outside the program, for its code that hardly ever runs.

Loops compute sines by a formula for ordinary arguments, and run again if some were not (see `assumptions`). In that
other version all elementary functions are calls of these, one number at a time. They are compiled once for all
programs: inside each program they were most of the compile time. Their results have the same bits as the code inside
loops that is for any argument.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from fungrad.compilation import Phases
from fungrad.jit import symbols, vectormath
from fungrad.jit.forks import once
from fungrad.jit.registers import format_of


def call(op: str, b: ir.IRBuilder, *args: ir.Value) -> ir.Value:
    """`op` of any arguments, by a call."""
    type = args[0].type
    name = f"{symbols.SHARED}{format_of(args[0]).bits}_{op}"
    found = b.module.globals.get(name)
    if found is None:
        found = ir.Function(b.module, ir.FunctionType(type, [type] * len(args)), name)
        found.attributes.add("nounwind")
        found.attributes.add("readnone")
    return b.call(found, args)


def address(function: str) -> int:
    """Where a function is; `function` is its precision and its name, such as `64_sin`."""
    return int(_library(function).address(symbols.SHARED + function))


@once
def _library(function: str) -> Any:
    """The library of one function; lives as long as the process."""
    from fungrad.jit.compiler import library

    bits, _, op = function.partition("_")
    type = ir.FloatType() if bits == "32" else ir.DoubleType()
    name = symbols.SHARED + function

    def text() -> tuple[str, list[str]]:
        module = ir.Module(name=name)
        defined = ir.Function(module, ir.FunctionType(type, [type] * vectormath.arity(op)), name)
        b = ir.IRBuilder(defined.append_basic_block("entry"))
        b.ret(vectormath.apply(op, b, *defined.args))
        return str(module), [x for x in module.globals if symbols.is_external(x) and x != name]

    return library(name, [name], text, symbols.find, Phases(), finished=True)[0]
