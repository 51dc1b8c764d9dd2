"""Arithmetic on numbers in registers, written as arithmetic: what the vector functions are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir


class Format(NamedTuple):
    """The layout of a floating-point format."""

    bits: int
    mantissa: int
    bias: int

    @property
    def round_magic(self) -> float:
        """1.5 * 2**mantissa: adding it rounds to an integer, which then stands in the low bits."""
        return 1.5 * 2.0**self.mantissa


SINGLE = Format(32, 23, 127)
DOUBLE = Format(64, 52, 1023)


def format_of(value: ir.Value) -> Format:
    """The format of an LLVM value."""
    return SINGLE if isinstance(value.type, ir.FloatType) else DOUBLE


class Number:
    """A floating-point value in registers, with operators. Python numbers mix in as constants."""

    __slots__ = ("b", "format", "value")

    def __init__(self, b: ir.IRBuilder, format: Format, value: ir.Value) -> None:
        self.b = b
        self.format = format
        self.value = value

    def _with(self, value: ir.Value) -> Number:
        return Number(self.b, self.format, value)

    def lift(self, x: Number | float) -> Number:
        """A constant of this precision."""
        if isinstance(x, Number):
            return x
        rounded = float(np.float32(x)) if self.format.bits == 32 else float(x)
        return self._with(ir.Constant(self.value.type, rounded))

    def __add__(self, other: Number | float) -> Number:
        return self._with(self.b.fadd(self.value, self.lift(other).value))

    def __sub__(self, other: Number | float) -> Number:
        return self._with(self.b.fsub(self.value, self.lift(other).value))

    def __rsub__(self, other: float) -> Number:
        return self.lift(other) - self

    def __mul__(self, other: Number | float) -> Number:
        return self._with(self.b.fmul(self.value, self.lift(other).value))

    __rmul__ = __mul__
    __radd__ = __add__

    def __truediv__(self, other: Number | float) -> Number:
        return self._with(self.b.fdiv(self.value, self.lift(other).value))

    def __rtruediv__(self, other: float) -> Number:
        return self.lift(other) / self

    def __neg__(self) -> Number:
        return self._with(self.b.fneg(self.value))

    def times_plus(self, x: Number | float, y: Number | float) -> Number:
        """self * x + y with one rounding."""
        return self._call("fma", self.lift(x), self.lift(y))

    def add_exactly(self, other: Number | float) -> tuple[Number, Number]:
        """self + other and its rounding error, whichever is larger (Knuth's two-sum)."""
        y = self.lift(other)
        total = self + y
        back = total - self
        return total, (self - (total - back)) + (y - back)

    def add_smaller(self, other: Number | float) -> tuple[Number, Number]:
        """self + other and its rounding error, for |other| <= |self| or self = 0 (Dekker's fast two-sum)."""
        y = self.lift(other)
        total = self + y
        return total, (self - total) + y

    def times_exactly(self, other: Number | float) -> tuple[Number, Number]:
        """self * other and its rounding error."""
        product = self * other
        return product, self.times_plus(other, -product)

    def constant(self, pair: tuple[float, float]) -> tuple[Number, Number]:
        """A constant given as a sum of two doubles, as two numbers of this precision that add up to it."""
        high = self.lift(pair[0])
        return high, self.lift((pair[0] - high.value.constant) + pair[1])

    def abs(self) -> Number:
        return self._call("fabs")

    def sqrt(self) -> Number:
        return self._call("sqrt")

    def trunc(self) -> Number:
        return self._call("trunc")

    def with_sign_of(self, other: Number) -> Number:
        return self._call("copysign", other)

    def _call(self, name: str, *others: Number) -> Number:
        kind = self.value.type
        signature = ir.FunctionType(kind, [kind] * (1 + len(others)))
        function = self.b.module.declare_intrinsic(f"llvm.{name}", [kind], signature)
        return self._with(self.b.call(function, [self.value, *(x.value for x in others)]))

    def compare(self, sign: str, other: Number | float) -> ir.Value:
        """False where either side is nan."""
        return self.b.fcmp_ordered(sign, self.value, self.lift(other).value)

    def where(self, condition: ir.Value, other: Number | float) -> Number:
        """self where the condition holds, else other."""
        return self._with(self.b.select(condition, self.value, self.lift(other).value))

    @property
    def bits_type(self) -> ir.Type:
        return ir.IntType(self.format.bits)

    def bits(self) -> ir.Value:
        return self.b.bitcast(self.value, self.bits_type)

    def from_bits(self, bits: ir.Value) -> Number:
        return self._with(self.b.bitcast(bits, self.value.type))

    def integer(self, value: int) -> ir.Value:
        return ir.Constant(self.bits_type, value)

    def polynomial(self, coefficients: Sequence[float], last: int = 0) -> Number:
        """A polynomial, highest power first.

        By Estrin's scheme: neighbours are joined, so that few steps wait for others. The last steps, as many as are
        given, are by Horner's rule, which rounds less often.
        """
        split = len(coefficients) - last
        terms, power = [self.lift(c) for c in reversed(coefficients[:split])], self
        while len(terms) > 3:
            joined = [high.times_plus(power, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
            terms = joined + terms[2 * len(joined) :]
            power = power * power
        total = terms.pop()
        while terms:
            total = total.times_plus(power, terms.pop())
        for c in coefficients[split:]:
            total = total.times_plus(self, c)
        return total

    def nearest(self) -> Number:
        """The nearest integer, however large."""
        return self._call("rint")

    def widened(self) -> Number:
        """The same number in double precision."""
        return self if self.format is DOUBLE else Number(self.b, DOUBLE, self.b.fpext(self.value, ir.DoubleType()))

    def floor(self) -> Number:
        return self._call("floor")

    def narrowed(self) -> Number:
        """A double, rounded to single precision."""
        return Number(self.b, SINGLE, self.b.fptrunc(self.value, ir.FloatType()))

    def rounded(self, factor: Number | float = 1.0) -> tuple[Number, ir.Value]:
        """The integer nearest to self * factor, as a number and as an integer, if it is below 2**(mantissa - 1)."""
        magic = self.lift(self.format.round_magic)
        shifted = self.times_plus(factor, magic)
        return shifted - magic, self.b.sub(shifted.bits(), magic.bits())
