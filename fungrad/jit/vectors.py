"""Vectors of floats in registers: loads and stores of whole and partial ones, broadcasts, products, transpositions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit.llvm_types import I32, memory_type

BYTES = 32


class Vectors:
    """Operations on the vectors of one dtype."""

    def __init__(self, b: ir.IRBuilder, dtype: DType) -> None:
        self.b = b
        self.scalar = memory_type(dtype)
        self.bytes: int = np.dtype(dtype).itemsize
        self.width = self.width_of(dtype)
        self.vector = ir.VectorType(self.scalar, self.width)
        self.zero = ir.Constant(self.vector, [0.0] * self.width)

    @staticmethod
    def width_of(dtype: DType) -> int:
        """Numbers in a vector."""
        return BYTES // np.dtype(dtype).itemsize

    def load(self, pointer: ir.Value, lanes: int | None = None) -> ir.Value:
        """A vector from memory; of a partial one only the first lanes are read, the others are 0."""
        address = self.b.bitcast(pointer, self.vector.as_pointer())
        if lanes is None or lanes >= self.width:
            load = self.b.load(address)
            load.align = self.bytes
            return load
        flags = ir.VectorType(ir.IntType(1), self.width)
        mask = ir.Constant(flags, [int(lane < lanes) for lane in range(self.width)])
        signature = ir.FunctionType(self.vector, [address.type, I32, flags, self.vector])
        function = self._function(f"llvm.masked.load.{self._suffix}.p0", signature)
        return self.b.call(function, [address, I32(self.bytes), mask, self.zero])

    def store(self, value: ir.Value, pointer: ir.Value, lanes: int | None = None) -> None:
        """A vector to memory; of a partial one only the first lanes, in pieces of a power of two."""
        rest = self.width if lanes is None else min(lanes, self.width)
        first = 0
        while rest:
            count = 1 << (rest.bit_length() - 1)
            part = value if count == self.width else self.chosen(value, range(first, first + count))
            place = self.b.gep(pointer, [I32(first)])
            store = self.b.store(part, self.b.bitcast(place, part.type.as_pointer()))
            store.align = self.bytes
            first, rest = first + count, rest - count

    def copy(self, source: ir.Value, target: ir.Value, count: int) -> None:
        """Move some neighbouring numbers."""
        type = ir.VectorType(self.scalar, count).as_pointer()
        value = self.b.load(self.b.bitcast(source, type))
        value.align = self.bytes
        store = self.b.store(value, self.b.bitcast(target, type))
        store.align = self.bytes

    def prefetch(self, pointer: ir.Value, write: bool = False) -> None:
        """Bring the memory near, to be read or to be written; there need not be any."""
        address = self.b.bitcast(pointer, ir.IntType(8).as_pointer())
        signature = ir.FunctionType(ir.VoidType(), [address.type, I32, I32, I32])
        self.b.call(self._function("llvm.prefetch.p0", signature), [address, I32(int(write)), I32(3), I32(1)])

    def chosen(self, value: ir.Value, lanes: Sequence[int], other: ir.Value | None = None) -> ir.Value:
        """A vector of some lanes of one, or of two one after the other."""
        undefined = ir.Constant(value.type, ir.Undefined)
        mask = ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))
        return self.b.shuffle_vector(value, undefined if other is None else other, mask)

    def spread(self, scalar: ir.Value) -> ir.Value:
        """A number in all lanes."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        return self.chosen(self.b.insert_element(undefined, scalar, I32(0)), [0] * self.width)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z with one rounding."""
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        return self.b.call(self._function(f"llvm.fma.{self._suffix}", signature), [x, y, z])

    def transposed(self, lines: Sequence[ir.Value]) -> list[ir.Value]:
        """As many vectors as they have lanes, as the rows of a matrix that is turned: blocks of 1, 2, 4, ... change
        places."""
        lines = list(lines)
        size = 1
        while size < self.width:
            for i in range(self.width):
                if not i & size:
                    x, y = lines[i], lines[i + size]
                    low = [j if not j & size else j - size + self.width for j in range(self.width)]
                    high = [j + size if not j & size else j + self.width for j in range(self.width)]
                    lines[i], lines[i + size] = self.chosen(x, low, y), self.chosen(x, high, y)
            size *= 2
        return lines

    @property
    def _suffix(self) -> str:
        return f"v{self.width}f{8 * self.bytes}"

    def _function(self, name: str, signature: ir.FunctionType) -> ir.Function:
        return self.b.module.globals.get(name) or ir.Function(self.b.module, signature, name)
