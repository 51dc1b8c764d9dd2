"""Threefry-2x32 in LLVM; `fungrad/primitives/random.py` has the same rounds in NumPy and says where they come from."""

from __future__ import annotations

from llvmlite import ir

from fungrad.jit.llvm_types import I32, I64
from fungrad.primitives.random import PARITY, ROTATIONS


def threefry2x32(b: ir.IRBuilder, key0: ir.Value, key1: ir.Value, counter0: ir.Value, counter1: ir.Value) -> ir.Value:
    """The two words of a key and a counter, the first one in the upper half of a 64-bit integer."""
    rotate = b.module.declare_intrinsic("llvm.fshl", [I32], ir.FunctionType(I32, [I32, I32, I32]))
    keys = (key0, key1, b.xor(b.xor(key0, key1), I32(PARITY)))
    first, second = b.add(counter0, key0), b.add(counter1, key1)
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            first = b.add(first, second)
            second = b.xor(b.call(rotate, [second, second, I32(rotation)]), first)
        first = b.add(first, keys[(group + 1) % 3])
        second = b.add(second, b.add(keys[(group + 2) % 3], I32(group + 1)))
    return b.or_(b.shl(b.zext(first, I64), I64(32)), b.zext(second, I64))
