"""What primitives cost, roughly: enough to choose between computing again and keeping."""

from __future__ import annotations

from fungrad.ir.graph import Equation
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.random import Threefry

FUNCTION = 20  # additions that an elementary function takes
_LONG_FUNCTIONS = {  # by the length of their code, which bounds how many of them one loop takes
    **dict.fromkeys(("sin", "cos", "tan"), 100),
    "pow": 80,
    **dict.fromkeys(("erf", "erfc", "erfcx", "arcsinh", "arccosh", "arctan2", "cbrt"), 40),
}

_DIVISIONS = frozenset({"div", "sqrt", "reciprocal"})
_ARITHMETIC = frozenset(
    {"neg", "add", "sub", "mul", "square", "abs", "sign", "copysign", "maximum", "minimum", "fmax", "fmin", "clip"}
    | {"select", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite"}
    | {"logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert"}
    | {"floor", "ceil", "rint", "trunc", "signbit", "stop_gradient"}
)


def cost_of(eqn: Equation) -> int:
    """What an element of a pointwise equation costs, in additions, without its operands."""
    match eqn.op:
        case Elementwise(row):
            return 1 if row in _ARITHMETIC else 4 if row in _DIVISIONS else _LONG_FUNCTIONS.get(row, FUNCTION)
        case Convert():
            return 1
    return 0


def is_expensive(eqn: Equation) -> bool:
    """Whether an element of the result costs much more than to keep it and load it again."""
    return isinstance(eqn.op, Dot | Threefry) or cost_of(eqn) >= FUNCTION
