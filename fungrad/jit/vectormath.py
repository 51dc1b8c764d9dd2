"""The elementary functions of compiled programs: arithmetic, bit operations and selects, which LLVM vectorises.

Calls to the C library are scalar: a loop with one `exp` in it cannot use vector registers. The functions here have no
branches and no calls. Each is written once for both precisions; tables hold the coefficients. Where a function loses
accuracy in one step, the rounding error of that step is kept in a second number.

tests/jit/test_vectormath.py measures the error of each function in ulp against mpmath; docs/vectormath.md has the
table. tests/jit/polynomial_fits.py derives the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from fungrad.jit import vectorarc, vectorerf, vectorexp, vectorlog, vectorpow, vectortrig
from fungrad.jit.assumptions import ASSUMING, Assume
from fungrad.jit.registers import Number, format_of

FUNCTIONS: dict[str, Callable[..., Number]] = {
    "exp": vectorexp.exp,
    "exp2": vectorexp.exp2,
    "expm1": vectorexp.expm1,
    "tanh": vectorexp.tanh,
    "logistic": vectorexp.logistic,
    "sinh": vectorexp.sinh,
    "cosh": vectorexp.cosh,
    "log": vectorlog.log,
    "log2": vectorlog.log2,
    "log10": vectorlog.log10,
    "log1p": vectorlog.log1p,
    "arcsinh": vectorlog.arcsinh,
    "arccosh": vectorlog.arccosh,
    "arctanh": vectorlog.arctanh,
    "sin": vectortrig.sin,
    "cos": vectortrig.cos,
    "tan": vectortrig.tan,
    "arcsin": vectorarc.arcsin,
    "arccos": vectorarc.arccos,
    "arctan": vectorarc.arctan,
    "arctan2": vectorarc.arctan2,
    "erf": vectorerf.erf,
    "erfc": vectorerf.erfc,
    "erfcx": vectorerf.erfcx,
    "pow": vectorpow.pow,
    "cbrt": vectorpow.cbrt,
    "hypot": vectorpow.hypot,
}
"""The rows of the elementwise table that are not machine instructions; `erf_inv`, for random numbers, is apart."""


def arity(name: str) -> int:
    """How many arguments a function has."""
    return 2 if name in ("arctan2", "pow", "hypot") else 1


def apply(name: str, b: ir.IRBuilder, *args: ir.Value, assume: Assume | None = None) -> Any:
    """The LLVM value of a function of LLVM values, which may assume ordinary arguments if `assume` is given."""
    numbers = [Number(b, format_of(x), x) for x in args]
    result = FUNCTIONS[name](*numbers, assume) if name in ASSUMING else FUNCTIONS[name](*numbers)
    return result.value
