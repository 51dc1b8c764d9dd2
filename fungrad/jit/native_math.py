"""Scalar operations of the loop IR in LLVM, with NumPy's meaning: nan, signed zeros, division by zero, integer
overflow.

Elementary functions are in `vectormath`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit import native_integers, native_threefry, shared_functions, vector_erf_inv, vectormath
from fungrad.jit.assumptions import ASSUMING, Assume
from fungrad.jit.c_library import libc
from fungrad.jit.llvm_types import F32, F64, I1, constant, register_type
from fungrad.jit.registers import Number, format_of

INTRINSICS = {
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "rint": "rint",
    "trunc": "trunc",
    "copysign": "copysign",
}
COMPARE = {"equal": "==", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "not_equal": "!="}


class _Assumed(Assume):
    """The assumptions made for one number."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self._b = b
        self._any = I1(0)

    def at_most(self, x: Number, limit: float) -> None:
        self._any = self._b.or_(self._any, x.compare(">", limit))

    def broken(self) -> ir.Value:
        return self._any


class ScalarMath:
    """Emits operations with one IR builder."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.b = builder
        self.assume: Assume | None = None  # set while a loop is emitted that may assume ordinary arguments
        self.rare = False  # whether the code that is emitted runs only where an assumption did not hold
        self.branching = True  # whether single numbers are computed, where a branch costs no vector registers

    def intrinsic(self, name: str, *args: ir.Value) -> ir.Value:
        type = args[0].type
        function = self.b.module.declare_intrinsic(f"llvm.{name}", [type], ir.FunctionType(type, [type] * len(args)))
        return self.b.call(function, args)

    def apply(self, op: str, args: list[ir.Value], dtypes: list[DType], result: DType, exact: bool) -> ir.Value:
        """The value of `op(*args)`; `dtypes` are those of the arguments."""
        kind = dtypes[-1].kind
        if op == "convert":
            return self.convert(args[0], dtypes[0], result)
        if op == "select":
            return self.b.select(*args)
        if op in COMPARE:
            return self.compare(COMPARE[op], args, dtypes[0])
        if op.startswith("logical_"):
            return self.logic(op, [self.convert(x, d, np.dtype(np.bool_)) for x, d in zip(args, dtypes, strict=True)])
        if op in ("bitwise_and", "bitwise_or", "bitwise_xor"):
            return getattr(self.b, {"bitwise_and": "and_", "bitwise_or": "or_", "bitwise_xor": "xor"}[op])(*args)
        if op == "invert":
            return self.b.not_(args[0])
        if op == "threefry2x32":
            return native_threefry.threefry2x32(self.b, *args)
        if kind == "f":
            return self.floats(op, args, dtypes[0], exact)
        if kind == "b":
            return native_integers.bools(self.b, op, args)
        return native_integers.integers(self.b, op, args, dtypes[0])

    # -- any dtype ----------------------------------------------------------------------------------------------------

    def compare(self, sign: str, args: list[ir.Value], dtype: DType) -> ir.Value:
        if dtype.kind == "f":
            return self.b.fcmp_unordered(sign, *args) if sign == "!=" else self.b.fcmp_ordered(sign, *args)
        return self.b.icmp_signed(sign, *args) if dtype.kind == "i" else self.b.icmp_unsigned(sign, *args)

    def logic(self, op: str, args: list[ir.Value]) -> ir.Value:
        if op == "logical_not":
            return self.b.not_(args[0])
        return getattr(self.b, {"logical_and": "and_", "logical_or": "or_", "logical_xor": "xor"}[op])(*args)

    def convert(self, x: ir.Value, source: DType, target: DType) -> ir.Value:
        b, to = self.b, register_type(target)
        if source == target:
            return x
        if target.kind == "b":
            return self.compare("!=", [x, constant(0, source)], source)
        if target.kind == "f":
            if source.kind == "f":
                return b.fpext(x, to) if target.itemsize > source.itemsize else b.fptrunc(x, to)
            return b.sitofp(x, to) if source.kind == "i" else b.uitofp(x, to)
        if source.kind == "f":
            return self.float_to_int(x, source, target)
        if source.itemsize == target.itemsize and source.kind != "b":
            return x
        if target.itemsize < source.itemsize:
            return b.trunc(x, to)
        return b.sext(x, to) if source.kind == "i" else b.zext(x, to)

    def float_to_int(self, x: ir.Value, source: DType, target: DType) -> ir.Value:
        """As x86 converts: what does not fit becomes the most negative integer of 32 or 64 bits."""
        b = self.b
        wide = np.dtype(np.int64 if target.itemsize == 8 else np.int32)
        limit = 2.0 ** (8 * wide.itemsize - 1)
        low = -limit - 1 if (wide.itemsize == 4 and source.itemsize == 8) else -limit
        above = b.fcmp_ordered(">=" if low == -limit else ">", x, constant(low, source))
        fits = b.and_(above, b.fcmp_ordered("<", x, constant(limit, source)))
        least = constant(-limit, wide)
        return self.convert(b.select(fits, b.fptosi(x, register_type(wide)), least), wide, target)

    # -- floats ------------------------------------------------------------------------------------

    def floats(self, op: str, args: list[ir.Value], dtype: DType, exact: bool) -> ir.Value:
        b = self.b
        flags = () if exact else ("reassoc",)
        arithmetic: dict[str, Callable[..., ir.Value]] = {"add": b.fadd, "sub": b.fsub, "mul": b.fmul, "div": b.fdiv}
        if op in arithmetic:
            return arithmetic[op](*args, flags=flags)
        if op in ("maximum", "minimum") and not exact:
            return self.intrinsic(op, *args)  # the same but for the sign of equal zeros, and LLVM vectorises it
        if op in vectormath.FUNCTIONS and not (op == "pow" and isinstance(args[1], ir.Constant)):
            if self.rare:
                return shared_functions.call(op, b, *args)
            if op in ASSUMING and self.assume is None and self.branching:
                return self.either(op, args)
            return vectormath.apply(op, b, *args, assume=self.assume)
        if op == "erf_inv":
            return vector_erf_inv.apply(b, args[0])
        if op in INTRINSICS:
            return self.intrinsic(INTRINSICS[op], *args)
        return getattr(self, f"float_{op}")(*args, dtype=dtype)

    def float_pow(self, x: ir.Value, y: ir.Constant, dtype: DType) -> ir.Value:
        """With a constant exponent."""
        exponent = y.constant
        if exponent == 2:
            return self.b.fmul(x, x)
        if exponent == 1:
            return x
        if exponent == -1:
            return self.b.fdiv(constant(1, dtype), x)
        return vectormath.apply("pow", self.b, x, y)

    def either(self, op: str, args: list[ir.Value]) -> ir.Value:
        """The fast formula, or the one for any argument where that does not hold."""
        b = self.b
        assumed = _Assumed(b)
        fast = vectormath.apply(op, b, *args, assume=assumed)
        before = b.block
        with b.if_then(assumed.broken(), likely=False):
            slow = shared_functions.call(op, b, *args)
            inside = b.block
        found = b.phi(fast.type)
        found.add_incoming(fast, before)
        found.add_incoming(slow, inside)
        return found

    def float_neg(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fneg(x)

    def float_abs(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.intrinsic("fabs", x)

    def float_square(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fmul(x, x)

    def float_reciprocal(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fdiv(constant(1, dtype), x)

    def float_sign(self, x: ir.Value, dtype: DType) -> ir.Value:
        b, zero = self.b, constant(0, dtype)
        number = b.select(b.fcmp_ordered("==", x, zero), zero, x)  # 0 for both zeros, nan for nan
        number = b.select(b.fcmp_ordered("<", x, zero), constant(-1, dtype), number)
        return b.select(b.fcmp_ordered(">", x, zero), constant(1, dtype), number)

    def float_isnan(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fcmp_unordered("uno", x, x)

    def float_isinf(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fcmp_ordered("==", self.intrinsic("fabs", x), constant(math.inf, dtype))

    def float_isfinite(self, x: ir.Value, dtype: DType) -> ir.Value:
        return self.b.fcmp_ordered("<", self.intrinsic("fabs", x), constant(math.inf, dtype))

    def float_signbit(self, x: ir.Value, dtype: DType) -> ir.Value:
        bits = self.b.bitcast(x, ir.IntType(8 * dtype.itemsize))
        return self.b.icmp_signed("<", bits, ir.Constant(bits.type, 0))

    def _first_if(self, sign: str, x: ir.Value, y: ir.Value, nan_of: ir.Value) -> ir.Value:
        """x where x `sign` y or `nan_of` is nan, else y: NumPy's order of comparisons."""
        b = self.b
        return b.select(b.or_(b.fcmp_ordered(sign, x, y), b.fcmp_unordered("uno", nan_of, nan_of)), x, y)

    def float_maximum(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        return self._first_if(">=", x, y, x)

    def float_minimum(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        return self._first_if("<=", x, y, x)

    def float_fmax(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        return self._first_if(">=", x, y, y)

    def float_fmin(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        return self._first_if("<=", x, y, y)

    def float_clip(self, x: ir.Value, low: ir.Value, high: ir.Value, dtype: DType) -> ir.Value:
        return self.float_minimum(self.float_maximum(x, low, dtype), high, dtype)

    def float_logaddexp(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        b = self.b
        gap = b.fsub(x, y)
        larger = b.select(b.fcmp_ordered(">", gap, constant(0, dtype)), x, y)
        share = vectormath.apply("exp", b, b.fneg(self.intrinsic("fabs", gap)))
        total = b.fadd(larger, vectormath.apply("log1p", b, share))
        same = b.fcmp_ordered("==", x, y)  # also where both are infinite and the gap is nan
        return b.select(same, b.fadd(x, constant(math.log(2.0), dtype)), total)

    def float_fmod(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        """x - y trunc(x / y), with the sign of x, exactly.

        Where the quotient is below half of 2**mantissa, its rounded value is the true one or 1 more, and fused
        multiply-add gives the exact rest. Larger quotients are left to the C library.
        """
        b = self.b
        if self.assume is None:
            return self.library_fmod(x, y)
        number, divisor = (Number(b, format_of(v), v) for v in (x, y))
        a, c = number.abs(), divisor.abs()
        quotient = (number / divisor).abs().trunc()
        self.assume.at_most(quotient, 2.0 ** (a.format.mantissa - 1))
        rest = (-quotient).times_plus(c, a)
        rest = (rest + c).where(rest.compare("<", 0.0), rest)
        is_whole = b.and_(c.compare("==", math.inf), a.compare("<", math.inf))
        rest = a.where(is_whole, rest)
        return rest.with_sign_of(number).value

    def library_fmod(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The C library's, in double precision, which is exact in single precision too."""
        b = self.b
        function = libc(b.module, "fmod", F64, [F64, F64])
        for attribute in ("nounwind", "readnone"):
            function.attributes.add(attribute)
        if x.type == F64:
            return b.call(function, [x, y])
        return b.fptrunc(b.call(function, [b.fpext(x, F64), b.fpext(y, F64)]), F32)

    def float_remainder(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        """With the sign of the divisor, as Python's %."""
        b, zero = self.b, constant(0, dtype)
        rest = self.float_fmod(x, y, dtype)
        differ = b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", rest, zero))
        moved = b.select(differ, b.fadd(rest, y), rest)
        # a nan (also for division by zero) stays nan; an exact zero takes the divisor's sign
        return b.select(b.fcmp_ordered("==", rest, zero), self.intrinsic("copysign", zero, y), moved)

    def float_floor_divide(self, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
        b, zero = self.b, constant(0, dtype)
        quotient = b.fdiv(x, y)
        rest = self.float_fmod(x, y, dtype)
        uneven = b.and_(
            b.fcmp_ordered("!=", rest, zero), b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", rest, zero))
        )
        whole = b.fdiv(b.fsub(x, rest), y)
        whole = b.select(uneven, b.fsub(whole, constant(1, dtype)), whole)
        floor = self.intrinsic("floor", whole)
        high = b.fcmp_ordered(">", b.fsub(whole, floor), constant(0.5, dtype))
        floor = b.select(high, b.fadd(floor, constant(1, dtype)), floor)
        floor = b.select(b.fcmp_ordered("==", whole, zero), self.intrinsic("copysign", zero, quotient), floor)
        return b.select(b.fcmp_ordered("==", y, zero), quotient, floor)
