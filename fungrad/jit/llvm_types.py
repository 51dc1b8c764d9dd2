"""LLVM's types and constants for NumPy's dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from fungrad.ir.types import DType

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
F32, F64, VOID = ir.FloatType(), ir.DoubleType(), ir.VoidType()


def register_type(dtype: DType) -> ir.Type:
    """The type of a scalar in registers: bool is one bit."""
    if dtype.kind == "b":
        return I1
    if dtype.kind == "f":
        return F32 if dtype.itemsize == 4 else F64
    return ir.IntType(8 * dtype.itemsize)


def memory_type(dtype: DType) -> ir.Type:
    """The type of an array element: bool is one byte."""
    return I8 if dtype.kind == "b" else register_type(dtype)


def constant(value: Any, dtype: DType) -> ir.Constant:
    """A number of a dtype."""
    return ir.Constant(register_type(dtype), np.asarray(value).astype(dtype)[()].item())
