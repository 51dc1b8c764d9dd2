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
from fungrad.errors import ArgumentError, ConcretizationError, UnsupportedError
from fungrad.trace import STATIC, Tracer, abstract_purpose, concrete_value, need_value, user_line

_SCIPY = {
    "logsumexp": "np.logaddexp.reduce",
    "softmax": "fungrad.nn.softmax",
    "log_softmax": "fungrad.nn.log_softmax",
    "solve_triangular": "fungrad.lax.linalg.solve_triangular",
    "cho_solve": "fungrad.lax.linalg.cho_solve",
    **{name: f"np.linalg.{name}" for name in ("solve", "inv", "det", "cholesky", "eigh", "svd", "qr", "pinv", "lstsq")},
}
"""What takes traced arrays in place of functions of SciPy."""


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
        instead = f"To index a plain array with it, use fungrad.numpy.take(array, i, axis=0). {STATIC}"
        return np.array(need_value(self, "conversion to an ndarray", instead), dtype)
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
            f"Use fungrad.numpy.array([...]) or np.stack to build arrays from traced values. A traced value alone "
            f"already is an array: leave {name} out, or use fungrad.numpy.asarray."
        )
    elif name.split(".")[-1] in _SCIPY:
        instead = f"Use {_SCIPY[name.split('.')[-1]]} in place of {name}."
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
            value = need_value(self, f"{kind}()", f"Keep it an array. {STATIC} Under vmap, leave it unmapped.")
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
        "Use np.where(condition, a, b), np.logical_and, np.logical_or, or fungrad.lax.cond and while_loop. "
        f"{STATIC} Under vmap, leave it unmapped.",
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


def refuse_hash(self: Tracer) -> int:
    """`hash`, which sets and the keys of dicts need."""
    raise ConcretizationError(
        f"a traced value {self.type} cannot be a key of a dict or an element of a set, at {user_line()}. {STATIC}"
    )


def refuse_numba(self: Tracer) -> Any:
    """What Numba asks for the type of an argument."""
    raise UnsupportedError(
        f"a Numba function was called with a traced value {self.type}, at {user_line()}. Make it a primitive with "
        "fungrad.extend.njit_primitive, or call the plain Python function: f.py_func(x)."
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
