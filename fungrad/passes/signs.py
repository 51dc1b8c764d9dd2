"""Signs moved to where they cost nothing: a rule of `simplify`.

    a = neg x ; b = add y a ; c = mul 2.0 x ; d = neg c      becomes      b = sub y x ; d = mul -2.0 x

Derivatives are full of them. Every rule keeps all bits but the sign of a nan. `-(x - y)` stays as it is: where x and y
are equal it is -0.0, and `y - x` is 0.0. What a rule makes is looked at again when the pass is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fungrad.passes.rewriting import number_of
from fungrad.primitives.create import full
from fungrad.primitives.elementwise import ELEMENTWISE
from fungrad.trace import bind

Made = Callable[[Any], tuple[str, Sequence[Any]] | None]
"""The row and the operands of the elementwise equation that made a value, if one did."""


def fewer_signs(row: str, operands: Sequence[Any], made: Made) -> Any:
    """An elementwise operation with fewer changes of sign, or None."""

    def opposite(x: Any) -> Any:
        """The value of which `x` is the negative."""
        found = made(x)
        return found[1][0] if found and found[0] == "neg" else None

    opposites = [opposite(x) for x in operands]
    match row, opposites:
        case "neg", [None]:
            return _negated(made(operands[0]))
        case "neg", [x]:
            return x
        case (("add" | "sub"), [_, y]) if y is not None:
            return bind(ELEMENTWISE["sub" if row == "add" else "add"], operands[0], y)
        case "add", [x, None] if x is not None:
            return bind(ELEMENTWISE["sub"], operands[1], x)
        case (("mul" | "div"), [x, y]) if x is not None or y is not None:
            left = _negative(operands[0]) if x is None else x
            right = _negative(operands[1]) if y is None else y
            return None if left is None or right is None else bind(ELEMENTWISE[row], left, right)
    return None


def _negated(product: tuple[str, Sequence[Any]] | None) -> Any:
    """The negative of a product of which one factor is a number."""
    if product and product[0] == "mul":
        x, y = product[1]
        for number, other in ((x, y), (y, x)):
            negative = _negative(number)
            if negative is not None:
                return bind(ELEMENTWISE["mul"], negative, other)
    return None


def _negative(x: Any) -> Any:
    """The negative of a constant that repeats one float."""
    number = number_of(x)
    return None if number is None or number.dtype.kind != "f" else full(x.shape, -number, x.dtype)
