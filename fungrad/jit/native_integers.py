"""Operations on integers and booleans in LLVM, with NumPy's meaning: overflow wraps, nothing traps."""

from __future__ import annotations

from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit.llvm_types import I1, constant


def integers(b: ir.IRBuilder, op: str, args: list[ir.Value], dtype: DType) -> ir.Value:
    """An operation on integers of a dtype."""
    signed = dtype.kind == "i"
    zero, one = constant(0, dtype), constant(1, dtype)
    compare = b.icmp_signed if signed else b.icmp_unsigned
    x = args[0]
    match op:
        case "add" | "sub" | "mul":
            return getattr(b, op)(*args)
        case "neg":
            return b.sub(zero, x)
        case "abs":
            return b.select(compare("<", x, zero), b.sub(zero, x), x) if signed else x
        case "square":
            return b.mul(x, x)
        case "sign":
            number = b.select(compare(">", x, zero), one, zero)
            return b.select(compare("<", x, zero), b.sub(zero, one), number) if signed else number
        case "maximum" | "fmax":
            return b.select(compare(">=", *args), *args)
        case "minimum" | "fmin":
            return b.select(compare("<=", *args), *args)
        case "clip":
            low = integers(b, "maximum", [x, args[1]], dtype)
            return integers(b, "minimum", [low, args[2]], dtype)
        case "floor_divide" | "remainder" | "fmod":
            return _divide(b, op, x, args[1], dtype)
        case "left_shift" | "right_shift":
            return _shift(b, op, x, args[1], dtype)
        case "floor" | "ceil" | "trunc" | "rint":
            return x
        case "isnan" | "isinf":
            return I1(0)
        case "isfinite":
            return I1(1)
    raise KeyError(op)


def _divide(b: ir.IRBuilder, op: str, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
    """Integer division without traps: 0 for a zero divisor; MIN / -1 wraps."""
    zero, one = constant(0, dtype), constant(1, dtype)
    by_zero = b.icmp_unsigned("==", y, zero)
    if dtype.kind == "u":
        safe = b.select(by_zero, one, y)
        result = b.udiv(x, safe) if op == "floor_divide" else b.urem(x, safe)
        return b.select(by_zero, zero, result)
    by_minus_one = b.icmp_signed("==", y, constant(-1, dtype))
    safe = b.select(b.or_(by_zero, by_minus_one), one, y)
    rest = b.srem(x, safe)
    uneven = b.icmp_signed("!=", rest, zero)
    differ = b.and_(uneven, b.icmp_signed("<", b.xor(rest, y), zero))  # truncated towards the wrong side
    if op == "floor_divide":
        quotient = b.sdiv(x, safe)
        quotient = b.select(differ, b.sub(quotient, one), quotient)
        result = b.select(by_minus_one, b.sub(zero, x), quotient)
    else:
        result = b.select(differ, b.add(rest, y), rest) if op == "remainder" else rest
    return b.select(by_zero, zero, result)


def _shift(b: ir.IRBuilder, op: str, x: ir.Value, y: ir.Value, dtype: DType) -> ir.Value:
    """By less than 0 or by the width and more, all bits leave: 0, or -1 for a negative number shifted right."""
    signed = dtype.kind == "i"
    last = constant(8 * dtype.itemsize - 1, dtype)
    fits = b.icmp_unsigned("<=", y, last)
    if op == "right_shift" and signed:
        return b.ashr(x, b.select(fits, y, last))
    zero = constant(0, dtype)
    by = b.select(fits, y, zero)
    return b.select(fits, b.shl(x, by) if op == "left_shift" else b.lshr(x, by), zero)


def bools(b: ir.IRBuilder, op: str, args: list[ir.Value]) -> ir.Value:
    """An operation on booleans."""
    match op:
        case "add" | "maximum" | "fmax":
            return b.or_(*args)
        case "mul" | "minimum" | "fmin":
            return b.and_(*args)
        case "clip":
            return b.and_(b.or_(args[0], args[1]), args[2])
        case "abs" | "floor" | "ceil" | "trunc":
            return args[0]
        case "isnan" | "isinf":
            return I1(0)
        case "isfinite":
            return I1(1)
    raise KeyError(op)
