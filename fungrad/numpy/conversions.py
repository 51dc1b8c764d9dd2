"""What cannot be traced: a float tracer turned into a plain number or array, which would lose the gradient.

The messages name the user's line and what to write instead; for that the call is read back from the user's code.
Integers and booleans of known value may be converted, since no derivative goes through them.
"""

from __future__ import annotations

import linecache
import sys
from opcode import opname
from typing import Any, NoReturn

import numpy as np

from fungrad.context import INTERNAL_FILES
from fungrad.errors import ArgumentError, ConcretizationError
from fungrad.trace import Tracer, abstract_purpose, concrete_value, need_value, user_line


def known_value(x: Any, action: str, instead: str) -> Any:
    """The ndarray or NumPy scalar behind a tracer; arrays pass through.

    Raises:
        ConcretizationError: it is not known here.
    """
    return need_value(x, action, instead) if type(x) is Tracer else x


def user_call() -> tuple[str, bool]:
    """The expression the user's code is evaluating, and whether it is an assignment `a[i] = v`."""
    frame = sys._getframe(1)
    while INTERNAL_FILES[frame.f_code.co_filename]:
        if frame.f_back is None:
            return "", False
        frame = frame.f_back
    code, at = frame.f_code, frame.f_lasti
    line, end_line, start, end = list(code.co_positions())[at // 2]
    text = linecache.getline(code.co_filename, line or 0)
    if line != end_line or start is None or end is None:
        return text.strip(), opname[code.co_code[at]] == "STORE_SUBSCR"
    return text.encode()[start:end].decode(errors="replace"), opname[code.co_code[at]] == "STORE_SUBSCR"


def _is_plain(t: Tracer) -> bool:
    return t.dtype.kind != "f"


def to_array(self: Tracer, dtype: Any = None, copy: Any = None) -> Any:
    """`__array__`: only for integers and booleans of known value."""
    if _is_plain(self):
        value = need_value(
            self, "conversion to an ndarray", "Index plain arrays by fungrad.numpy.take(array, i, axis=0)."
        )
        return np.array(value, dtype)
    call, stores = user_call()
    if stores:
        raise ConcretizationError(
            f"a traced value {self.type} was assigned into an ndarray, at {user_line()}, which would lose its "
            "gradient. Make the buffer traced, with np.zeros_like(x) of a traced x or fungrad.numpy.zeros_like; or "
            "collect the values and join them with np.stack; or write buf = fungrad.numpy.at(buf)[i].set(v)."
        )
    name = call.split("(")[0].strip()
    if name.endswith(("asarray", "asanyarray", "ascontiguousarray", "array")):
        instead = (
            "Use fungrad.numpy.array([...]) or np.stack to build arrays from traced values; a traced value alone "
            "already is an array."
        )
    elif name.startswith(("np.float", "numpy.float")):
        instead = f"Use x.astype({name})."
    else:
        instead = (
            f"Use a NumPy function that accepts traced arrays in place of {name}, or build sequences of traced "
            "values with fungrad.numpy.array([...]) or np.stack first."
        )
    raise ConcretizationError(
        f"a traced value {self.type} would become a plain ndarray, at {user_line()}, and its gradient would be lost. "
        f"{instead}"
    )


def to_number(kind: str) -> Any:
    """`__float__`, `__int__`, `__complex__`, `__index__`: only for integers and booleans of known value."""
    convert = {"float": float, "int": int, "complex": complex, "index": int}[kind]

    def method(self: Tracer) -> Any:
        if _is_plain(self) and self.size == 1:
            value = need_value(
                self, f"{kind}()", "Keep it an array, or mark the argument static under jit and unmapped under vmap."
            )
            return convert(value.item())
        _refuse_number(self, kind)

    return method


def _refuse_number(t: Tracer, kind: str) -> NoReturn:
    call, stores = user_call()
    name = call.split("(")[0].strip()
    if stores:
        to_array(t)
    if name.startswith(("math.", "cmath.")):
        function = name.split(".")[1]
        known = {
            "pow": "power",
            "fabs": "abs",
            "ceil": "ceil",
            "fsum": "sum",
            "gamma": "exp(lgamma)",
            "dist": "linalg.norm",
        }
        instead = f"{name} works on plain numbers: write np.{known.get(function, function)}."
    elif kind == "index":
        instead = "Only integers are indices or lengths; for a traced index use x.astype(np.int64) and np.take."
    else:
        instead = (
            f"Leave {kind}() out, or use NumPy's function in place of {name or 'the call'}; to print, use f-strings."
        )
    raise ConcretizationError(
        f"a traced value {t.type} would become a plain {'integer' if kind == 'index' else kind}, at {user_line()}, "
        f"and its gradient would be lost. {instead}"
    )


def to_bool(self: Tracer) -> bool:
    """`if t:` where the value is known."""
    value = need_value(
        self,
        "a condition (if, while, and, or, not, assert)",
        "Use np.where(condition, a, b), or np.logical_and and np.logical_or; or mark the argument static "
        "under jit and unmapped under vmap.",
    )
    if value.size != 1:
        raise ArgumentError(
            f"the truth of an array of {value.size} elements is ambiguous, at {user_line()}. Use np.any(...) or "
            f"np.all(...)."
        )
    return bool(value)


def item(self: Tracer, *args: Any) -> Any:
    """`x.item()`: only for integers and booleans of known value."""
    if _is_plain(self):
        return need_value(self, "item()", "Index the array instead.").item(*args)
    raise ConcretizationError(
        f"x.item() would turn a traced value {self.type} into a plain number, at {user_line()}, and its gradient "
        "would be lost. Index it instead: x[i], or x.reshape(()) for the only element."
    )


def tolist(self: Tracer) -> Any:
    """`x.tolist()`: only for integers and booleans of known value."""
    if _is_plain(self):
        return need_value(self, "tolist()", "Keep it an array.").tolist()
    raise ConcretizationError(
        f"x.tolist() would turn a traced value {self.type} into plain numbers, at {user_line()}, and their gradient "
        "would be lost. Use list(x), whose elements are traced."
    )


def represent(self: Tracer) -> str:
    """`repr`: the value where it is known, else the type and what hides it."""
    value = concrete_value(self)
    if value is None:
        return f"<traced {self.type} under {abstract_purpose(self)}>"
    return f"<traced {self.type}: {value}>"


def to_text(self: Tracer, specification: str) -> str:
    """`format`: formats the value where it is known."""
    value = concrete_value(self)
    return represent(self) if value is None or not specification else format(value, specification)
