"""Small matrix products as generated code.

BLAS libraries are made for large matrices: for small ones calling, checking and packing cost as much as multiplying,
and a second thread that is woken for a few microseconds of work can cost milliseconds when the machine is busy. So
products up to `LIMIT` multiplications become code of their own for their static sizes, in registers:

    for each panel of columns, two vectors wide (copied to the stack where it is not dense and whole)
        for each tile of rows
            the tile's sums stay in registers while k runs: one load of the panel, one broadcast of A, one FMA each

A product is one function, shared by all equal ones of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.loops import Gemm
from fungrad.jit.native_math import I32, I64, memory_type

LIMIT = 2**22  # multiplications; above, BLAS with its threads is faster
MAX_K = 1024  # a panel of k rows lives on the stack
VECTOR_BYTES = 32
ROWS = 6  # with two vectors of columns 12 accumulators, 2 panel vectors and a broadcast: 15 of 16 registers


def is_small(call: Gemm) -> bool:
    """Whether generated code beats BLAS for this product."""
    return call.m * call.n * call.k <= LIMIT and call.k <= MAX_K and call.m > 1 and call.n > 1


def how(call: Gemm) -> str:
    """How a product is computed, and why, for people."""
    if is_small(call):
        return f"generated code, since it is at most {LIMIT:,} multiplications"
    if min(call.m, call.n) == 1:
        return "BLAS, since a product with a vector waits for memory"
    if call.k > MAX_K:
        return f"BLAS, since sums of more than {MAX_K:,} products need more than a panel"
    return f"BLAS with its threads, since it is more than {LIMIT:,} multiplications"


def product_function(module: ir.Module, call: Gemm) -> ir.Function:
    """The function (a, b, out) of one product of the batch."""
    type = memory_type(call.out.type.dtype)
    flags = f"{'t' if call.transpose_a else 'n'}{'t' if call.transpose_b else 'n'}"
    name = f"fungrad_product_{type}_{flags}_{call.m}_{call.n}_{call.k}"
    found = module.globals.get(name)
    if found is None:
        pointer = type.as_pointer()
        found = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, pointer]), name)
        found.linkage = "internal"
        found.attributes.add("noinline")
        for argument in found.args:
            argument.add_attribute("noalias")
        _Product(found, call, type).run()
    return found


class _Product:
    def __init__(self, function: ir.Function, call: Gemm, type: ir.Type) -> None:
        self.call = call
        self.type = type
        self.a, self.b, self.out = function.args
        self.width = VECTOR_BYTES // call.out.type.dtype.itemsize
        self.vector = ir.VectorType(type, self.width)
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.build = ir.IRBuilder(function.append_basic_block("body"))

    def run(self) -> None:
        body = self.build.block
        n, wide = self.call.n, 2 * self.width
        self.loop(n // wide, lambda tile: self.panel(self.build.mul(tile, I64(wide)), wide))
        left = n % wide
        if left:
            self.panel(I64(n - left), left)
        self.build.ret_void()
        self.entry.branch(body)

    def panel(self, column: ir.Value, count: int) -> None:
        """All rows of `count` columns from `column` on."""
        vectors = -(-count // self.width)
        whole = count == vectors * self.width
        if whole and not self.call.transpose_b:
            source, stride = self.build.gep(self.b, [column]), self.call.n
        else:
            source, stride = self.packed(column, count, vectors), vectors * self.width
        tiles, left = divmod(self.call.m, ROWS)
        self.loop(
            tiles, lambda t: self.tile(self.build.mul(t, I64(ROWS)), ROWS, column, count, vectors, source, stride)
        )
        if left:
            self.tile(I64(self.call.m - left), left, column, count, vectors, source, stride)

    def packed(self, column: ir.Value, count: int, vectors: int) -> ir.Value:
        """A copy of the panel as k dense rows, padded with zeros to whole vectors."""
        b, stride = self.build, vectors * self.width
        memory = self.entry.alloca(ir.ArrayType(self.type, self.call.k * stride))
        memory.align = VECTOR_BYTES
        start = self.entry.bitcast(memory, self.type.as_pointer())

        def copy_row(k: ir.Value) -> None:
            for lane in range(stride):
                value = ir.Constant(self.type, 0.0)
                if lane < count:
                    j = b.add(column, I64(lane))
                    n, size = I64(self.call.n), I64(self.call.k)
                    at = b.add(b.mul(j, size), k) if self.call.transpose_b else b.add(b.mul(k, n), j)
                    value = b.load(b.gep(self.b, [at]))
                b.store(value, b.gep(start, [b.add(b.mul(k, I64(stride)), I64(lane))]))

        self.loop(self.call.k, copy_row)
        return start

    def tile(
        self, row: ir.Value, rows: int, column: ir.Value, count: int, vectors: int, source: ir.Value, stride: int
    ) -> None:
        """The sums of some rows of a panel, kept in registers."""
        b = self.build
        zero = ir.Constant(self.vector, [0.0] * self.width)

        def step(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            line = b.gep(source, [b.mul(k, I64(stride))])
            right = [self.load_vector(b.gep(line, [I64(v * self.width)])) for v in range(vectors)]
            new = []
            for r in range(rows):
                i = b.add(row, I64(r))
                m, size = I64(self.call.m), I64(self.call.k)
                at = b.add(b.mul(k, m), i) if self.call.transpose_a else b.add(b.mul(i, size), k)
                left = self.spread(b.load(b.gep(self.a, [at])))
                new += [self.fma(left, right[v], sums[r * vectors + v]) for v in range(vectors)]
            return new

        sums = counted_loop(b, self.call.k, step, [zero] * (rows * vectors))
        for r in range(rows):
            line = b.gep(self.out, [b.add(b.mul(b.add(row, I64(r)), I64(self.call.n)), column)])
            for v in range(vectors):
                self.store_vector(sums[r * vectors + v], b.gep(line, [I64(v * self.width)]), count - v * self.width)

    # -- vectors and loops ------------------------------------------------------------------------------------------

    def load_vector(self, pointer: ir.Value) -> ir.Value:
        load = self.build.load(self.build.bitcast(pointer, self.vector.as_pointer()))
        load.align = self.type_bytes
        return load

    def store_vector(self, value: ir.Value, pointer: ir.Value, lanes: int) -> None:
        """Store the first lanes of a vector, all if there are as many."""
        if lanes >= self.width:
            store = self.build.store(value, self.build.bitcast(pointer, self.vector.as_pointer()))
            store.align = self.type_bytes
            return
        for lane in range(lanes):
            self.build.store(self.build.extract_element(value, I32(lane)), self.build.gep(pointer, [I64(lane)]))

    @property
    def type_bytes(self) -> int:
        return VECTOR_BYTES // self.width

    def spread(self, scalar: ir.Value) -> ir.Value:
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.build.insert_element(undefined, scalar, I32(0))
        return self.build.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(I32, self.width), [0] * self.width)
        )

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        name = f"llvm.fma.v{self.width}f{8 * self.type_bytes}"
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        function = self.build.module.globals.get(name) or ir.Function(self.build.module, signature, name)
        return self.build.call(function, [x, y, z])

    def loop(self, count: int, body: Callable[[ir.Value], Any]) -> None:
        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            body(index)
            return ()

        counted_loop(self.build, count, step)
